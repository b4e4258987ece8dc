"""Learning-rate schedules by name: a linear warm-up, then one of several shapes.

A shape gives the share of the peak rate, in [0, 1], as a function of the progress after the
warm-up, also in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vibesweep.config import TrialSettings

Shape = Callable[[float, float], float]
"""(progress after the warm-up, share of those steps that cool down) to a share of the peak rate.
Only some shapes have a cooldown."""


def _constant(_progress: float, _cooldown: float) -> float:
    return 1.0


def _linear(progress: float, _cooldown: float) -> float:
    return 1.0 - progress


def _cosine(progress: float, _cooldown: float) -> float:
    # Loshchilov and Hutter 2017 (SGDR), eq. 5 with one period and a lowest rate of 0
    return 0.5 * (1 + math.cos(math.pi * progress))


def _warmup_stable_decay(progress: float, cooldown: float) -> float:
    # Hägele et al. 2024, eq. 1 with 1 - sqrt, which they found to end lower than a straight line
    cooldown_starts = 1.0 - cooldown
    if progress <= cooldown_starts:
        return 1.0
    cooled = (progress - cooldown_starts) / cooldown
    return max(1.0 - math.sqrt(cooled), 0.0)  # cooled may be a rounding error above 1


SCHEDULES: dict[str, Shape] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "wsd": _warmup_stable_decay,
}
"""A new schedule is one function, one line here and one in vibesweep.config."""


def build_schedule(
    optimizer: Optimizer, max_steps: int, settings: TrialSettings, first_step: int = 0
) -> LambdaLR:
    """Make the optimizer's learning rate follow the settings' schedule over ``max_steps``.

    Args:
        optimizer: the trial's.
        max_steps: the whole budget.
        settings: name the schedule.
        first_step: steps that are behind the trial when its optimizer begins.
    """
    shape = SCHEDULES[settings.schedule]

    def share(step: int) -> float:
        return share_of_peak(
            shape,
            first_step + step,
            max_steps,
            settings.warmup_fraction,
            settings.cooldown_fraction,
        )

    return LambdaLR(optimizer, share)


def share_of_peak(
    shape: Shape,
    step: int,
    max_steps: int,
    warmup_fraction: float = 0.0,
    cooldown_fraction: float = 0.0,
) -> float:
    """Compute the share of the peak learning rate for one optimizer step.

    Args:
        shape: one of :data:`SCHEDULES`.
        step: index of the step, from 0; from ``max_steps`` on the share is the shape's last.
        max_steps: the whole budget.
        warmup_fraction: share of the budget in which the rate climbs.
        cooldown_fraction: share of the budget in which a shape with a cooldown falls.

    Returns:
        A share in [0, 1]; above 0 in the first step.
    """
    warmup_steps = round(max_steps * warmup_fraction)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    steps_after = max(max_steps - warmup_steps, 1)
    progress = min((step - warmup_steps) / steps_after, 1.0)
    cooldown = min(max_steps * cooldown_fraction / steps_after, 1.0)
    return shape(progress, cooldown)
