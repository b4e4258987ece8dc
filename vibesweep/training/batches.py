"""Which clips make which optimizer step: the same for every worker, from (seed, epoch) alone, so no worker need ask another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

POOL_STEPS = 8
"""Clips are sorted by length within pools of so many steps: like lengths pad little, and the order is still shuffled."""


def epoch_steps(lengths: Sequence[int], batch_clips: int, seed: int, epoch: int) -> list[list[int]]:
    """Deal every clip of an epoch into steps of like length.

    The last clips are spread over the steps, so a step holds ``batch_clips`` or a few more and none is nearly empty.

    Args:
        lengths: positions each clip takes.
        batch_clips: clips in a step.
        seed: of the shuffle.
        epoch: counted from 0; each has an order of its own.

    Returns:
        Indices of the clips of each step; each clip comes once.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    count = max(len(lengths) // batch_clips, 1)
    pools = np.array_split(order, max(count // POOL_STEPS, 1))
    by_length = np.asarray(lengths)
    sorted_pools = [pool[np.argsort(by_length[pool], kind="stable")] for pool in pools]
    steps = np.array_split(np.concatenate(sorted_pools), count)
    return [steps[i].tolist() for i in rng.permutation(count)]


def endless_steps(lengths: Sequence[int], batch_clips: int, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (epoch, clips of a step) for ever."""
    epoch = 0
    while True:
        for step in epoch_steps(lengths, batch_clips, seed, epoch):
            yield epoch, step
        epoch += 1


def share(clips: Sequence[int], rank: int, size: int) -> list[int]:
    """A worker's part of a step: every ``size``-th clip, so that parts are of like length."""
    return list(clips[rank::size])


def micro_batches(clips: Sequence[int], count: int) -> list[list[int]]:
    """Cut a worker's part into at most ``count`` micro-batches, none of them empty."""
    return [part.tolist() for part in np.array_split(np.asarray(clips), min(count, len(clips)))]
