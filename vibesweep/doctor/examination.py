"""The examination: all checks, in their order."""

from __future__ import annotations

from collections.abc import Iterator

from vibesweep.doctor.computing import look_at_cpus, look_at_torch
from vibesweep.doctor.disks import look_at_disks
from vibesweep.doctor.finding import Finding
from vibesweep.doctor.packages import look_at_packages
from vibesweep.doctor.ray import look_at_ray
from vibesweep.doctor.sounds import look_at_sounds


def examine(work: str) -> Iterator[Finding]:
    """Look at all that sweeps need of this machine; findings come as they are made.

    Args:
        work: the folder that sweeps are to work in, a path or URI.
    """
    yield from look_at_packages()
    yield from look_at_torch()
    yield from look_at_cpus()
    yield from look_at_disks(work)
    yield from look_at_sounds()
    yield from look_at_ray()
