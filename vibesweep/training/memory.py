"""How many positions a worker computes at once: what fits its device, found by measuring, never by running out of memory.

A worker may find less room than another. That is no harm: micro-batches only cut a worker's own share, gradients are exchanged once a
step, and the sums come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.family import Collator, EncodedClip, LossNormalizer
from vibesweep.training.data.batches import BESIDE_TOKENS

CPU_TOKENS = 4_096
"""About 1 GB for the shipped base; a core gains nothing from more."""
PROBES = (512, 2_048)
"""Positions that are tried. The larger takes 10 GiB with VibeVoice's 1.5B."""
HEADROOM = 0.2
COPIES = 5
"""Of the trained weights, that come beside them: the gradient, two moments, an average, and one for DDP's buckets or a larger optimizer."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class MemoryModel:
    """Bytes that a forward and a backward pass take beside the weights and their gradient: ``fixed + slope * positions``."""

    fixed: float
    slope: float

    def positions(self, free_bytes: float) -> int:
        """What fits into so many bytes: a power of two, so that it is the same from trial to trial, and no less than was tried."""
        fits = ((1 - HEADROOM) * free_bytes - self.fixed) / self.slope
        return 1 << (max(int(fits), PROBES[0]).bit_length() - 1)


def key_of(settings: TrialSettings) -> Key:
    """What decides how much memory a position takes. Dropout of any share does: each adapted layer then keeps an input of its own."""
    names = (
        "method",
        "precision",
        "gradient_checkpointing",
        "freeze_layers",
        "lora_targets",
        "lora_head",
        "lora_connectors",
        "lora_dora",
    )
    drops = (settings.lora_dropout > 0, settings.attention_dropout > 0)
    return (*(getattr(settings, name) for name in names), *drops)


def measure(
    model: nn.Module,
    collator: Collator,
    clips: Sequence[EncodedClip],
    device: str,
    autocast: AbstractContextManager[Any],
) -> MemoryModel:
    """Compute two batches on a CUDA device and see what they took; weights and random numbers stay as they are.

    Args:
        model: a trial's own, not wrapped yet.
        collator: of its batches.
        clips: some to compute, as often as it takes.
        device: that it is on.
        autocast: of its forward pass.
    """
    few, many = _probes(clips)
    with torch.random.fork_rng([torch.device(device)]):
        # The first pass is not looked at: libraries set their workspaces aside in it. It leaves its gradient, as the micro-batches
        # before the last do: where there is none, a small pass is largest at its end and a large one at its beginning, on no line.
        _, (small, first), (large, second) = [
            _peak(model, collator, batch, device, autocast) for batch in (few, few, many)
        ]
    model.zero_grad(set_to_none=True)
    slope = max((second - first) / (large - small), 1.0)
    return MemoryModel(max(first - slope * small, 0.0), slope)


def free_bytes(model: nn.Module, device: str, share: float = 1.0) -> float:
    """What a CUDA device has left for a trial's passes: of this process' share, and of all of it, less what comes with training."""
    copies = COPIES * sum(part.nbytes for part in model.parameters() if part.requires_grad)
    free, total = torch.cuda.mem_get_info(device)
    return (
        room(
            free,
            total,
            torch.cuda.memory_reserved(device),
            torch.cuda.memory_allocated(device),
            share,
        )
        - copies
    )


def room(free: float, total: float, reserved: float, allocated: float, share: float) -> float:
    """Bytes that a process may still take of a device.

    What others hold at the moment says little where several share the device: the first to look would take all of it, and the last find
    nothing. So a process goes by its own share, and by what is free only where that is less.

    Args:
        free: bytes that no process holds.
        total: bytes of the device.
        reserved: bytes that this process holds.
        allocated: bytes of them that are in use.
        share: of the device, that is this process'.
    """
    return float(min(free + reserved - allocated, share * total - allocated))


def _probes(clips: Sequence[EncodedClip]) -> tuple[list[EncodedClip], list[EncodedClip]]:
    """Two batches: as many of the longest clips as the smaller probe has room for, and the same over and over for the larger.

    Long clips take the most for each position that is counted, and a batch of several is as wide as any of their drawn prompts makes
    it. One clip over and over has one draw: it measured 0.6 to 0.95 of what was counted for it.
    """
    ordered = sorted(clips, key=_taken, reverse=True)
    longest = [clip for clip in ordered if _taken(clip) <= PROBES[0]] or ordered[-1:]
    few, many = (
        max(positions // _taken(longest[0]), least)
        for positions, least in zip(PROBES, (1, 2), strict=True)
    )
    return list(islice(cycle(longest), few)), list(islice(cycle(longest[:few]), many))


def _taken(clip: EncodedClip) -> int:
    """Positions, as :func:`vibesweep.training.data.batches.pack` counts them."""
    return clip.length + BESIDE_TOKENS


def _peak(
    model: nn.Module,
    collator: Collator,
    clips: list[EncodedClip],
    device: str,
    autocast: AbstractContextManager[Any],
) -> tuple[int, int]:
    """Positions of a batch, longest clip first, and bytes that its passes took at most."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    batch = collator.training(clips, 0, 0).to(device)
    with torch.compiler.set_stance("force_eager"):
        with autocast:
            losses = model(batch)
        torch.autograd.backward(
            LossNormalizer.of([clip.patches for clip in clips]).weighted_loss(losses, 1.0, 1.0)
        )
    return len(clips) * _taken(clips[0]), torch.cuda.max_memory_allocated(device) - before
