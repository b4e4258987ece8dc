"""How steps reach the training loop: the plan says which clips they are, a feed brings them.

A feed yields this worker's share of each step, from any step on, as encoded clips.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.training.data.arrays import Ints
from vibesweep.training.data.batches import deal
from vibesweep.training.data.index import Index
from vibesweep.training.data.step_plan import StepPlan

Steps = Generator["Step", None, None]
"""Close it unless it is read to its end: it may hold processes and memory."""


@dataclass(frozen=True, eq=False)
class StepShare:
    """A worker's part of a step, as clip numbers.

    Attributes:
        step: number of the step, counted from the trial's first.
        epoch: counted from 0.
        clips: clip numbers of the whole step.
        own_clips: clip numbers of this worker, longest first; there may be none.
    """

    step: int
    epoch: int
    clips: Ints
    own_clips: Ints


@dataclass(frozen=True, eq=False)
class Step:
    """One optimizer step as a worker sees it.

    Attributes:
        number: counted from the trial's first.
        epoch: counted from 0.
        clips: clip numbers of the whole step, over all workers.
        normalizer: normalizer of the whole step, over all workers.
        own_clips: this worker's clips, longest first; none where the step has fewer clips than
            there are workers.
    """

    number: int
    epoch: int
    clips: Ints
    normalizer: LossNormalizer
    own_clips: tuple[EncodedClip, ...]


class Feed(Protocol):
    """Where a worker's clips come from."""

    @property
    def index(self) -> Index:
        """Index of all training clips."""

    def steps(self, plan: StepPlan, first_step: int, past_step: int) -> Steps:
        """Yield the steps from ``first_step`` to before ``past_step``, over any number of epochs.

        Args:
            plan: a plan over this feed's index.
            first_step: the first step to yield. Nothing before it is read, except what lies in the
                same window.
            past_step: end of the steps that may be asked for; a feed reads ahead up to there.
        """


class MemoryFeed:
    """A feed whose clips are all in memory."""

    def __init__(
        self, index: Index, clips: Sequence[EncodedClip], rank: int = 0, size: int = 1
    ) -> None:
        """Feed one of ``size`` workers with these clips, which come in the index's order."""
        assert len(clips) == len(index)
        self.index = index
        self._clips = clips
        self._rank = rank
        self._size = size

    def steps(self, plan: StepPlan, first_step: int, past_step: int) -> Steps:
        """Yield the steps."""
        for share in step_shares(plan, first_step, past_step, self._rank, self._size):
            own_clips = [self._clips[number] for number in share.own_clips]
            yield make_step(share, own_clips, plan)


def endless_steps(feed: Feed, plan: StepPlan, first_step: int, budget_steps: int) -> Steps:
    """Yield steps from ``first_step`` on; beyond the budget too, for callers that train further.

    A feed reads ahead up to the end that it is told. It is told the budget's end first, and that of
    a further budget each time steps beyond are asked for.
    """
    past_step = max(budget_steps, first_step + 1)
    while True:
        yield from feed.steps(plan, first_step, past_step)
        first_step = past_step
        past_step += budget_steps


def step_shares(
    plan: StepPlan, first_step: int, past_step: int, rank: int, size: int
) -> Iterator[StepShare]:
    """Yield a worker's share of each step from ``first_step`` to before ``past_step``."""
    count = max(past_step - first_step, 0)
    for number, epoch, clips in islice(plan.steps(first_step), count):
        own_clips = deal(clips, plan.index.lengths, rank, size)
        yield StepShare(number, epoch, clips, own_clips)


def make_step(share: StepShare, own_clips: Sequence[EncodedClip], plan: StepPlan) -> Step:
    """Make the step of a share from its encoded clips, which come in the share's order."""
    assert len(own_clips) == len(share.own_clips)
    return Step(
        number=share.step,
        epoch=share.epoch,
        clips=share.clips,
        normalizer=plan.index.normalizer(share.clips),
        own_clips=tuple(own_clips),
    )
