"""How fast a worker trains, measured before the first trial."""

from __future__ import annotations

import dataclasses
import statistics
import time
from itertools import islice

import torch

from vibesweep.config import TrialSettings
from vibesweep.errors import VibesweepError
from vibesweep.training.data.feed import MemoryFeed
from vibesweep.training.data.index import Index
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

WARM_UP_STEPS = 1
"""The first step of a trial takes longer: memory and kernels are made."""
MEASURED_STEPS = 3
ORDERS = 32
"""Orders of the clips that are looked at. A step's clips are of like length, so three steps of one
order had 25 % more or fewer tokens than usual in a fifth to a third of made-up corpora."""


def measured_step_s(context: WorkerContext, settings: TrialSettings) -> float | None:
    """Return the seconds of an optimizer step, by a few steps of a trial that is thrown away.

    Nothing is measured where that could cost more than it tells: with several workers, one that
    runs out of memory would leave the others waiting, and clips that are streamed would have to be
    read.

    Args:
        context: the base and the clips.
        settings: what the trial would train with.

    Returns:
        The seconds; ``None`` where nothing is measured, or the model or the memory refuses the
        settings.
    """
    if context.world.size > 1 or not isinstance(context.feed, MemoryFeed):
        return None
    usual = in_usual_order(context.feed.index, settings)
    # Compiling takes longer than the steps, and would be done again for each trial
    eager = dataclasses.replace(usual, compile=False)
    last = WARM_UP_STEPS + MEASURED_STEPS
    try:
        run = TrialRun(context, eager, last)
        run.train(WARM_UP_STEPS)
        began_s = time.perf_counter()
        run.train(last)
        seconds = time.perf_counter() - began_s
    except (VibesweepError, torch.OutOfMemoryError):
        context.seats.clear()  # one that does not fit would go on holding what it has
        context.packs.clear()
        return None
    run.close()
    return seconds / MEASURED_STEPS


def in_usual_order(index: Index, settings: TrialSettings) -> TrialSettings:
    """Return the settings with the seed whose measured steps come nearest to the mean step.

    Args:
        index: of the training clips.
        settings: say how much a step holds.
    """
    orders = [dataclasses.replace(settings, seed=seed) for seed in range(1, ORDERS + 1)]

    def distance(order: TrialSettings) -> float:
        return abs(measured_share(index, order) - 1)

    return min(orders, key=distance)


def measured_share(index: Index, settings: TrialSettings) -> float:
    """Return the tokens of the steps that are measured, divided by those of as many mean steps."""
    plan = StepPlan.of(index, settings)
    steps = plan.steps(WARM_UP_STEPS)
    shares = [plan.share_of(clips) for _, _, clips in islice(steps, MEASURED_STEPS)]
    return statistics.fmean(shares)
