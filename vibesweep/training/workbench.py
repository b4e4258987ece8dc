"""All that stays warm between trials: the loaded base and its encoded clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import nn

from vibesweep.corpus.manifest import Address, read_manifest, read_rows
from vibesweep.errors import ShardsError
from vibesweep.models.base import VALIDATION_STOP_WEIGHT, Collator, Example, Losses, Sizes, SpeechModel
from vibesweep.models.bundle import load_bundle

VALIDATION_CLIPS = 16
"""Clips in one validation batch."""


@dataclass(frozen=True)
class World:
    """This process among a trial's workers.

    Attributes:
        rank: its number.
        size: how many there are.
        device: where it computes, as torch names it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the workers."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values


@dataclass(frozen=True)
class Workbench:
    """A base, clips and validation batches that trial after trial uses and none changes.

    Attributes:
        base: on this worker's device, nothing set to train.
        clips: encoded training clips, the same on every worker.
        collator: makes their batches.
        validation: this worker's validation batches, on its device, each with its sizes; their noise is drawn once.
        world: this process among the workers.
    """

    base: SpeechModel
    clips: list[Example]
    collator: Collator
    validation: list[tuple[Any, Sizes]]
    world: World

    @classmethod
    def open(cls, model: str, shards: Address, world: World) -> Workbench:
        """Load the base and encode the shards, which no trial does again.

        Raises:
            ModelError: the base cannot be read.
            ShardsError: the shards cannot be read, do not fit the base, or one of their splits is empty.
        """
        base = load_bundle(model).model
        base.check_shards(read_manifest(shards), str(shards))
        clips = [base.encode(row) for row in read_rows(shards, "train")]
        held_out = [base.encode(row) for row in read_rows(shards, "val")]
        for split, found in (("train", clips), ("val", held_out)):
            if not found:
                raise ShardsError(f"the {split} split is empty", where=str(shards), fix="preprocess more recordings")
        if len(clips) < world.size:
            found_clips = f"{len(clips)} training clips cannot feed {world.size} workers"
            raise ShardsError(found_clips, where=str(shards), fix="add recordings or take fewer workers")
        collator = base.collator(clips)
        return cls(base.to(world.device), clips, collator, _validation_batches(collator, held_out, world), world)

    @torch.no_grad()
    def validate(self, model: nn.Module) -> float:
        """Loss of a model, in eval mode, over the held-out clips: in weights that no trial sets, the same for any number of workers."""
        sums = torch.zeros(4, dtype=torch.float64)
        for batch, sizes in self.validation:
            losses: Losses = model(batch)
            sums += torch.tensor([losses.diffusion.item(), losses.stop.item(), sizes.patches, sizes.stop_mass], dtype=torch.float64)
        diffusion, stop, patches, stop_mass = self.world.total(sums.to(self.world.device)).tolist()
        return float(diffusion / patches + VALIDATION_STOP_WEIGHT * stop / stop_mass)


def _validation_batches(collator: Collator, clips: list[Example], world: World) -> list[tuple[Any, Sizes]]:
    """Deal the held-out clips, sorted by length, to the workers; sums over workers make the mean exact though shares are uneven."""
    mine = sorted(clips, key=lambda clip: clip.length)[world.rank :: world.size]
    batches = [mine[i : i + VALIDATION_CLIPS] for i in range(0, len(mine), VALIDATION_CLIPS)]
    return [(collator.validation(batch).to(world.device), Sizes.of([clip.patches for clip in batch])) for batch in batches]
