"""All that a model trains in one tensor, and its gradient in another.

The norm, the clipping, and optimizers to which a number is a number whatever tensor it is in then
take a few kernels, where hundreds of tensors take hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vibesweep.training.optim.optimizers import trained_in

ALIGNMENT = 16
"""Numbers that each parameter's place is a multiple of, so that kernels read whole vectors."""


class FlatParameters(nn.Module):
    """A model's trained parameters as views of one tensor, and their gradients of another.

    What decays comes first. Nobody may set the model's gradients to None: they are views.

    Attributes:
        matrices: what decays [1, P]; it has two axes, as weight decay is for matrices.
        vectors: what does not [Q].
        gradient: gradient of both [P + Q].
    """

    gradient: Tensor

    def __init__(
        self, model: nn.Module, values: Tensor | None = None, gradient: Tensor | None = None
    ) -> None:
        """Move what the model trains into one tensor; the values stay.

        Args:
            model: the model.
            values: tensor to move it into [P + Q], as :func:`flat_size` counts; by default a new
                one.
            gradient: its gradient, zeros.
        """
        super().__init__()
        decaying, others = _decaying_and_others(model)
        parameters = [*decaying, *others]
        if values is None:
            values = parameters[0].new_zeros(_padded_total(parameters)).detach()
        _move(parameters, values)
        if gradient is None:
            gradient = torch.zeros_like(values)
        _view_gradients(parameters, gradient)
        self.register_buffer("gradient", gradient)
        size = _padded_total(decaying)
        if decaying:
            matrices = values[:size].unsqueeze(0)
            self.matrices = nn.Parameter(matrices)
            self.matrices.grad = gradient[:size].unsqueeze(0)
        if others:
            self.vectors = nn.Parameter(values[size:])
            self.vectors.grad = gradient[size:]

    def clip(self, norm: float, largest: float) -> None:
        """Scale the gradient of this norm down to the largest one; a smaller one is left alone."""
        if norm > largest:
            self.gradient.mul_(largest / norm)


def flat_size(model: nn.Module) -> int:
    """Count the numbers of the one tensor that holds all that a model trains, gaps included."""
    decaying, others = _decaying_and_others(model)
    return _padded_total([*decaying, *others])


def _decaying_and_others(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Divide what a model trains into what decays and what does not."""
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for part in trained_in(model):
        side = decaying if part.decays else others
        side.append(part.parameter)
    return decaying, others


def _padded_total(parameters: Sequence[nn.Parameter]) -> int:
    return sum(_padded_size(part) for part in parameters)


def _padded_size(parameter: nn.Parameter) -> int:
    """Count the numbers that a parameter takes, the gap behind it included."""
    vectors = math.ceil(parameter.numel() / ALIGNMENT)
    return vectors * ALIGNMENT


@torch.no_grad()
def _move(parameters: Sequence[nn.Parameter], values: Tensor) -> None:
    """Make the parameters views of one tensor, with their values."""
    start = 0
    for part in parameters:
        view = _view(values, start, part)
        view.copy_(part)
        part.data = view
        start += _padded_size(part)


def _view_gradients(parameters: Sequence[nn.Parameter], gradient: Tensor) -> None:
    """Make the parameters' gradients views of one tensor; autograd adds into them."""
    start = 0
    for part in parameters:
        part.grad = _view(gradient, start, part)
        start += _padded_size(part)


def _view(flat: Tensor, start: int, parameter: nn.Parameter) -> Tensor:
    """View the numbers from ``start`` on in a parameter's shape."""
    past = start + parameter.numel()
    numbers = flat[start:past]
    return numbers.view(parameter.shape)
