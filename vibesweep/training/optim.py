"""Optimizers by name, their parameter groups, and the learning rate's way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    # beta2 = 0.98: the second moment follows within a short trial's few steps (Vaswani et al. 2017, section 5.3)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)


def _lion(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    from pytorch_optimizer import Lion

    return Lion(groups, lr=learning_rate, betas=(0.9, 0.99), weight_decouple=True)


OPTIMIZERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {"adamw": _adamw, "lion": _lion}
"""A new optimizer is one builder and one line here."""


def build_optimizer(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    """Build the optimizer over what the model trains.

    Raises:
        ModelError: there is no optimizer of that name.
    """
    if settings.optimizer not in OPTIMIZERS:
        fix = f"choose one of {', '.join(OPTIMIZERS)}"
        raise ModelError(f"there is no optimizer {settings.optimizer!r}", where="optimizer", fix=fix)
    return OPTIMIZERS[settings.optimizer](parameter_groups(model.parameters(), settings.weight_decay), settings.learning_rate)


def parameter_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> Groups:
    """Decay matrices only: a norm's or a bias's size means something (Loshchilov and Hutter 2019 decay all; practice does not)."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_schedule(optimizer: torch.optim.Optimizer, max_steps: int, warmup_fraction: float) -> LambdaLR:
    """Warm up linearly, then fall along half a cosine to nothing at ``max_steps``."""
    return LambdaLR(optimizer, lambda step: cosine_with_warmup(step, max_steps, warmup_fraction))


def cosine_with_warmup(step: int, max_steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate that the optimizer step with this index, from 0, is taken with."""
    warmup = round(max_steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(max_steps - warmup, 1), 1.0)))
