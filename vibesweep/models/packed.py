"""A model that computes K trials at once, over a frozen base that they share.

The trials' rows lie side by side, so a frozen layer sees one long row. What is trained is each
trial's own: a product for each trial, taken in one batch. Values and gradients are views of two
tensors [K, P], of which each trial's own model has a row.

Shapes: ``K`` seats, ``n`` of a seat's tokens or latents, ``r`` rank, ``D`` in and ``O`` out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F

from vibesweep.models.adapters import plain_model
from vibesweep.models.losses import Losses
from vibesweep.models.seating import ADAPTER, TensorDropout


class PackedModel(nn.Module):
    """Computes the losses of K trials' rows in one pass.

    Args:
        model: a model of the trials' kind; it becomes part of this one.
        seats: a model of that kind for each trial, after
            :func:`vibesweep.models.seating.make_adjustable`. What each of them trains lies in its
            row of ``values``.
        values: what the trials train [K, P].
        gradient: gradient of it [K, P].
    """

    def __init__(
        self, model: nn.Module, seats: Sequence[nn.Module], values: Tensor, gradient: Tensor
    ) -> None:
        super().__init__()
        self._model = plain_model(model)
        self._model.seats = len(seats)
        rows = _Rows(values, gradient)
        plain_seats = [plain_model(seat) for seat in seats]
        trained = list(_trained_layers(self._model))
        for path, module in trained:
            twins = [plain.get_submodule(path) for plain in plain_seats]
            packed = _packed(module, twins, rows)
            self._model.set_submodule(path, packed)

    def forward(self, rows: Any) -> Losses:
        """Sum both losses over each trial's row: two tensors [K].

        Args:
            rows: rows filled up to one shape, stacked: each part [K, ...].
        """
        row = rows.side_by_side()
        losses: Losses = self._model(row)
        return losses

    def layers(self) -> Sequence[nn.Module]:
        """List the repeated layers, which are compiled one by one."""
        return self._model.layers()


class _Rows:
    """Finds what the first seat trains in every seat's row."""

    def __init__(self, values: Tensor, gradient: Tensor) -> None:
        self._values = values
        self._gradient = gradient

    def stacked(self, first: nn.Parameter) -> nn.Parameter:
        """Return all seats' values [K, ...] of a parameter, with their gradients."""
        seats = len(self._values)
        row = self._values.stride(0)
        shape = (seats, *first.shape)
        strides = (row, *first.stride())
        place = first.storage_offset()
        values = self._values.as_strided(shape, strides, place)
        parameter = nn.Parameter(values)
        parameter.grad = self._gradient.as_strided(shape, strides, place)
        return parameter


def _trained_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that trials train, by path: adapted ones whole, others in full."""
    inside_adapted: str | None = None  # how the paths inside the last adapted layer begin
    for path, module in model.named_modules():
        if inside_adapted is not None and path.startswith(inside_adapted):
            continue
        is_adapted = isinstance(module, LoraLayer)
        if is_adapted:
            inside_adapted = f"{path}."
        if is_adapted or _is_trained(module):
            yield path, module


def _is_trained(module: nn.Module) -> bool:
    """Return whether a module has parameters of its own that are trained."""
    own = module.parameters(recurse=False)
    return any(part.requires_grad for part in own)


def _packed(module: nn.Module, twins: Sequence[Any], rows: _Rows) -> nn.Module:
    """Return what takes a trained layer's place."""
    if isinstance(module, LoraLayer):
        return _PackedLora(module, twins, rows)
    if isinstance(module, nn.Linear):
        return _PackedLinear(twins[0], rows)
    assert hasattr(module, "variance_epsilon"), f"a {type(module).__name__} is not packed"
    return _PackedNorm(module, twins[0], rows)


def _by_seat(x: Tensor, seats: int) -> Tensor:
    """View rows side by side [..., K * n, D] as [K, n, D]."""
    size = x.shape[-1]
    return x.reshape(seats, -1, size)


class _PackedLora(nn.Module):
    """A frozen linear layer with K trials' adapters."""

    scale: Tensor

    def __init__(self, layer: Any, seats: Sequence[Any], rows: _Rows) -> None:
        super().__init__()
        self.base_layer = layer.base_layer
        first = seats[0]
        down = first.lora_A[ADAPTER]
        up = first.lora_B[ADAPTER]
        self.down = rows.stacked(down.weight)  # [K, r, D]
        self.up = rows.stacked(up.weight)  # [K, O, r]
        scale = torch.ones(len(seats), 1, 1, device=self.down.device)
        self.register_buffer("scale", scale, persistent=False)
        for seat, own in zip(seats, scale, strict=True):
            seat.scaling[ADAPTER] = own.squeeze()
        self.dropout: nn.Module = nn.Identity()
        has_dropout = isinstance(first.lora_dropout[ADAPTER], TensorDropout)
        if has_dropout:
            self.dropout = _packed_dropout(seats, scale)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base_layer(x)
        own = _by_seat(x, len(self.scale))
        dropped = self.dropout(own)
        down = self.down.transpose(1, 2)
        up = self.up.transpose(1, 2)
        low = torch.bmm(dropped, down)
        scaled = low * self.scale
        added = torch.bmm(scaled.to(low.dtype), up)
        return result + added.view_as(result)


def _packed_dropout(seats: Sequence[Any], like: Tensor) -> TensorDropout:
    """Make dropout with a rate for each seat [K, 1, 1], which the seats' own models set."""
    dropout = TensorDropout()
    dropout.rate = torch.zeros_like(like)
    for seat, own in zip(seats, dropout.rate, strict=True):
        seat.lora_dropout[ADAPTER].rate = own.squeeze()
    return dropout


class _PackedLinear(nn.Module):
    """A linear layer that K trials train in full."""

    def __init__(self, first: Any, rows: _Rows) -> None:
        super().__init__()
        self.weight = rows.stacked(first.weight)  # [K, O, D]
        self.bias = None if first.bias is None else rows.stacked(first.bias)  # [K, O]

    def forward(self, x: Tensor) -> Tensor:
        own = _by_seat(x, len(self.weight))
        weight = self.weight.transpose(1, 2)
        if self.bias is None:
            result = torch.bmm(own, weight)
        else:
            bias = self.bias.unsqueeze(1)
            result = torch.baddbmm(bias, own, weight)
        *sizes, _ = x.shape
        return result.view(*sizes, -1)


class _PackedNorm(nn.Module):
    """VibeVoice's norm, whose gain K trials train."""

    def __init__(self, norm: nn.Module, first: Any, rows: _Rows) -> None:
        super().__init__()
        self._epsilon = cast(float, norm.variance_epsilon)
        self.weight = rows.stacked(first.weight)  # [K, D]

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        normed = F.rms_norm(x.float(), (size,), eps=self._epsilon)
        own = _by_seat(normed.to(x.dtype), len(self.weight))
        gain = self.weight.unsqueeze(1)
        scaled = gain * own
        return scaled.view_as(x)
