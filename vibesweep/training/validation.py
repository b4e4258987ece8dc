"""Validation: fixed batches of held-out clips, and a loss that trials can be compared by.

Prompts, noise and time-steps of a clip are drawn once and are the same for all trials. The loss
uses weights that no trial sets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import (
    STOP_CLASS_WEIGHTS,
    VALIDATION_STOP_WEIGHT,
    Losses,
    LossNormalizer,
)
from vibesweep.models.packing import RowLimits, RowSize, fill_rows
from vibesweep.models.speech_model import Collator
from vibesweep.training.turns import Turns
from vibesweep.training.workers import World

VALIDATION_TOKENS = 4_096
"""Most tokens of a validation batch, but for prompts that a family counts in no clip's length; a
longer clip is a batch of its own. Without gradients and in float32 this takes under 4 GB with
VibeVoice's 7B."""
VALIDATION_DRAWS = 8_192
"""Noised latents in a validation; tests/benchmarks/validation_noise.py measures what this leaves to
chance."""
LEAST_REPEATS = 4
MOST_REPEATS = 32
"""Bounds on the noised copies of each held-out latent."""


class ValidationBatch(NamedTuple):
    """A batch of held-out clips, on the worker's device.

    Attributes:
        batch: what the model's ``forward`` takes.
        normalizer: normalizer of its clips.
    """

    batch: Any
    normalizer: LossNormalizer


def validation_batches(
    collator: Collator,
    clips: Sequence[EncodedClip],
    device: str,
    repeats: int,
    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS,
    draw: int = 0,
) -> list[ValidationBatch]:
    """Make the batches of a worker's held-out clips.

    Args:
        collator: makes the batches.
        clips: the worker's held-out clips.
        device: where the batches go.
        repeats: noised copies of each latent.
        stop_weights: class weights of the model family's stop loss.
        draw: which of many possible noises; trials are compared on one and the same.
    """
    sizes = [RowSize(clip.length) for clip in clips]
    batches = []
    for places in fill_rows(sizes, RowLimits(VALIDATION_TOKENS)):
        part = [clips[place] for place in places]
        batch = collator.validation(part, repeats, draw).to(device)
        patches = [clip.patches for clip in part]
        normalizer = LossNormalizer.of(patches, stop_weights)
        batches.append(ValidationBatch(batch, normalizer))
    return batches


def noise_repeats(patches: int) -> int:
    """Choose the noised copies of each of ``patches`` held-out latents.

    The fewer latents, the more copies, so that the loss depends little on the noise.
    """
    wanted = math.ceil(VALIDATION_DRAWS / max(patches, 1))
    return min(max(wanted, LEAST_REPEATS), MOST_REPEATS)


@torch.no_grad()
def validation_loss(
    model: nn.Module,
    batches: Sequence[ValidationBatch],
    world: World,
    turns: Turns | None = None,
) -> float:
    """Compute a model's loss over the held-out clips of all workers.

    Sums are added up over the workers before they are divided, so the mean is exact although
    workers hold different numbers of clips.

    Args:
        model: the model, in eval mode.
        batches: this worker's batches.
        world: this process among the workers; every worker must call.
        turns: of the trials of this worker, where they take turns; others go first after each
            batch.
    """
    sums = torch.zeros(4, dtype=torch.float64)  # diffusion, stop, patches, stop mass
    for batch, normalizer in batches:
        losses: Losses = model(batch)
        parts = [
            losses.diffusion.item(),
            losses.stop.item(),
            normalizer.patches,
            normalizer.stop_mass,
        ]
        sums += torch.tensor(parts, dtype=torch.float64)
        if turns is not None:
            with turns.let_others():
                pass
    totals = world.sum(sums.to(world.device))
    diffusion, stop, patches, stop_mass = totals.tolist()
    return float(diffusion / patches + VALIDATION_STOP_WEIGHT * stop / stop_mass)
