"""How many tokens a worker computes at once: what fits its device, found by measuring.

A worker may find less room than another. That does no harm: micro-batches only cut a worker's own
share of a step, gradients are exchanged once a step, and the sums come out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle, islice
from operator import attrgetter
from typing import Any

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.speech_model import Collator

CPU_TOKENS = 4_096
"""Takes about 1 GB with the shipped base; a core gains nothing from more."""
SMALL_PROBE_TOKENS = 512
LARGE_PROBE_TOKENS = 2_048
"""Tokens of the two batches that are measured. The larger takes 10 GiB with VibeVoice's 1.5B."""
MASKED_TOKENS = 8_192
"""Most tokens of a row whose clips are kept apart by a mask, which has a number for each pair of
tokens; two short probes say nothing of it."""
HEADROOM = 0.2
"""Share of the free memory that is left alone."""
COPIES = 6
"""Copies of the trained weights that training adds: the gradient, two moments, an average, the
first weights, and one for a larger optimizer."""

MemoryKey = tuple[object, ...]


@dataclass(frozen=True)
class MemoryModel:
    """Bytes that a forward and a backward pass take besides the weights and their gradient.

    They are ``fixed_bytes + bytes_per_token * tokens``.
    """

    fixed_bytes: float
    bytes_per_token: float

    def bytes_of(self, tokens: int) -> float:
        """Return what passes over so many tokens take, with the headroom of their own."""
        return (self.fixed_bytes + self.bytes_per_token * tokens) / (1 - HEADROOM)

    def tokens_that_fit(self, free_bytes: float) -> int:
        """Return how many tokens fit into the free memory, headroom left aside.

        It is a power of two, so that it is the same from trial to trial, and at least as many as
        the smaller probe, which has been computed already.
        """
        usable = (1 - HEADROOM) * free_bytes
        fitting = (usable - self.fixed_bytes) / self.bytes_per_token
        tokens = max(int(fitting), SMALL_PROBE_TOKENS)
        return 1 << (tokens.bit_length() - 1)


def takes_mask(settings: TrialSettings) -> bool:
    """Tell whether attention on a CUDA device goes by a mask: its kernels take nothing else."""
    return settings.precision == "float32" or settings.attention_dropout > 0


def memory_key(settings: TrialSettings) -> MemoryKey:
    """Return what decides how much memory a token takes: trials of one key are measured once.

    Whether there is dropout counts, its rate does not: with any dropout each adapted layer keeps an
    input of its own.
    """
    return (
        settings.method,
        settings.precision,
        settings.gradient_checkpointing,
        settings.freeze_layers,
        settings.lora_targets,
        settings.lora_head,
        settings.lora_connectors,
        settings.lora_dora,
        settings.lora_dropout > 0,
        settings.attention_dropout > 0,
    )


def measure_memory(
    model: nn.Module,
    collator: Collator,
    clips: Sequence[EncodedClip],
    device: str,
    autocast: AbstractContextManager[Any],
) -> MemoryModel:
    """Compute two batches on a CUDA device and measure the memory they take.

    Weights and random states are the same afterwards.

    Args:
        model: a trial's own model.
        collator: makes the batches.
        clips: clips to compute; they are repeated where there are too few.
        device: the CUDA device that the model is on.
        autocast: context of the forward pass.
    """
    few, many = _probe_batches(clips)
    with torch.random.fork_rng([torch.device(device)]):
        # The first pass is not counted, because libraries allocate their workspaces in it. It
        # leaves its gradient, as all micro-batches before the last do: without one, a small pass
        # would peak at its end and a large one at its beginning, and the two would lie on no line.
        _peak(model, collator, few, device, autocast)
        small_tokens, small_bytes = _peak(model, collator, few, device, autocast)
        large_tokens, large_bytes = _peak(model, collator, many, device, autocast)
    model.zero_grad(set_to_none=True)
    slope = (large_bytes - small_bytes) / (large_tokens - small_tokens)
    bytes_per_token = max(slope, 1.0)
    fixed_bytes = max(small_bytes - bytes_per_token * small_tokens, 0.0)
    return MemoryModel(fixed_bytes, bytes_per_token)


def free_bytes(model: nn.Module, device: str, device_share: float = 1.0, trials: int = 1) -> float:
    """Return what a CUDA device has left for a trial's forward and backward passes.

    What training adds besides them (:data:`COPIES`) is taken off.

    Args:
        model: a trial's own model.
        device: the CUDA device that the model is on.
        device_share: this process's share of the device.
        trials: that are computed at the same time.
    """
    trained = [part.nbytes for part in model.parameters() if part.requires_grad]
    return device_bytes(device, device_share) / trials - COPIES * sum(trained)


def device_bytes(device: str, device_share: float) -> float:
    """Return the bytes of a CUDA device that this process may still take."""
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    allocated = torch.cuda.memory_allocated(device)
    return available_bytes(free, total, reserved, allocated, device_share)


def available_bytes(
    free: float, total: float, reserved: float, allocated: float, device_share: float
) -> float:
    """Compute the bytes of a device that a process may still take.

    What other processes hold at the moment says little where several share the device: the first to
    look would take all of it and the last would find nothing. So a process goes by its own share,
    and by the free bytes only where those are fewer.

    Args:
        free: bytes that no process holds.
        total: bytes of the device.
        reserved: bytes that this process holds.
        allocated: bytes of those that are in use.
        device_share: this process's share of the device.
    """
    free_to_torch = free + reserved - allocated
    own_share_left = device_share * total - allocated
    return float(min(free_to_torch, own_share_left))


def _probe_batches(clips: Sequence[EncodedClip]) -> tuple[list[EncodedClip], list[EncodedClip]]:
    """Make a small batch of the longest clips that fit the smaller probe, and a large one of them.

    Long clips take the most memory for each token.
    """
    ordered = sorted(clips, key=attrgetter("length"), reverse=True)
    fitting = [clip for clip in ordered if clip.length <= SMALL_PROBE_TOKENS]
    longest = fitting or ordered[-1:]
    clip_tokens = longest[0].length
    few = max(SMALL_PROBE_TOKENS // clip_tokens, 1)
    many = max(LARGE_PROBE_TOKENS // clip_tokens, 2)
    small_batch = list(islice(cycle(longest), few))
    large_batch = list(islice(cycle(longest[:few]), many))
    return small_batch, large_batch


def _peak(
    model: nn.Module,
    collator: Collator,
    clips: list[EncodedClip],
    device: str,
    autocast: AbstractContextManager[Any],
) -> tuple[int, int]:
    """Return a batch's tokens, and the most bytes that its passes took."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    batch = collator.training(clips, 0, 0).to(device)
    normalizer = LossNormalizer.of([clip.patches for clip in clips])
    with torch.compiler.set_stance("force_eager"):
        with autocast:
            losses = model(batch)
        torch.autograd.backward(normalizer.weighted_loss(losses, 1.0, 1.0))
    return batch.tokens, torch.cuda.max_memory_allocated(device) - before
