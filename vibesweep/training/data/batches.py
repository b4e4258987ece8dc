"""Clips are cut into steps, and a step is dealt to workers.

Both are pure functions of clip numbers and lengths. Shapes: ``N`` clips of the split, ``C`` clips
at hand.
"""

from __future__ import annotations

import numpy as np

from vibesweep.training.data.arrays import Floats, Ints

POOL_STEPS = 16
"""Clips are sorted by length within pools of this many steps: a step's clips are of like length, in
a shuffled order."""


def cut_into_steps(
    clips: Ints, lengths: Ints, weights: Floats, count: int, rng: np.random.Generator
) -> list[Ints]:
    """Cut clips into steps of like weight, each of clips of like length, in a shuffled order.

    Args:
        clips: clip numbers [C].
        lengths: tokens of each of them [C].
        weights: what each of them adds to a step [C].
        count: number of steps.
        rng: source of the shuffles.

    Returns:
        The clip numbers of each step; each clip comes once and no step is empty.
    """
    assert 1 <= count <= len(clips), (count, len(clips))
    order = _sorted_within_pools(lengths, count, rng)
    filled = np.cumsum(weights[order])
    steps = np.split(clips[order], _even_ends(filled, count))
    step_order = rng.permutation(count)
    return [steps[number] for number in step_order]


def _sorted_within_pools(lengths: Ints, steps: int, rng: np.random.Generator) -> Ints:
    """Shuffle places [C] and sort them by length within pools of :data:`POOL_STEPS` steps."""
    shuffled = rng.permutation(len(lengths))
    pool_count = max(steps // POOL_STEPS, 1)
    runs = []
    for number, pool in enumerate(np.array_split(shuffled, pool_count)):
        ascending = np.argsort(lengths[pool], kind="stable")
        run = pool[ascending]
        # Every second pool runs from long to short: a step across two pools holds like lengths too
        if number % 2:
            run = run[::-1]
        runs.append(run)
    return np.concatenate(runs)


def deal(clips: Ints, lengths: Ints, rank: int, size: int) -> Ints:
    """Choose a worker's part of a step.

    Parts are balanced by tokens: each clip, longest first, goes to the worker with the fewest.
    Where a step has fewer clips than workers, some get none, and wait for the others' gradient. The
    step plan therefore need not know how many workers there are.

    Args:
        clips: clip numbers of the step.
        lengths: tokens of all clips [N].
        rank: the worker's rank.
        size: number of workers.

    Returns:
        The worker's clip numbers, longest first.
    """
    ordered = _longest_first(clips, lengths)
    filled = [0] * size
    own_clips = []
    for clip in ordered.tolist():
        fewest = min(filled)
        emptiest = filled.index(fewest)
        filled[emptiest] += int(lengths[clip])
        if emptiest == rank:
            own_clips.append(clip)
    return np.array(own_clips, dtype=np.int64)


def _longest_first(clips: Ints, lengths: Ints) -> Ints:
    """Sort clips by falling length; clips of one length by their number."""
    falling = -lengths[clips]
    order = np.lexsort((clips, falling))
    ordered: Ints = clips[order]
    return ordered


def _even_ends(filled: Floats, count: int) -> Ints:
    """Find where to cut so that all parts weigh about the same and none is empty.

    Args:
        filled: running sum of the clips' weights [C].
        count: number of parts.

    Returns:
        The end of each part but the last [count - 1].
    """
    earliest = np.arange(1, count)
    latest = len(filled) - count + earliest
    part_weight = filled[-1] / count
    clip_weights = np.diff(filled, prepend=0.0)
    middles = filled - clip_weights / 2
    ends = np.searchsorted(middles, earliest * part_weight)
    # Each end is at least one clip behind the one before
    spare = np.maximum.accumulate(ends - earliest)
    bounded: Ints = np.clip(spare + earliest, earliest, latest)
    return bounded
