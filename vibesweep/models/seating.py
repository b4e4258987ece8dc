"""A model that trial after trial trains in: what they vary is in tensors, of one size for all.

A compiled kernel, or a CUDA graph, holds Python's numbers and the sizes of tensors for good. So
adapters have room for the highest rank of their kind, filled up with zeros, which stay zeros: their
gradient is zero. Scale and dropout are tensors.

Shapes: ``r`` a trial's rank, ``R`` the padded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import lora_alpha, plain_model
from vibesweep.models.speech_model import SpeechModel

PADDED_RANKS = (16, 64, 256)
"""A narrow product takes as long at any rank up to 64, but its weights and moments do not."""

ADAPTER = "default"
"""peft's name of a model's only adapter."""

OWN = "own"
"""Attribute of a padded parameter: a view of the part that a trial trains."""


class TensorDropout(nn.Module):
    """Dropout whose rate is a tensor."""

    rate: Tensor

    def __init__(self) -> None:
        """Drop nothing yet."""
        super().__init__()
        self.register_buffer("rate", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Drop a share of ``x``, and scale the rest up."""
        if not self.training:
            return x
        kept = torch.rand_like(x, dtype=torch.float32) >= self.rate
        factor = kept / (1 - self.rate)
        return x * factor.to(x.dtype)


def padded_rank(rank: int) -> int:
    """Return the rank that a trial's adapters are padded to."""
    roomy = [padded for padded in PADDED_RANKS if padded >= rank]
    return roomy[0] if roomy else rank


def kind_of(settings: TrialSettings) -> TrialSettings:
    """Return plain settings with what decides which trials can train in one model.

    Two trials of equal kinds differ in numbers alone. Whether there is dropout matters, its share
    does not.
    """
    kind = TrialSettings(
        method=settings.method,
        precision=settings.precision,
        micro_batch_tokens=settings.micro_batch_tokens,
    )
    if settings.method == "freeze":
        return replace(kind, freeze_layers=settings.freeze_layers)
    if settings.method == "full":
        return kind
    return replace(
        kind,
        lora_targets=settings.lora_targets,
        lora_head=settings.lora_head,
        lora_connectors=settings.lora_connectors,
        lora_dropout=0.5 if settings.lora_dropout else 0.0,
        lora_rank=padded_rank(settings.lora_rank),
    )


def make_adjustable(model: nn.Module) -> None:
    """Put tensors in place of the scales and the dropout rates of a model's adapters."""
    for layer in _adapted(model):
        device = layer.lora_A[ADAPTER].weight.device
        layer.scaling[ADAPTER] = torch.ones((), device=device)
        if isinstance(layer.lora_dropout[ADAPTER], nn.Dropout):
            layer.lora_dropout[ADAPTER] = TensorDropout().to(device)


@torch.no_grad()
def seat_trial(model: nn.Module, base: SpeechModel, settings: TrialSettings) -> None:
    """Give a model the first weights, the scale and the dropout of a trial.

    Adapters are drawn from torch's generator as peft draws them, so that a trial begins with the
    same weights in a model of its own.

    Args:
        model: a model of the settings' kind, after :func:`make_adjustable`.
        base: what the model was made of.
        settings: the trial's.
    """
    for layer in _adapted(model):
        _seat_adapter(layer, settings)
    plain = plain_model(model)
    adapters = {id(part) for layer in _adapted(model) for part in layer.parameters()}
    for name, part in plain.named_parameters():
        if part.requires_grad and id(part) not in adapters:
            part.copy_(base.get_parameter(name))


def _seat_adapter(layer: Any, settings: TrialSettings) -> None:
    """Draw one adapter's first weights [r, in] and [out, r], and set its scale and dropout."""
    rank = settings.lora_rank
    down = layer.lora_A[ADAPTER].weight
    up = layer.lora_B[ADAPTER].weight
    drawn = nn.Linear(layer.in_features, rank, bias=False).weight
    nn.Linear(rank, layer.out_features, bias=False)  # drawn and set to zero by peft
    nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))
    down.zero_()
    up.zero_()
    setattr(down, OWN, down.data[:rank])
    setattr(up, OWN, up.data[:, :rank])
    down.own.copy_(drawn)
    divisor = math.sqrt(rank) if settings.lora_rslora else rank
    layer.scaling[ADAPTER].fill_(lora_alpha(settings) / divisor)
    dropout = layer.lora_dropout[ADAPTER]
    if isinstance(dropout, TensorDropout):
        dropout.rate.fill_(settings.lora_dropout)


def _adapted(model: nn.Module) -> Iterator[Any]:
    """Yield a model's adapted layers, in the order in which peft adapted them."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            yield module
