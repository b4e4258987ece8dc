"""The most memory that a worker's process holds while a trial trains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from vibesweep.training.workers import is_cuda

FORGET = Path("/proc/self/clear_refs")
PEAK_ALONE = "5"
"""What Linux takes there to forget the largest resident size (man 5 proc)."""
STATUS = Path("/proc/self/status")
LARGEST_RESIDENT = "VmHWM:"
KIB = 1_024


def watch_peak(device: str) -> Callable[[], int]:
    """Begin anew to look for the peak.

    Args:
        device: where the trial trains: a CUDA device, or ``cpu``.

    Returns:
        A function that returns the peak in bytes since then, or 0 where the system does not tell
        it. On a CUDA device it is what tensors take, the base included; elsewhere what is resident
        of the whole process.
    """
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)
        return partial(torch.cuda.max_memory_allocated, device)
    try:
        FORGET.write_text(PEAK_ALONE)
    except OSError:  # no Linux, or a container that forbids it
        return lambda: 0
    return _largest_resident_bytes


def _largest_resident_bytes() -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(LARGEST_RESIDENT):
            return int(line.split()[1]) * KIB
    return 0
