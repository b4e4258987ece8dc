"""How many of a trial's workers a host has room for, in Ray's accounts."""

from __future__ import annotations

from collections.abc import Mapping

from vibesweep.config import TrialResources

GRAINS = 10_000
"""Ray counts resources in ten-thousandths; whole numbers of them divide without a remainder that is only rounding."""
ACCELERATOR = "accelerator_type:"
"""Ray's prefix of the resource that tells what GPUs a host has."""


def workers_on(host: Mapping[str, float], one: TrialResources) -> int:
    """How many workers fit a host, given its resources.

    A worker that holds a part of a GPU has it on one GPU: two GPUs of which each takes two workers of 0.4 take four, not five.
    """
    if one.accelerator_type is not None and f"{ACCELERATOR}{one.accelerator_type}" not in host:
        return 0
    rooms = []
    if one.cpus_per_worker:
        rooms.append(_times(host.get("CPU", 0.0), one.cpus_per_worker))
    if one.gpus_per_worker:
        rooms.append(int(host.get("GPU", 0.0)) * _times(1.0, one.gpus_per_worker))
    return min(rooms)


def accelerator_of(host: Mapping[str, float]) -> str | None:
    """What GPUs the host has, as Ray names them; ``None`` where it has none, or does not say."""
    return next(
        (name.removeprefix(ACCELERATOR) for name in host if name.startswith(ACCELERATOR)), None
    )


def _times(has: float, needs: float) -> int:
    return round(has * GRAINS) // max(round(needs * GRAINS), 1)
