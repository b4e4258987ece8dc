"""Which clips make which optimizer step: a function of (seed, epoch, batch size) alone, so no worker need ask another.

Neither the number of workers, nor micro-batches, nor the way clips are read plays a part. An epoch goes through the row groups in an
order of its own, a window of them at a time: a window's clips are shuffled, sorted by length within pools, cut into steps, and the
steps are shuffled. So a reader holds one window, each row group is read once an epoch, and a small corpus is a single window.

Shapes: ``N`` clips, ``S`` steps of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from vibesweep.config import TrialSettings
from vibesweep.models.family import Augmentation, Ints
from vibesweep.training.data.index import Floats, Index

POOL_STEPS = 16
"""Clips are sorted by length within pools of so many steps: like lengths pad little, and the order is still shuffled."""
WINDOW_GROUPS = 32
"""Row groups in a window, from all over the shards: some 3 hours of speech, 128 MB of mels and a sixth of that encoded."""
WINDOW_LEAST_STEPS = 32
"""A window takes more row groups where its steps would be fewer: too few would know too few lengths."""
BESIDE_TOKENS = 32
"""What a clip's sequence holds beside its own length: two voice prompts of two seconds, and tags."""


@dataclass(frozen=True, eq=False)
class Window:
    """The steps that a window of row groups is cut into.

    Attributes:
        epoch: counted from 0.
        first_step: number of its first step, counted from the trial's first.
        groups: the row groups that hold its clips.
        steps: numbers of the clips of each step.
    """

    epoch: int
    first_step: int
    groups: Ints
    steps: tuple[Ints, ...]


@dataclass(frozen=True, eq=False)
class StepPlan:
    """All steps of a trial, without end.

    The last clips are spread: an epoch has as many steps as the batch size goes into it, so a step holds that or little more. A
    clip longer than ``batch_seconds`` is a step of its own, or nearly.

    Attributes:
        index: of the clips.
        seed: of the shuffle.
        batch_clips: clips in a step.
        batch_seconds: speech in a step, in place of ``batch_clips``.
        beside: positions that a clip's sequence takes beside its length.
    """

    index: Index
    seed: int
    batch_clips: int = 8
    batch_seconds: float | None = None
    beside: int = BESIDE_TOKENS

    @classmethod
    def of(cls, index: Index, settings: TrialSettings) -> StepPlan:
        """The plan of a trial."""
        silence = Augmentation.of(settings).silence_patches
        return cls(
            index,
            settings.seed,
            settings.batch_clips,
            settings.batch_seconds,
            BESIDE_TOKENS + silence,
        )

    @cached_property
    def epoch_steps(self) -> int:
        """``S``, the same in every epoch: the number of a step says its epoch."""
        return self._whole(float(self._weights.sum()))

    def windows(self, first_step: int) -> Iterator[Window]:
        """Yield the windows, epoch after epoch without end, from the one that holds this step."""
        epoch, skipped = divmod(first_step, self.epoch_steps)
        while True:
            for number, (_, past) in enumerate(self._layout(epoch)):
                if past > skipped:
                    yield self.window(epoch, number)
            epoch, skipped = epoch + 1, 0

    def places(self, first_step: int, past_step: int) -> Iterator[tuple[int, int]]:
        """(epoch, number) of each window that holds one of these steps."""
        for epoch in range(first_step // self.epoch_steps, -(-past_step // self.epoch_steps)):
            begins = epoch * self.epoch_steps
            for number, (_, past) in enumerate(self._layout(epoch)):
                first = self._layout(epoch)[number - 1][1] if number else 0
                if begins + past > first_step and begins + first < past_step:
                    yield epoch, number

    def steps(self, first_step: int) -> Iterator[tuple[int, int, Ints]]:
        """Yield (number, epoch, clips) of each step from this one on, without end."""
        for window in self.windows(first_step):
            for number, clips in enumerate(window.steps, window.first_step):
                if number >= first_step:
                    yield number, window.epoch, clips

    def window(self, epoch: int, number: int) -> Window:
        """One window of an epoch."""
        layout = self._layout(epoch)
        groups, past = layout[number]
        first = layout[number - 1][1] if number else 0
        clips = np.concatenate([self.index.clips_of(group) for group in groups])
        rng = np.random.default_rng([self.seed, epoch, number])
        steps = _cut(clips, self.index.lengths[clips], self._weights[clips], past - first, rng)
        return Window(epoch, epoch * self.epoch_steps + first, groups, tuple(steps))

    @cached_property
    def _weights(self) -> Floats:
        """What each clip adds to a step [N], in units of the batch size."""
        if self.batch_seconds is None:
            return np.full(len(self.index), 1 / self.batch_clips)
        return np.minimum(
            self.index.seconds / self.batch_seconds, 1.0
        )  # at most one: no step can hold less than a clip

    def _whole(self, weight: float) -> int:
        return max(int(weight + 1e-6), 1)  # sums of floats end a hair below whole numbers

    @lru_cache(maxsize=4)  # noqa: B019 - a plan is dropped with its trial, and these few with it
    def _layout(self, epoch: int) -> list[tuple[Ints, int]]:
        """The row groups of each window of an epoch, and the steps that are done with it."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.index.groups))
        filled = np.cumsum(np.add.reduceat(self._weights, self.index.starts[:-1])[order])
        done = np.floor(filled * (self.epoch_steps / filled[-1]) + 1e-6).astype(int)
        cuts, last = [0], 0
        for group in range(WINDOW_GROUPS, len(order)):
            if group - cuts[-1] >= WINDOW_GROUPS and done[group - 1] - last >= WINDOW_LEAST_STEPS:
                cuts.append(group)
                last = done[group - 1]
        if len(cuts) > 1 and (
            len(order) - cuts[-1] < WINDOW_GROUPS or self.epoch_steps - last < WINDOW_LEAST_STEPS
        ):
            cuts.pop()  # what is left is no window: the last one takes it in
        ends = [*cuts[1:], len(order)]
        return [
            (order[start:end], int(done[end - 1])) for start, end in zip(cuts, ends, strict=True)
        ]


def epoch_steps(lengths: Sequence[int], batch_clips: int, seed: int, epoch: int) -> list[list[int]]:
    """Deal clips that are all at hand into the steps of an epoch, for programs that have no index.

    Args:
        lengths: positions each clip takes [N].
        batch_clips: clips in a step.
        seed: of the shuffle.
        epoch: counted from 0; each has an order of its own.

    Returns:
        Indices of the clips of each step; each clip comes once.
    """
    clips, count = np.arange(len(lengths)), max(len(lengths) // batch_clips, 1)
    rng = np.random.default_rng([seed, epoch])
    return [
        step.tolist()
        for step in _cut(clips, np.asarray(lengths), np.ones(len(lengths)), count, rng)
    ]


def deal(clips: Ints, lengths: Ints, rank: int, size: int) -> tuple[Ints, float]:
    """A worker's part of a step, and what its loss counts.

    Parts are balanced by positions: each clip, longest first, goes to the worker with the fewest. A step with fewer clips than
    workers leaves none idle, for DDP waits for the gradients of all: those that get no clip compute the shortest one, and their
    loss counts 0. So the plan need not know the workers.

    Args:
        clips: numbers of the step's clips.
        lengths: positions of all clips [N].
        rank: of the worker.
        size: how many workers there are.

    Returns:
        Numbers of its clips, longest first, and 1.0; or a borrowed clip and 0.0.
    """
    ordered = _longest_first(clips, lengths)
    filled, mine = [0] * size, []
    for clip in ordered.tolist():
        taker = filled.index(min(filled))
        filled[taker] += int(lengths[clip])
        if taker == rank:
            mine.append(clip)
    return (np.array(mine), 1.0) if mine else (ordered[-1:], 0.0)


def pack(clips: Ints, lengths: Ints, positions: int, beside: int = BESIDE_TOKENS) -> list[Ints]:
    """Cut a worker's clips into parts of at most so many positions, padding included; a longer clip is a part of its own.

    Args:
        clips: numbers of the clips.
        lengths: positions of all clips [N].
        positions: what fits the device at once.
        beside: positions that each clip takes beside its length.

    Returns:
        Numbers of the clips of each part, longest first; none is empty.
    """
    parts: list[list[int]] = []
    for clip in _longest_first(clips, lengths).tolist():
        if parts and (lengths[parts[-1][0]] + beside) * (len(parts[-1]) + 1) <= positions:
            parts[-1].append(clip)
        else:
            parts.append([clip])
    return [np.array(part) for part in parts]


def _longest_first(clips: Ints, lengths: Ints) -> Ints:
    ordered: Ints = clips[np.lexsort((clips, -lengths[clips]))]
    return ordered


def _cut(
    clips: Ints, lengths: Ints, weights: Floats, count: int, rng: np.random.Generator
) -> list[Ints]:
    """Cut clips, with their lengths and weights, into so many steps of like weight and of like lengths, in a shuffled order."""
    assert 1 <= count <= len(clips), (count, len(clips))
    pools = np.array_split(rng.permutation(len(clips)), max(count // POOL_STEPS, 1))
    # Up, then down: a step that ends one pool and begins the next holds like lengths too
    runs = [
        pool[np.argsort(lengths[pool], kind="stable")][:: 1 if turn % 2 == 0 else -1]
        for turn, pool in enumerate(pools)
    ]
    order = np.concatenate(runs)
    ends = _even_ends(np.cumsum(weights[order]), count)
    steps = np.split(clips[order], ends)
    return [steps[i] for i in rng.permutation(count)]


def _even_ends(filled: Floats, count: int) -> Ints:
    """Where all parts but the last end, so that each takes about as much of the running sum and at least one clip."""
    wanted = np.arange(1, count) * (filled[-1] / count)
    ends = np.searchsorted(filled - np.diff(filled, prepend=0.0) / 2, wanted)
    places = np.arange(1, count)
    ends = np.maximum.accumulate(ends - places) + places  # each at least one further
    bounded: Ints = np.clip(ends, places, len(filled) - count + places)
    return bounded
