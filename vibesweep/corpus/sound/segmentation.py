"""Recordings that are longer than a clip may be are cut between turns, where it is certain that a turn ends.

Shapes: ``K`` turns, ``N`` hops of an envelope, ``J`` silences, ``C`` candidates: places in which a boundary between turns may lie.
Positions of candidates are counted in hops of speech: silences have no length there, so that a pause costs a turn nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.recordings import Segment

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

EDGE_S = (
    0.5  # of silence that a clip keeps, at most, in front of its first turn and after its last one
)
CERTAIN = 0.95  # posterior of a boundary's place, below which nothing is cut

# Silence: so far up from the noise floor to the level of speech; a lower floor than that is digital silence
QUIET_SHARE, FLOOR_BELOW_SPEECH_DB, LEAST_RANGE_DB = 0.35, 60.0, 12.0
MIN_SILENCE_S, BLIP_S = (
    0.15,
    0.06,
)  # stops close for up to 0.1 s; a shorter noise in a silence is a click

# How long a turn's phonemes take: measured on 291 clips of 11 readers (docs/design/corpus.md), the spread of rates widened by a third
EXTRA_PHONEMES = 4.0  # the last syllables of a turn are drawn out
VARIANCE_OF_RATE, VARIANCE_OF_PHONEME = (
    0.1**2,
    0.44,
)  # of the logarithm: the latter is divided by the phonemes
ODD_SHARE, ODD_SPREAD = 0.03, 0.5  # turns with laughter, or words that the text lacks
# Turns that begin without a silence before them, until the recording has shown how many; how far apart such places are looked at
UNPAUSED_SHARE, UNPAUSED_S = 0.05, 1.0
MOST_UNPAUSED = (
    0.3  # where turns hardly ever end in a silence, pauses inside them are taken for their ends
)
# Logarithms of lengths in seconds, mean and spread, before a recording has shown its own; worth so many silences
GAP_LOG_S, PAUSE_LOG_S, PRIOR_SILENCES = (math.log(0.5), 0.5), (math.log(0.3), 0.5), 10.0
ROUNDS = 3


@dataclass(frozen=True)
class Cut:
    """A clip of a recording: turns ``first_turn`` to before ``past_turn``, and where it lies."""

    first_turn: int
    past_turn: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _Gap:
    """Between two turns: how many turns lie before it, when the earlier one ends and when the later one starts."""

    turns_before: int
    start_s: float
    end_s: float


def cuts_from_segments(segments: Sequence[Segment], max_s: float) -> list[Cut] | None:
    """Clips of turns whose times are known: as few as can be, and then of lengths as equal as can be.

    Turns that overlap stay together. ``None`` where a clip would be longer than ``max_s``.
    """
    ends = np.maximum.accumulate([segment.end_s for segment in segments])
    starts = np.minimum.accumulate([segment.start_s for segment in reversed(segments)])[::-1]
    gaps = [
        _Gap(i, float(ends[i - 1]), float(starts[i]))
        for i in range(1, len(segments))
        if ends[i - 1] <= starts[i]
    ]
    return _choose(
        [_Gap(0, 0.0, float(starts[0])), *gaps, _Gap(len(segments), float(ends[-1]), math.inf)],
        max_s,
    )


def cuts_from_silence(
    weights: Sequence[int], envelope: Floats, hop_s: float, max_s: float
) -> list[Cut] | None:
    """Clips of turns whose times are not known, cut in silences that are certain to end a turn.

    Args:
        weights: phonemes of each turn [K] that sound.
        envelope: level of each hop in dBFS [N].
        hop_s: seconds of a hop.
        max_s: how long a clip may be.

    Returns:
        As :func:`cuts_from_segments`.
    """
    quiet = silences(envelope, hop_s)
    if quiet is None:
        return None
    length = len(envelope)
    first = int(quiet[0, 1]) if len(quiet) and quiet[0, 0] == 0 else 0
    last = int(quiet[-1, 0]) if len(quiet) and quiet[-1, 1] == length else length
    inner = quiet[(quiet[:, 0] > first) & (quiet[:, 1] < last)]
    if first >= last:
        return None
    gaps = [
        _Gap(turn, float(start) * hop_s, float(end) * hop_s)
        for turn, (start, end) in certain_gaps(weights, inner, first, last, hop_s)
    ]
    return _choose(
        [_Gap(0, 0.0, first * hop_s), *gaps, _Gap(len(weights), last * hop_s, length * hop_s)],
        max_s,
    )


def silences(envelope: Floats, hop_s: float) -> Ints | None:
    """First and past-the-last hop of each silence, [J, 2]; ``None`` where speech hardly stands out from the noise."""
    speech = float(np.percentile(envelope, 95))
    floor = max(float(np.percentile(envelope, 5)), speech - FLOOR_BELOW_SPEECH_DB)
    if speech - floor < LEAST_RANGE_DB:
        return None
    loud = _runs(envelope >= floor + QUIET_SHARE * (speech - floor))
    loud = loud[loud[:, 1] - loud[:, 0] >= BLIP_S / hop_s]
    edges: Ints = np.concatenate([[0], loud.ravel(), [len(envelope)]]).reshape(-1, 2)
    return edges[(edges[:, 1] - edges[:, 0]) * hop_s >= MIN_SILENCE_S]


def certain_gaps(
    weights: Sequence[int], quiet: Ints, first: int, last: int, hop_s: float
) -> list[tuple[int, Ints]]:
    """The silences that end a turn for certain: how many turns lie before, and the silence [2].

    Forward-backward over the boundaries between turns: a turn's speech takes about as long as its phonemes do at the recording's
    rate, and silences between turns have other lengths than pauses; how long both are is learnt from the recording (EM).
    """
    if len(weights) < 2 or not len(quiet):
        return []
    lengths = np.log((quiet[:, 1] - quiet[:, 0]) * hop_s)
    spoken = quiet[:, 0] - first - np.concatenate([[0], np.cumsum(quiet[:, 1] - quiet[:, 0])[:-1]])
    total = last - first - int((quiet[:, 1] - quiet[:, 0]).sum())
    places, silence_of = _candidates(spoken, total, round(UNPAUSED_S / hop_s))
    gap, pause, share = (
        GAP_LOG_S,
        PAUSE_LOG_S,
        np.full(len(quiet), min(1.0, len(weights) / len(quiet))),
    )
    turns, posteriors, unpaused = _Turns.of(weights, total), [], UNPAUSED_SHARE
    for _ in range(ROUNDS):
        pauses_per_hop = max(float((1 - share).sum()), 1.0) / total
        odds = (
            np.exp(np.clip(_log_normal(lengths, *gap) - _log_normal(lengths, *pause), -8, 8))
            / pauses_per_hop
        )
        likely = np.where(
            silence_of >= 0, (1 - unpaused) * odds[silence_of], unpaused * UNPAUSED_S / hop_s
        )
        posteriors = _posteriors(turns, places, likely, total, hop_s)
        share = _share(posteriors, silence_of, len(quiet))
        without = len(weights) - 1 - float(share.sum())
        unpaused = (PRIOR_SILENCES * UNPAUSED_SHARE + max(without, 0.0)) / (
            PRIOR_SILENCES + len(weights) - 1
        )
        gap, pause = _fit(lengths, share, GAP_LOG_S), _fit(lengths, 1 - share, PAUSE_LOG_S)
    if unpaused > MOST_UNPAUSED:
        return []
    best = [
        (turn, offset + int(p.argmax()), float(p.max()))
        for turn, (offset, p) in enumerate(posteriors, 1)
    ]
    return [
        (turn, quiet[silence_of[c]]) for turn, c, p in best if p >= CERTAIN and silence_of[c] >= 0
    ]


@dataclass(frozen=True)
class _Turns:
    """How many hops of speech each turn should take [K], and the variance of the logarithm [K]."""

    hops: Floats
    variance: Floats

    @classmethod
    def of(cls, weights: Sequence[int], total: int) -> _Turns:
        phonemes = np.asarray(weights, np.float64)
        hops = (phonemes + EXTRA_PHONEMES) * total / (phonemes + EXTRA_PHONEMES).sum()
        return cls(hops, VARIANCE_OF_RATE + VARIANCE_OF_PHONEME / np.maximum(phonemes, 1))

    @functools.cached_property
    def likelihoods(self) -> list[Floats]:
        """Of each length of each turn in hops: 0 at none, and again at the end of what is worth looking at."""
        return [
            _length_likelihood(mean, math.sqrt(variance))
            for mean, variance in zip(self.hops, self.variance, strict=True)
        ]

    def windows(self, hop_s: float) -> list[tuple[float, float]]:
        """Between which hops of speech each boundary is looked for [K - 1]: a walk of turns that is tied down at both ends."""
        variance = np.cumsum(self.hops**2 * (self.variance + ODD_SHARE * ODD_SPREAD**2))
        centre, spread = (
            np.cumsum(self.hops),
            np.sqrt(variance * np.maximum(1 - variance / variance[-1], 0)),
        )
        half = 5 * spread + 2.0 / hop_s
        return list(zip((centre - half)[:-1].tolist(), (centre + half)[:-1].tolist(), strict=True))


def _length_likelihood(mean: float, spread: float) -> Floats:
    x = np.arange(1, math.ceil(mean * math.exp(4 * max(spread, ODD_SPREAD * 0.75))) + 2)
    ratio = np.log(x / mean)
    normal, odd = (
        np.exp(_log_normal(ratio, 0.0, spread)),
        np.exp(_log_normal(ratio, 0.0, ODD_SPREAD)),
    )
    return np.concatenate([[0.0], ((1 - ODD_SHARE) * normal + ODD_SHARE * odd) / x, [0.0]])


def _posteriors(
    turns: _Turns, places: Ints, likely: Floats, total: int, hop_s: float
) -> list[tuple[int, Floats]]:
    """Where each of the K - 1 boundaries lies: the first candidate of its window, and the probability of each in it."""
    windows = [np.searchsorted(places, window) for window in turns.windows(hop_s)]
    at = [np.zeros(1, np.int64), *(places[low:high] for low, high in windows), np.array([total])]
    weight = [np.ones(1), *(likely[low:high] for low, high in windows), np.ones(1)]

    def step(turn: int) -> Floats:
        lengths = at[turn + 1][:, None] - at[turn][None, :]
        values: Floats = np.take(turns.likelihoods[turn], lengths, mode="clip")
        return values

    forward = [np.ones(1)]
    for turn in range(len(turns.hops)):
        reached = weight[turn + 1] * (step(turn) @ forward[-1])
        if not reached.sum() > 0:
            return []  # the text is not that of the recording
        forward.append(reached / reached.sum())
    backward, found = np.ones(1), []
    for turn in range(len(turns.hops) - 1, 0, -1):
        backward = (weight[turn + 1] * backward) @ step(turn)
        backward /= backward.sum()
        both = forward[turn] * backward
        found.append((int(windows[turn - 1][0]), both / both.sum()))
    return found[::-1]


def _candidates(spoken: Ints, total: int, apart: int) -> tuple[Ints, Ints]:
    """Places of silences and of boundaries without one [C], and each one's silence [C], -1 for none."""
    unpaused = np.arange(apart // 2, total, apart)
    places = np.concatenate([spoken, unpaused])
    order = np.argsort(places, kind="stable")
    return places[order], np.concatenate([np.arange(len(spoken)), np.full(len(unpaused), -1)])[
        order
    ]


def _share(posteriors: Sequence[tuple[int, Floats]], silence_of: Ints, silences: int) -> Floats:
    """Probability of each silence to end a turn [J]."""
    of_candidate = np.zeros(len(silence_of))
    for offset, posterior in posteriors:
        of_candidate[offset : offset + len(posterior)] += posterior
    share = np.zeros(silences)
    share[silence_of[silence_of >= 0]] = of_candidate[silence_of >= 0]
    return np.clip(share, 0.0, 1.0)


def _fit(lengths: Floats, share: Floats, prior: tuple[float, float]) -> tuple[float, float]:
    """Mean and spread of the logarithms that have this share in it, with the prior as some more of them."""
    weight = share.sum() + PRIOR_SILENCES
    mean = (share @ lengths + PRIOR_SILENCES * prior[0]) / weight
    variance = (
        share @ (lengths - mean) ** 2 + PRIOR_SILENCES * (prior[1] ** 2 + (prior[0] - mean) ** 2)
    ) / weight
    return float(mean), float(np.sqrt(variance))


def _log_normal(x: Floats, mean: float, spread: float) -> Floats:
    """Logarithm of the normal density."""
    return -0.5 * ((x - mean) / spread) ** 2 - math.log(spread * math.sqrt(2 * math.pi))


def _runs(mask: npt.NDArray[np.bool_]) -> Ints:
    """First and past-the-last index of each run of true values [R, 2]."""
    edges: Ints = np.flatnonzero(
        np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    ).reshape(-1, 2)
    return edges


def _choose(gaps: Sequence[_Gap], max_s: float) -> list[Cut] | None:
    """The fewest clips between gaps (the first and the last are the recording's ends), and of those the most equal ones."""
    best: list[tuple[float, float, int]] = [
        (0, 0.0, -1)
    ]  # clips so far, the sum of their squared lengths, the gap before the last
    for past in range(1, len(gaps)):
        options: list[tuple[float, float, int]] = [(math.inf, 0.0, -1)]
        for first in range(past - 1, -1, -1):
            length = gaps[past].start_s - gaps[first].end_s
            if length > max_s:
                break
            clips, squares, _ = best[first]
            options.append((clips + 1, squares + length**2, first))
        best.append(min(options))
    if best[-1][0] == math.inf:
        return None
    chosen = [len(gaps) - 1]
    while chosen[-1]:
        chosen.append(best[chosen[-1]][2])
    return [
        _cut(before, after, max_s) for before, after in pairwise(gaps[i] for i in reversed(chosen))
    ]


def _cut(before: _Gap, after: _Gap, max_s: float) -> Cut:
    """The clip between two gaps: up to the middle of each, but no more than a little into it, and no longer than it may be."""
    lead, trail = (
        min((before.end_s - before.start_s) / 2, EDGE_S),
        min((after.end_s - after.start_s) / 2, EDGE_S),
    )
    room = max_s - (after.start_s - before.end_s)
    kept = min(1.0, room / (lead + trail)) if lead + trail else 0.0
    return Cut(
        before.turns_before,
        after.turns_before,
        before.end_s - kept * lead,
        after.start_s + kept * trail,
    )
