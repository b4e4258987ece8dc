"""How many positions a worker computes at once: what fits its device, found by measuring, never by running out of memory.

A worker may find less room than another. That is no harm: micro-batches only cut a worker's own share, gradients are exchanged once a
step, and the sums come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.base import Collator, Example, Sizes
from vibesweep.training.batches import BESIDE_POSITIONS

CPU_POSITIONS = 4_096
"""About 1 GB for the shipped base; a core gains nothing from more."""
PROBES = (512, 2_048)
"""Positions that are tried. The larger takes 10 GiB with VibeVoice's 1.5B."""
HEADROOM = 0.2
STATES = 3
"""Copies of the trained weights that come after the first step: two moments and an average."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class Appetite:
    """Bytes that a forward and a backward pass take: ``fixed + slope * positions``."""

    fixed: float
    slope: float

    def positions(self, free_bytes: float) -> int:
        """What fits into so many bytes: a power of two, so that it is the same from trial to trial, and no less than was tried."""
        fits = ((1 - HEADROOM) * free_bytes - self.fixed) / self.slope
        return 1 << (max(int(fits), PROBES[0]).bit_length() - 1)


def key_of(settings: TrialSettings) -> Key:
    """What decides how much memory a position takes."""
    names = ("method", "precision", "gradient_checkpointing", "lora_targets", "lora_head", "lora_dora", "freeze_layers")
    return tuple(getattr(settings, name) for name in names)


def measure(model: nn.Module, collator: Collator, clips: Sequence[Example], device: str, autocast: AbstractContextManager[Any]) -> Appetite:
    """Compute two batches on a CUDA device and see what they took; weights and random numbers stay as they are.

    Args:
        model: a trial's own, not wrapped yet.
        collator: of its batches.
        clips: some to compute, as often as it takes.
        device: that it is on.
        autocast: of its forward pass.
    """
    clip = _longest_that_fits(clips)
    counts = [max(1, positions // _taken(clip)) for positions in PROBES]
    with torch.random.fork_rng([torch.device(device)]):
        # The first pass is not looked at: libraries set their workspaces aside in it
        peaks = [
            _peak(model, collator, [clip] * count, device, autocast) for count in (counts[0], counts[0], max(counts[1], 2 * counts[0]))
        ]
    (small, first), (large, second) = peaks[1:]
    slope = max((second - first) / (large - small), 1.0)
    return Appetite(max(first - slope * small, 0.0), slope)


def free_bytes(model: nn.Module, device: str) -> float:
    """What a CUDA device has left for a trial's passes: what no process holds or torch holds unused, less the optimizer's states."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    states = STATES * sum(part.nbytes for part in model.parameters() if part.requires_grad)
    return float(torch.cuda.mem_get_info(device)[0] + unused - states)


def _longest_that_fits(clips: Sequence[Example]) -> Example:
    """The longest clip that the smaller probe has room for, else the shortest: long clips take the most for each position."""
    ordered = sorted(clips, key=_taken)
    return ([ordered[0]] + [clip for clip in ordered if _taken(clip) <= PROBES[0]])[-1]


def _taken(clip: Example) -> int:
    """Positions, as :func:`vibesweep.training.batches.pack` counts them."""
    return clip.length + BESIDE_POSITIONS


def _peak(
    model: nn.Module, collator: Collator, clips: list[Example], device: str, autocast: AbstractContextManager[Any]
) -> tuple[int, int]:
    """Positions of a batch, and bytes that its passes took at most."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    batch = collator.training(clips, 0, 0).to(device)
    with torch.compiler.set_stance("force_eager"):
        with autocast:
            losses = model(batch)
        torch.autograd.backward(Sizes.of([clip.patches for clip in clips]).weigh(losses, 1.0, 1.0))
    model.zero_grad(set_to_none=True)
    return len(clips) * _taken(clips[0]), torch.cuda.max_memory_allocated(device) - before
