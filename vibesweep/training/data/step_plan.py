"""Which clips make which optimizer step.

That is a function of (seed, epoch, batch size) alone, so workers need not talk about it. Neither
the number of workers, nor micro-batches, nor the way clips are read plays a part. Each epoch goes
through the row groups in an order of its own, one window of them at a time. The clips of a window
are shuffled, sorted by length within pools, and cut into steps, and the steps are shuffled. So a
reader holds one window, each row group is read once an epoch, and a small corpus is a single
window.

Shapes: ``N`` clips, ``G`` row groups, ``S`` steps of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vibesweep.config import TrialSettings
from vibesweep.training.data.arrays import Floats, Ints
from vibesweep.training.data.batches import cut_into_steps
from vibesweep.training.data.index import Index

WINDOW_GROUPS = 32
"""Row groups of a window, from all over the shards: some 3 hours of speech, 128 MB of mels and a
sixth of that encoded."""
WINDOW_LEAST_STEPS = 32
"""A window takes more row groups until it has this many steps: with fewer, too few lengths would
meet."""
ROUNDING = 1e-6
"""Sums of floats end a hair below whole numbers of steps."""


@dataclass(frozen=True, eq=False)
class Window:
    """The steps that a window of row groups is cut into.

    Attributes:
        epoch: counted from 0.
        first_step: number of its first step, counted from the trial's first.
        groups: numbers of the row groups that hold its clips.
        steps: clip numbers of each step.
    """

    epoch: int
    first_step: int
    groups: Ints
    steps: tuple[Ints, ...]


class _Span(NamedTuple):
    """A window before it is cut: its row groups, and its steps counted from the epoch's first."""

    groups: Ints
    first_step: int
    past_step: int


@dataclass(frozen=True, eq=False)
class StepPlan:
    """All steps of a trial, without end.

    An epoch has as many whole steps as its clips fill. Clips left over are spread, so a step holds
    the batch size or a little more. A clip longer than ``batch_seconds`` is a step of its own, or
    nearly.

    Attributes:
        index: index of the clips.
        seed: seed of the shuffles.
        batch_clips: clips in a step.
        batch_seconds: speech in a step, in place of ``batch_clips``.
    """

    index: Index
    seed: int
    batch_clips: int = 8
    batch_seconds: float | None = None

    @classmethod
    def of(cls, index: Index, settings: TrialSettings) -> StepPlan:
        """Make the plan of a trial."""
        return cls(
            index=index,
            seed=settings.seed,
            batch_clips=settings.batch_clips,
            batch_seconds=settings.batch_seconds,
        )

    @cached_property
    def epoch_steps(self) -> int:
        """Number of steps ``S`` in each epoch. A step's number therefore says its epoch."""
        total_weight = float(self._weights.sum())
        return max(int(total_weight + ROUNDING), 1)

    def share_of(self, clips: Ints) -> float:
        """Return the tokens of a step's clips, divided by those of a mean step."""
        tokens = self.index.lengths[clips].sum()
        mean_tokens = self.index.lengths.sum() / self.epoch_steps
        return float(tokens / mean_tokens)

    def windows(self, first_step: int) -> Iterator[Window]:
        """Yield windows, epoch after epoch without end, from the one that holds ``first_step``."""
        epoch, skipped = divmod(first_step, self.epoch_steps)
        while True:
            for number, span in enumerate(self._spans(epoch)):
                if span.past_step > skipped:
                    yield self.window(epoch, number)
            epoch += 1
            skipped = 0

    def window_numbers(self, first_step: int, past_step: int) -> Iterator[tuple[int, int]]:
        """Yield (epoch, number) of each window that holds any of these steps."""
        first_epoch = first_step // self.epoch_steps
        past_epoch = math.ceil(past_step / self.epoch_steps)
        for epoch in range(first_epoch, past_epoch):
            before = epoch * self.epoch_steps
            for number, span in enumerate(self._spans(epoch)):
                ends_late_enough = before + span.past_step > first_step
                begins_early_enough = before + span.first_step < past_step
                if ends_late_enough and begins_early_enough:
                    yield epoch, number

    def steps(self, first_step: int) -> Iterator[tuple[int, int, Ints]]:
        """Yield (number, epoch, clip numbers) of each step from ``first_step`` on, without end."""
        for window in self.windows(first_step):
            for number, clips in enumerate(window.steps, window.first_step):
                if number >= first_step:
                    yield number, window.epoch, clips

    def window(self, epoch: int, number: int) -> Window:
        """Cut one window of an epoch into its steps."""
        span = self._spans(epoch)[number]
        clips_by_group = [self.index.clips_of(group) for group in span.groups]
        clips = np.concatenate(clips_by_group)
        lengths = self.index.lengths[clips]
        weights = self._weights[clips]
        count = span.past_step - span.first_step
        seeds = [self.seed, epoch, number]
        rng = np.random.default_rng(seeds)
        steps = cut_into_steps(clips, lengths, weights, count, rng)
        first_step = epoch * self.epoch_steps + span.first_step
        return Window(epoch, first_step, span.groups, tuple(steps))

    @cached_property
    def _weights(self) -> Floats:
        """What each clip adds to a step [N], in units of the batch size."""
        if self.batch_seconds is None:
            clip_weight = 1 / self.batch_clips
            return np.full(len(self.index), clip_weight)
        shares = self.index.seconds / self.batch_seconds
        return np.minimum(shares, 1.0)  # no step can hold less than a clip

    @lru_cache(maxsize=4)  # noqa: B019 - holds on to at most four plans, which are small
    def _spans(self, epoch: int) -> list[_Span]:
        """Divide an epoch's row groups, in its order, among windows."""
        seeds = [self.seed, epoch]
        rng = np.random.default_rng(seeds)
        order = rng.permutation(len(self.index.groups))
        steps_done = self._steps_done(order)
        spans = []
        first_step = 0
        for start, end in pairwise(_window_bounds(steps_done)):
            past_step = int(steps_done[end - 1])
            span = _Span(order[start:end], first_step, past_step)
            spans.append(span)
            first_step = past_step
        return spans

    def _steps_done(self, order: Ints) -> Ints:
        """Count the whole steps that are filled after each row group of an order [G]."""
        first_clips = self.index.starts[:-1]
        group_weights = np.add.reduceat(self._weights, first_clips)
        filled = np.cumsum(group_weights[order])
        steps_a_weight = self.epoch_steps / filled[-1]
        done: Ints = np.floor(filled * steps_a_weight + ROUNDING).astype(int)
        return done


def _window_bounds(steps_done: Ints) -> list[int]:
    """Choose where windows begin and end.

    Args:
        steps_done: whole steps that each row group and those before it fill [G].

    Returns:
        Places among the row groups: where each window begins, and ``G``.
    """
    bounds = [0]
    steps_before = 0
    for place in range(WINDOW_GROUPS, len(steps_done)):
        groups = place - bounds[-1]
        steps = steps_done[place - 1] - steps_before
        if groups >= WINDOW_GROUPS and steps >= WINDOW_LEAST_STEPS:
            bounds.append(place)
            steps_before = steps_done[place - 1]
    groups_left = len(steps_done) - bounds[-1]
    steps_left = steps_done[-1] - steps_before
    too_small = groups_left < WINDOW_GROUPS or steps_left < WINDOW_LEAST_STEPS
    if len(bounds) > 1 and too_small:
        bounds.pop()  # the rest joins the window before it
    return [*bounds, len(steps_done)]
