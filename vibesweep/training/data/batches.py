"""Clips are cut into steps, a step is dealt to workers, a worker's part is packed to micro-batches.

All three are pure functions of clip numbers and lengths. Shapes: ``N`` clips of the split, ``C``
clips at hand.
"""

from __future__ import annotations

import numpy as np

from vibesweep.models.family import Ints
from vibesweep.training.data.index import Floats

POOL_STEPS = 16
"""Clips are sorted by length within pools of this many steps: little padding, and still a shuffled
order."""
PROMPT_TOKENS = 32
"""Tokens of a clip's sequence besides its own length: two voice prompts of two seconds, and
tags."""


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
    shuffled = rng.permutation(len(clips))
    pools = np.array_split(shuffled, max(count // POOL_STEPS, 1))
    ascending = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    # Every second pool runs from long to short, so a step that spans two pools holds like lengths
    # too
    runs = [pool[::-1] if turn % 2 else pool for turn, pool in enumerate(ascending)]
    order = np.concatenate(runs)
    ends = _even_ends(np.cumsum(weights[order]), count)
    steps = np.split(clips[order], ends)
    return [steps[number] for number in rng.permutation(count)]


def deal(clips: Ints, lengths: Ints, rank: int, size: int) -> tuple[Ints, float]:
    """Choose a worker's part of a step.

    Parts are balanced by tokens: each clip, longest first, goes to the worker with the fewest. DDP
    waits for the gradients of all workers, so none may stay idle. Where a step has fewer clips than
    workers, a worker left without one computes the step's shortest clip with a loss scale of 0. The
    step plan therefore need not know how many workers there are.

    Args:
        clips: clip numbers of the step.
        lengths: tokens of all clips [N].
        rank: the worker's rank.
        size: number of workers.

    Returns:
        The worker's clip numbers, longest first, with a loss scale of 1.0; or one borrowed clip
        with 0.0.
    """
    ordered = _longest_first(clips, lengths)
    filled = [0] * size
    own_clips = []
    for clip in ordered.tolist():
        emptiest = filled.index(min(filled))
        filled[emptiest] += int(lengths[clip])
        if emptiest == rank:
            own_clips.append(clip)
    if own_clips:
        return np.array(own_clips), 1.0
    shortest = ordered[-1:]
    return shortest, 0.0


def pack(clips: Ints, lengths: Ints, tokens: int, extra_tokens: int = PROMPT_TOKENS) -> list[Ints]:
    """Cut a worker's clips into micro-batches of limited size.

    A clip that is longer than the limit is a micro-batch of its own.

    Args:
        clips: clip numbers.
        lengths: tokens of all clips [N].
        tokens: most tokens of a micro-batch, padding included.
        extra_tokens: tokens of each clip's sequence besides its length.

    Returns:
        The clip numbers of each micro-batch, longest first; none is empty.
    """
    parts: list[list[int]] = []
    padded_length = 0
    for clip in _longest_first(clips, lengths).tolist():
        if parts and padded_length * (len(parts[-1]) + 1) <= tokens:
            parts[-1].append(clip)
        else:
            parts.append([clip])
            padded_length = int(lengths[clip]) + extra_tokens
    return [np.array(part) for part in parts]


def _longest_first(clips: Ints, lengths: Ints) -> Ints:
    """Sort clips by falling length; clips of one length by their number."""
    order = np.lexsort((clips, -lengths[clips]))
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
    wanted = earliest * (filled[-1] / count)
    middles = filled - np.diff(filled, prepend=0.0) / 2
    ends = np.searchsorted(middles, wanted)
    rising = np.maximum.accumulate(ends - earliest) + earliest  # each at least one clip further
    latest = len(filled) - count + earliest
    bounded: Ints = np.clip(rising, earliest, latest)
    return bounded
