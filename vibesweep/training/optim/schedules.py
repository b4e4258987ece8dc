"""The learning rate's way over a budget, by name: a linear warm-up, then one of several shapes.

Every shape is a share of the peak in [0, 1] as a function of how far the steps after the warm-up have come, also in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError

Shape = Callable[[float, float], float]
"""(how far after the warm-up, share of those steps that cool down) to a share of the peak; only some shapes cool down."""


def _constant(_progress: float, _cooldown: float) -> float:
    return 1.0


def _linear(progress: float, _cooldown: float) -> float:
    return 1.0 - progress


def _cosine(progress: float, _cooldown: float) -> float:
    # Loshchilov and Hutter 2017 (SGDR), eq. 5 with one period and a lowest rate of nothing
    return 0.5 * (1 + math.cos(math.pi * progress))


def _warmup_stable_decay(progress: float, cooldown: float) -> float:
    # Hägele et al. 2024, eq. 1 with 1 - sqrt, which they found to end lower than a straight line
    begins = 1.0 - cooldown
    return (
        1.0 if progress <= begins else max(1.0 - math.sqrt((progress - begins) / cooldown), 0.0)
    )  # rounding


SCHEDULES: dict[str, Shape] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "wsd": _warmup_stable_decay,
}
"""A new schedule is one function and one line here."""


def build_schedule(optimizer: Optimizer, max_steps: int, settings: TrialSettings) -> LambdaLR:
    """Make the optimizer's learning rate go the settings' way over ``max_steps``.

    Raises:
        ModelError: there is no schedule of that name, or its parts are longer than the whole.
    """
    check_schedule(settings)
    shape, warmup, cooldown = (
        SCHEDULES[settings.schedule],
        settings.warmup_fraction,
        settings.cooldown_fraction,
    )
    return LambdaLR(optimizer, lambda step: share_of_peak(shape, step, max_steps, warmup, cooldown))


def check_schedule(settings: TrialSettings) -> None:
    """Raise a ModelError where the settings name no schedule or leave it no steps."""
    if settings.schedule not in SCHEDULES:
        fix = f"choose one of {', '.join(SCHEDULES)}"
        raise ModelError(f"there is no schedule {settings.schedule!r}", where="schedule", fix=fix)
    if settings.schedule == "wsd" and settings.warmup_fraction + settings.cooldown_fraction > 1:
        found = f"warmup_fraction {settings.warmup_fraction:g} and cooldown_fraction {settings.cooldown_fraction:g} are over 1 together"
        raise ModelError(
            found, where="schedule", fix="choose shares that leave the steps between them"
        )


def share_of_peak(
    shape: Shape, step: int, max_steps: int, warmup_fraction: float, cooldown_fraction: float
) -> float:
    """Share of the peak learning rate that the optimizer step with this index, from 0, is taken with.

    Args:
        shape: one of :data:`SCHEDULES`.
        step: from 0; at ``max_steps`` and beyond, the shape's end.
        max_steps: the whole budget.
        warmup_fraction: share of it in which the rate climbs.
        cooldown_fraction: share of it in which a shape that cools down does so.

    Returns:
        In [0, 1]; above 0 in the first step.
    """
    warmup = round(max_steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    after = max(max_steps - warmup, 1)
    return shape(min((step - warmup) / after, 1.0), min(max_steps * cooldown_fraction / after, 1.0))


def cosine_with_warmup(step: int, max_steps: int, warmup_fraction: float) -> float:
    """:func:`share_of_peak` of ``cosine``, for programs that set their optimizer's rate themselves."""
    return share_of_peak(_cosine, step, max_steps, warmup_fraction, 0.0)
