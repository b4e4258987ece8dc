"""How fast a worker trains, measured before the first trial."""

from __future__ import annotations

import dataclasses
import time

import torch

from vibesweep.config import TrialSettings
from vibesweep.errors import VibesweepError
from vibesweep.training.data.feed import MemoryFeed
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

WARM_UP_STEPS = 1
"""The first step of a trial takes longer: memory and kernels are made."""
MEASURED_STEPS = 3


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
    # Compiling takes longer than the steps, and would be done again for each trial
    eager = dataclasses.replace(settings, compile=False)
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
