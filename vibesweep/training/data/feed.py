"""How steps reach the loop: whose clips are read where is a feed's business, which clips they are is the plan's.

A feed yields, from any step on, this worker's share of each step as encoded clips, already cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from vibesweep.models.family import EncodedClip, Ints, LossNormalizer
from vibesweep.training.data.batches import StepPlan, deal, pack
from vibesweep.training.data.index import Index

Steps = Generator["Step", None, None]
"""Close it where it is not read to its end: it may hold processes and memory."""


@dataclass(frozen=True, eq=False)
class Share:
    """What a worker takes of a step, by number.

    Attributes:
        step: counted from the trial's first.
        epoch: counted from 0.
        clips: of the whole step.
        mine: of this worker, longest first.
        counts: 1.0, or 0.0 where the worker computes a borrowed clip because the step has fewer clips than there are workers.
    """

    step: int
    epoch: int
    clips: Ints
    mine: Ints
    counts: float


@dataclass(frozen=True, eq=False)
class Step:
    """One optimizer step as a worker sees it.

    Attributes:
        number: counted from the trial's first.
        epoch: counted from 0.
        clips: numbers of the clips of the whole step, over all workers.
        sizes: of the whole step.
        micro_batches: this worker's clips; there is at least one, and none is empty.
        counts: what this worker's losses are multiplied by: 1.0, or 0.0 where its clip is borrowed.
    """

    number: int
    epoch: int
    clips: Ints
    sizes: LossNormalizer
    micro_batches: tuple[tuple[EncodedClip, ...], ...]
    counts: float


class Feed(Protocol):
    """Where a worker's clips come from."""

    @property
    def index(self) -> Index:
        """Of all training clips."""

    def steps(self, plan: StepPlan, first_step: int, past_step: int, positions: int) -> Steps:
        """Yield the steps from ``first_step`` to before ``past_step``, of any number of epochs.

        Args:
            plan: over this feed's index.
            first_step: nothing before it is read, but for what lies in the same window.
            past_step: the end of what may be asked for; a feed reads ahead up to there.
            positions: of one micro-batch, padding included.
        """


class MemoryFeed:
    """All clips are here already."""

    def __init__(
        self, index: Index, clips: Sequence[EncodedClip], rank: int = 0, size: int = 1
    ) -> None:
        """Feed one of ``size`` workers with these clips, which come in the index's order."""
        assert len(clips) == len(index)
        self.index = index
        self._clips, self._rank, self._size = clips, rank, size

    def steps(self, plan: StepPlan, first_step: int, past_step: int, positions: int) -> Steps:
        """Yield the steps."""
        for part in shares(plan, first_step, past_step, self._rank, self._size):
            yield cut(part, [self._clips[clip] for clip in part.mine], plan, positions)


def shares(
    plan: StepPlan, first_step: int, past_step: int, rank: int, size: int
) -> Iterator[Share]:
    """What a worker takes of each of these steps."""
    for number, epoch, clips in takewhile(lambda step: step[0] < past_step, plan.steps(first_step)):
        yield Share(number, epoch, clips, *deal(clips, plan.index.lengths, rank, size))


def cut(part: Share, examples: Sequence[EncodedClip], plan: StepPlan, positions: int) -> Step:
    """Make the step of a share and its clips, which come in the share's order."""
    of = dict(zip(part.mine.tolist(), examples, strict=True))
    parts = pack(part.mine, plan.index.lengths, positions, plan.beside)
    micro = tuple(tuple(of[clip] for clip in numbers.tolist()) for numbers in parts)
    return Step(part.step, part.epoch, part.clips, plan.index.sizes(part.clips), micro, part.counts)
