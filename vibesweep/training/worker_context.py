"""All that stays warm between trials: the loaded base and its encoded clips."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.errors import ShardsError
from vibesweep.models.bundle import load_bundle
from vibesweep.models.family import (
    STOP_CLASS_WEIGHTS,
    VALIDATION_STOP_WEIGHT,
    Collator,
    EncodedClip,
    Ints,
    Losses,
    LossNormalizer,
    SpeechModel,
)
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.data.batches import pack
from vibesweep.training.data.feed import Feed, MemoryFeed
from vibesweep.training.data.index import Index, read_clips, read_index, voice_groups
from vibesweep.training.memory import CPU_TOKENS, Key, MemoryModel, free_bytes, key_of, measure

T = TypeVar("T")

VALIDATION_TOKENS = 4_096
"""In one validation batch, padding included, or a single clip: without gradients and in float32, under 4 GB with VibeVoice's 7B."""
VALIDATION_DRAWS, VALIDATION_REPEATS = 8_192, (4, 32)
"""Noised latents in a validation, and how often each may come: tests/benchmarks/validation_noise.py measures what that leaves to chance."""
TOKEN_BYTES, CLIP_BYTES = 8, 2_000
"""What an encoded clip takes beside its latents: a number for each token, and tuples, names and a tensor's head."""


@dataclass(frozen=True)
class World:
    """This process among a trial's workers.

    Attributes:
        rank: its number.
        size: how many there are.
        device: where it computes, as torch names it.
        device_share: how much of the device is its own, where several processes share it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    device_share: float = 1.0

    def any(self, flag: bool) -> bool:
        """Whether any of the workers says so."""
        return bool(self.total(torch.tensor(float(flag), device=self.device)).item())

    def gathered(self, item: T) -> list[T]:
        """What each of the workers has of it, in the order of their ranks."""
        found = [item] * self.size
        if self.size > 1:
            torch.distributed.all_gather_object(found, item)
        return found

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the workers."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values


@dataclass(frozen=True)
class WorkerContext:
    """A base, clips and validation batches that trial after trial uses and none changes.

    Attributes:
        base: on this worker's device, nothing set to train.
        feed: of the training clips.
        clips: encoded training clips that voice prompts are drawn from: all of a small corpus.
        collator: makes their batches.
        held_out: this worker's encoded validation clips.
        validation: their batches, on its device, each with its sizes; their noise is drawn once.
        world: this process among the workers.
        memory_models: of the methods that have been measured on this device.
    """

    base: SpeechModel
    feed: Feed
    clips: list[EncodedClip]
    collator: Collator
    held_out: list[EncodedClip]
    validation: list[tuple[Any, LossNormalizer]]
    world: World
    memory_models: dict[Key, MemoryModel] = field(default_factory=dict)

    @classmethod
    def open(
        cls, model: str, shards: StorageAddress, world: World, clips_bytes: float = math.inf
    ) -> WorkerContext:
        """Load the base, and encode the shards or make ready to stream them, which no trial does again.

        Args:
            model: a base's name or folder.
            shards: the folder of shards.
            world: this process among the workers.
            clips_bytes: of encoded training clips that may be kept; where there are more they are streamed, which takes Ray.

        Raises:
            ModelError: the base cannot be read.
            ShardsError: the shards cannot be read, do not fit the base, or one of their splits is empty.
        """
        base = load_bundle(model).model
        manifest = read_manifest(shards)
        base.check_shards(base.describe(), manifest, str(shards))
        base.take_from(shards)
        index, held_out = read_index(shards, type(base)), read_index(shards, type(base), "val")
        if len(index) < world.size:
            found_clips = f"{len(index)} training clips cannot feed {world.size} workers"
            raise ShardsError(
                found_clips, where=str(shards), fix="add recordings or take fewer workers"
            )
        feed, voices = _feed_and_voices(base, StoragePath.of(shards), index, world, clips_bytes)
        collator = base.collator(voices)
        mine = encoded(base, StoragePath.of(shards), held_out, _mine(held_out, world))
        validation = validation_batches(
            collator, mine, world.device, repeats_of(int(held_out.patches.sum())), base.stop_weights
        )
        return cls(base.to(world.device), feed, voices, collator, mine, validation, world)

    def positions(
        self, model: nn.Module, settings: TrialSettings, autocast: AbstractContextManager[Any]
    ) -> int:
        """How many positions a trial's model, not wrapped yet, computes at once on this worker."""
        if settings.micro_batch_tokens is not None:
            return settings.micro_batch_tokens
        device = self.world.device
        if not device.startswith("cuda"):
            return CPU_TOKENS
        key = key_of(settings)
        if key not in self.memory_models:
            self.memory_models[key] = measure(model, self.collator, self.clips, device, autocast)
        return self.memory_models[key].positions(free_bytes(model, device, self.world.device_share))

    @torch.no_grad()
    def validate(self, model: nn.Module) -> float:
        """Loss of a model, in eval mode, over the held-out clips: in weights that no trial sets, the same for any number of workers."""
        sums = torch.zeros(4, dtype=torch.float64)
        for batch, sizes in self.validation:
            losses: Losses = model(batch)
            sums += torch.tensor(
                [losses.diffusion.item(), losses.stop.item(), sizes.patches, sizes.stop_mass],
                dtype=torch.float64,
            )
        diffusion, stop, patches, stop_mass = self.world.total(sums.to(self.world.device)).tolist()
        return float(diffusion / patches + VALIDATION_STOP_WEIGHT * stop / stop_mass)


def _feed_and_voices(
    base: SpeechModel, shards: StoragePath, index: Index, world: World, clips_bytes: float
) -> tuple[Feed, list[EncodedClip]]:
    """All clips where they fit, else a stream; and the clips that prompts come from, which are the same in both."""
    voices = np.concatenate([index.clips_of(group) for group in voice_groups(index)])
    prompts = encoded(base, shards, index, voices)
    if _bytes_a_patch(prompts) * index.patches.sum() > clips_bytes:
        from vibesweep.training.data.stream import StreamFeed  # Ray, where it is needed

        return StreamFeed(index, shards, base.encoder(), world.rank, world.size), prompts
    clips = (
        prompts
        if len(voices) == len(index)
        else encoded(base, shards, index, np.arange(len(index)))
    )
    return MemoryFeed(index, clips, world.rank, world.size), prompts


def encoded(base: SpeechModel, shards: StoragePath, index: Index, clips: Ints) -> list[EncodedClip]:
    """Encode these clips, in the order of their numbers."""
    return [
        base.encode(row)
        for _, row in read_clips(index, shards, np.arange(len(index.groups)), np.sort(clips))
    ]


def _bytes_a_patch(clips: list[EncodedClip]) -> float:
    """What an encoded clip takes for each of its patches: latents, tokens, and Python's own."""
    taken = sum(
        clip.nbytes + TOKEN_BYTES * (clip.length - clip.patches) + CLIP_BYTES for clip in clips
    )
    return taken / max(sum(clip.patches for clip in clips), 1)


def _mine(held_out: Index, world: World) -> Ints:
    """This worker's share of the held-out clips; those of like length are dealt out in turn."""
    ordered: Ints = np.argsort(held_out.lengths, kind="stable")[world.rank :: world.size]
    return ordered


def repeats_of(patches: int) -> int:
    """Noised copies of each of so many held-out latents: more where there are few, so that the loss depends little on the noise."""
    least, most = VALIDATION_REPEATS
    return min(max(-(-VALIDATION_DRAWS // max(patches, 1)), least), most)


def validation_batches(
    collator: Collator,
    clips: list[EncodedClip],
    device: str,
    repeats: int,
    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS,
    draw: int = 0,
) -> list[tuple[Any, LossNormalizer]]:
    """Batches of a worker's held-out clips; sums over workers make the mean exact though shares are uneven."""
    lengths = np.array([clip.length for clip in clips])
    batches = [
        [clips[number] for number in part]
        for part in pack(np.arange(len(clips)), lengths, VALIDATION_TOKENS)
    ]
    return [
        (
            collator.validation(batch, repeats, draw).to(device),
            LossNormalizer.of([clip.patches for clip in batch], stop_weights),
        )
        for batch in batches
    ]
