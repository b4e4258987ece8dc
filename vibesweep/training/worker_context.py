"""What a worker keeps between trials: the loaded base and its encoded clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.corpus.shards.remarks import check_enough_clips
from vibesweep.models.clips import EncodedClip
from vibesweep.models.packing import RowLimits, RowShape
from vibesweep.models.registry import ModelRef
from vibesweep.models.seating import kind_of
from vibesweep.models.speech_model import Collator, SpeechModel
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.data.arrays import Ints
from vibesweep.training.data.feed import Feed, MemoryFeed
from vibesweep.training.data.index import Index, read_index, read_wanted_clips, voice_groups
from vibesweep.training.loop import never
from vibesweep.training.memory import (
    CPU_TOKENS,
    MASKED_TOKENS,
    MemoryKey,
    MemoryModel,
    free_bytes,
    measure_memory,
    memory_key,
    takes_mask,
)
from vibesweep.training.pack import Pack, make_pack
from vibesweep.training.precision import autocast, on_device, validation_autocast
from vibesweep.training.row_shape import choose_shape, drawn_sizes
from vibesweep.training.seat import (
    Seat,
    can_be_packed,
    own_seat,
    shared_seat,
    take_seat,
    takes_one_shape,
)
from vibesweep.training.turns import Turns
from vibesweep.training.validation import (
    ValidationBatch,
    noise_repeats,
    validation_batches,
    validation_loss,
)
from vibesweep.training.workers import World

TOKEN_BYTES = 8
"""Memory that an encoded clip takes for each token besides its latents."""
SEATS_KEPT = 2
"""Free seats of LoRA trials that stay for later ones of their kinds."""
CLIP_BYTES = 2_000
"""Memory that an encoded clip takes for its tuples, names and tensor headers."""


@dataclass(frozen=True)
class WorkerContext:
    """A base, clips and validation batches that trial after trial uses and none changes.

    Attributes:
        base: the base model, on this worker's device, with nothing set to train.
        feed: feed of the training clips.
        voice_clips: encoded training clips that voice prompts are drawn from: all clips of a small
            corpus.
        collator: makes their batches.
        validation_clips: this worker's encoded validation clips.
        validation_batches: their batches, on its device; their noise is drawn once.
        world: this process among the workers.
        memory_models: the memory that was measured on this device, by kind of trial.
        seats: seats that trials take one after another.
        trials: trials that train at the same time, each in a thread of its own.
        packs: seats of those whose rows are computed together.
        turns: which those threads take; a thread has its turn whenever it is in here, or in a
            trial's run.
        must_leave: tells, after each step, whether a host of these workers is about to go, so that
            the trial has to leave them.
    """

    base: SpeechModel
    feed: Feed
    voice_clips: list[EncodedClip]
    collator: Collator
    validation_clips: list[EncodedClip]
    validation_batches: list[ValidationBatch]
    world: World
    memory_models: dict[MemoryKey, MemoryModel] = field(default_factory=dict)
    seats: list[Seat] = field(default_factory=list)
    trials: int = 1
    packs: list[Pack] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    must_leave: Callable[[], bool] = never

    @classmethod
    def open(
        cls,
        model: ModelRef,
        shards: StorageAddress,
        world: World,
        max_clip_bytes: float = math.inf,
    ) -> WorkerContext:
        """Load the base, and encode the shards or prepare to stream them.

        Args:
            model: the base.
            shards: the folder of shards.
            world: this process among the workers.
            max_clip_bytes: most bytes of encoded training clips to keep in memory. Where there are
                more, they are streamed, which takes Ray.

        Raises:
            ModelError: the base cannot be read.
            ShardsError: the shards cannot be read, do not fit the base, or one of their splits is
                empty.
        """
        model.family.check_shards(model.address, read_manifest(shards), str(shards))
        base = model.load()
        base.take_from(shards)
        index = read_index(shards, base)
        validation_index = read_index(shards, base, "val")
        check_enough_clips(len(index), world.size, str(shards))
        folder = StoragePath.of(shards)
        feed, voice_clips = _feed_and_voices(base, folder, index, world, max_clip_bytes)
        collator = base.collator(voice_clips)
        own_clips = _own_share(validation_index, world)
        validation_clips = _encode_clips(base, folder, validation_index, own_clips)
        repeats = noise_repeats(int(validation_index.patches.sum()))
        batches = validation_batches(
            collator, validation_clips, world.device, repeats, base.stop_weights
        )
        return cls(
            base=on_device(base, world.device),
            feed=feed,
            voice_clips=voice_clips,
            collator=collator,
            validation_clips=validation_clips,
            validation_batches=batches,
            world=world,
        )

    def micro_batch_tokens(self, model: nn.Module, settings: TrialSettings) -> int:
        """Return how many tokens of a trial's model this worker computes at once.

        On a CUDA device the memory that they take is measured once for each kind of trial.

        Args:
            model: a trial's own model.
            settings: what it trains with.
        """
        if settings.micro_batch_tokens is not None:
            return settings.micro_batch_tokens
        device = self.world.device
        if not device.startswith("cuda"):
            return CPU_TOKENS
        free = free_bytes(model, device, self.world.device_share, self.trials)
        tokens = self.memory_of_passes(model, settings).tokens_that_fit(free)
        return min(tokens, MASKED_TOKENS) if takes_mask(settings) else tokens

    def memory_of_passes(self, model: nn.Module, settings: TrialSettings) -> MemoryModel:
        """Return what passes of a trial's model take of a CUDA device; measure it if need be."""
        key = memory_key(settings)
        if key not in self.memory_models:
            device = self.world.device
            self.memory_models[key] = measure_memory(
                model, self.collator, self.voice_clips, device, autocast(settings, device)
            )
        return self.memory_models[key]

    def seat(self, settings: TrialSettings) -> Seat:
        """Find a trial a seat, or make one; the trial has taken it.

        Raises:
            ModelError: the model does not support the settings; on every worker alike.
        """
        base, world = self.base, self.world
        if self.trials > 1 and can_be_packed(base, settings, world):
            seat = self._seat_in_pack(settings)
        elif takes_one_shape(base, settings, world):
            seat = self._seat_for_one_after_another(settings)
        else:
            return own_seat(base, settings, world, partial(self._row_limits, settings))
        take_seat(seat, base, settings, world)
        return seat

    def _seat_for_one_after_another(self, settings: TrialSettings) -> Seat:
        """Find a free seat that an earlier trial of the kind had, or make one."""
        kind = kind_of(settings)
        free = [seat for seat in self.seats if not seat.taken]
        fitting = [seat for seat in free if seat.kind == kind]
        if fitting:
            return fitting[0]
        self._make_room(free)
        shape_for = partial(self.row_shape, settings)
        seat = shared_seat(self.base, settings, self.world, shape_for)
        self.seats.append(seat)
        return seat

    def _seat_in_pack(self, settings: TrialSettings) -> Seat:
        """Find a free seat among others, or make a pack."""
        kind = kind_of(settings)
        for pack in self.packs:
            seat = pack.free_seat()
            if pack.kind == kind and seat is not None:
                return seat
        self.packs[:] = [pack for pack in self.packs if not pack.idle]
        shape_for = partial(self.row_shape, settings)
        pack = make_pack(self.base, settings, self.world, self.trials, self.turns, shape_for)
        self.packs.append(pack)
        return pack.seats[0]

    def _make_room(self, free: list[Seat]) -> None:
        """Drop free seats but for the last ones of LoRA, which hold little: adapters alone."""
        of_lora = [seat for seat in free if seat.kind is not None and seat.kind.method == "lora"]
        kept = of_lora[-SEATS_KEPT:]
        for seat in free:
            if seat not in kept:
                self.seats.remove(seat)

    def _row_limits(self, settings: TrialSettings, model: nn.Module) -> RowLimits:
        return RowLimits(self.micro_batch_tokens(model, settings))

    def row_shape(self, settings: TrialSettings, model: nn.Module) -> RowShape:
        """Choose the shape of rows by the clips, and by what fits the device."""
        sizes = drawn_sizes(self.collator, self.voice_clips, settings)
        return choose_shape(sizes, settings, self.micro_batch_tokens(model, settings))

    def validate(self, model: nn.Module) -> float:
        """Compute a model's loss over the validation clips of all workers; all of them must call.

        The loss has weights that no trial sets and does not depend on the number of workers.
        """
        with validation_autocast(self.base, self.world.device):
            return validation_loss(model, self.validation_batches, self.world, self.turns)


def _feed_and_voices(
    base: SpeechModel, shards: StoragePath, index: Index, world: World, max_clip_bytes: float
) -> tuple[Feed, list[EncodedClip]]:
    """Make a feed from memory if all clips fit, else a stream.

    Returns:
        The feed, and the encoded clips that voice prompts are drawn from; those are the same for
        both feeds.
    """
    clips_by_group = [index.clips_of(group) for group in voice_groups(index)]
    numbers = np.concatenate(clips_by_group)
    voice_clips = _encode_clips(base, shards, index, numbers)
    expected_bytes = _bytes_a_patch(voice_clips) * index.patches.sum()
    if expected_bytes > max_clip_bytes:
        from vibesweep.training.data.stream import StreamFeed  # imports Ray

        stream = StreamFeed(index, shards, base.encoder(), world.rank, world.size)
        return stream, voice_clips
    clips = voice_clips
    if len(clips) < len(index):
        every_clip = np.arange(len(index))
        clips = _encode_clips(base, shards, index, every_clip)
    memory = MemoryFeed(index, clips, world.rank, world.size)
    return memory, voice_clips


def _encode_clips(
    base: SpeechModel, shards: StoragePath, index: Index, numbers: Ints
) -> list[EncodedClip]:
    """Encode these clips of a split, in the order of their numbers."""
    all_groups = np.arange(len(index.groups))
    rows = read_wanted_clips(index, shards, all_groups, np.sort(numbers))
    return [base.encode(row) for _, row in rows]


def _bytes_a_patch(clips: Sequence[EncodedClip]) -> float:
    """Estimate the memory of an encoded clip for each patch: latents, tokens and objects."""
    patches = 0
    clip_bytes = 0
    for clip in clips:
        tokens = clip.length - clip.patches
        patches += clip.patches
        clip_bytes += clip.nbytes + TOKEN_BYTES * tokens + CLIP_BYTES
    return clip_bytes / max(patches, 1)


def _own_share(index: Index, world: World) -> Ints:
    """Choose this worker's clips of a split, such that all workers get like lengths."""
    by_length: Ints = np.argsort(index.lengths, kind="stable")
    own_share = by_length[world.rank :: world.size]
    return own_share
