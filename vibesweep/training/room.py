"""How many trials a worker's device has room for at the same time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import islice

import torch

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.seating import kind_of
from vibesweep.training.memory import COPIES, device_bytes, memory_key
from vibesweep.training.seat import can_be_packed
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import is_cuda

MOST_KINDS = 8
"""Kinds of trials that are looked at. Each takes the 1.5B a second or two."""


def trials_that_fit(context: WorkerContext, rehearsed: Sequence[TrialSettings], most: int) -> int:
    """Return how many trials of a sweep a worker trains at the same time.

    On a CUDA device the passes of each kind of trial are measured. Trials that share no pass with
    others gain nothing from company: where all are so, one trains at a time.

    Args:
        context: the base and the clips, on the device.
        rehearsed: settings such as the sweep's space suggests.
        most: trials that are wanted.
    """
    world = context.world
    if most == 1 or not is_cuda(world.device):
        return most
    of_kinds = _one_of_each_kind(context, rehearsed)
    if not any(can_be_packed(context.base, one, world) for one in of_kinds):
        return 1
    try:
        needs = [bytes_of_a_trial(context, one) for one in of_kinds]
    except torch.OutOfMemoryError:  # one alone has hardly room
        return 1
    torch.cuda.empty_cache()
    return trials_in(device_bytes(world.device, world.device_share), needs, most)


def trials_in(free_bytes: float, needs: Sequence[float], most: int) -> int:
    """Return how many trials have room, whatever their kinds are.

    Seats of a kind are made together, one for each trial of the lane, and of more kinds than there
    are trials none are kept.

    Args:
        free_bytes: of the device.
        needs: what a trial of each kind takes, in bytes.
        most: trials that are wanted.
    """
    largest_first = sorted(needs, reverse=True)
    for trials in range(most, 1, -1):
        of_each_kind = sum(largest_first[:trials])
        if trials * of_each_kind <= free_bytes:
            return trials
    return 1


def _one_of_each_kind(
    context: WorkerContext, rehearsed: Sequence[TrialSettings]
) -> list[TrialSettings]:
    """Return settings of each kind of trial: of those that share no pass by what they take."""
    found: dict[Hashable, TrialSettings] = {}
    for settings in rehearsed:
        packed = can_be_packed(context.base, settings, context.world)
        kind = kind_of(settings) if packed else memory_key(settings)
        found.setdefault(kind, settings)
    return list(islice(found.values(), MOST_KINDS))


def bytes_of_a_trial(context: WorkerContext, settings: TrialSettings) -> float:
    """Return what a trial takes: its weights, what training adds to them, and its passes."""
    packed = can_be_packed(context.base, settings, context.world)
    kind = kind_of(settings) if packed else settings  # a seat's adapters have room for more
    model = for_trial(context.base, kind, drawn=False).train()
    row = context.row_shape(settings, model)
    trained = sum(part.nbytes for part in model.parameters() if part.requires_grad)
    passes = context.memory_of_passes(model, settings)
    return (1 + COPIES) * trained + passes.bytes_of(row.tokens)
