"""Cut a recording that is longer than a clip may be, between turns.

Either the times of the turns are known, or only their texts; then cuts are made in silences that
certainly end a turn. Of all ways to cut, the one with the fewest clips is taken, and of those the
one whose clips are most alike in length.

Shapes: ``K`` turns, ``N`` hops of an envelope, ``J`` silences.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vibesweep.corpus.recordings import Segment
from vibesweep.corpus.sound.arrays import Floats
from vibesweep.corpus.sound.silences import Spans, silences
from vibesweep.corpus.sound.turn_boundaries import TurnEnd, certain_turn_ends

EDGE_S = 0.5
"""A clip keeps at most this much silence before its first turn and after its last one."""


@dataclass(frozen=True)
class Cut:
    """A clip of a recording: turns ``first_turn`` to before ``past_turn``, and its times."""

    first_turn: int
    past_turn: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _Gap:
    """A place between two turns where a recording may be cut, or one of its ends.

    Attributes:
        turns_before: how many turns lie before it.
        start_s: when the turn before it ends.
        end_s: when the turn after it begins.
    """

    turns_before: int
    start_s: float
    end_s: float

    @classmethod
    def at(cls, place: TurnEnd, hop_s: float) -> _Gap:
        """Convert hops to seconds."""
        return cls(
            turns_before=place.turns_before,
            start_s=place.first_hop * hop_s,
            end_s=place.past_hop * hop_s,
        )

    @property
    def kept_s(self) -> float:
        """How much of it a clip on either side keeps."""
        length_s = self.end_s - self.start_s
        return min(length_s / 2, EDGE_S)


def cuts_from_segments(segments: Sequence[Segment], max_s: float) -> list[Cut] | None:
    """Cut between turns whose times are known. Turns that overlap stay together.

    Returns:
        The clips, or ``None`` if one of them would have to be longer than ``max_s``.
    """
    ends_s = itertools.accumulate((segment.end_s for segment in segments), max)
    starts_s = itertools.accumulate((segment.start_s for segment in reversed(segments)), min)
    all_ended_s = [0.0, *ends_s]
    next_starts_s = [*reversed(list(starts_s)), math.inf]
    gaps = []
    for turn, (start_s, end_s) in enumerate(zip(all_ended_s, next_starts_s, strict=True)):
        if start_s <= end_s:
            gaps.append(_Gap(turn, start_s, end_s))
    return _choose(gaps, max_s)


def cuts_from_silence(
    phonemes: Sequence[int], envelope: Floats, hop_s: float, max_s: float
) -> list[Cut] | None:
    """Cut between turns whose times are not known, in silences that certainly end a turn.

    Args:
        phonemes: how many phonemes are heard in each turn [K].
        envelope: level of each hop in dBFS [N].
        hop_s: seconds of a hop.
        max_s: how long a clip may be.

    Returns:
        The clips, or ``None`` if one of them would have to be longer than ``max_s``.
    """
    quiet = silences(envelope, hop_s)
    if quiet is None:
        return None
    length = len(envelope)
    first, last = _speech_span(quiet, length)
    if first >= last:
        return None
    after_start = quiet.first > first
    before_end = quiet.past < last
    pauses = quiet.where(after_start & before_end)
    places = [
        TurnEnd(turns_before=0, first_hop=0, past_hop=first),
        *certain_turn_ends(phonemes, pauses, first, last, hop_s),
        TurnEnd(turns_before=len(phonemes), first_hop=last, past_hop=length),
    ]
    gaps = [_Gap.at(place, hop_s) for place in places]
    return _choose(gaps, max_s)


def _speech_span(quiet: Spans, length: int) -> tuple[int, int]:
    """Return the hop in which speech begins and the hop in which it ends."""
    first = 0
    last = length
    if not len(quiet):
        return first, last
    if quiet.first[0] == 0:
        first = int(quiet.past[0])
    if quiet.past[-1] == length:
        last = int(quiet.first[-1])
    return first, last


class _Plan(NamedTuple):
    """The best way to cut up to some gap; smaller is better.

    Attributes:
        clips: number of clips.
        squares: sum of their squared lengths, least if they are equal.
        start: the gap that the last clip begins in.
    """

    clips: float
    squares: float
    start: int


_NO_PLAN = _Plan(math.inf, 0.0, -1)


def _choose(gaps: Sequence[_Gap], max_s: float) -> list[Cut] | None:
    """Choose the gaps to cut in by dynamic programming; the first and last are always cut in."""
    plans = [_Plan(0, 0.0, -1)]
    for end in range(1, len(gaps)):
        plan = _best_plan(gaps, plans, end, max_s)
        plans.append(plan)
    if plans[-1] == _NO_PLAN:
        return None
    end = len(gaps) - 1
    cuts = []
    while end > 0:
        start = plans[end].start
        cut = _cut(gaps[start], gaps[end], max_s)
        cuts.append(cut)
        end = start
    cuts.reverse()
    return cuts


def _best_plan(gaps: Sequence[_Gap], plans: Sequence[_Plan], end: int, max_s: float) -> _Plan:
    """Find the best way to cut up to the gap ``end``, by the best ways up to those before it."""
    options = [_NO_PLAN]
    for start in range(end - 1, -1, -1):
        length_s = gaps[end].start_s - gaps[start].end_s
        if length_s > max_s:
            break
        before = plans[start]
        option = _Plan(
            clips=before.clips + 1,
            squares=before.squares + length_s**2,
            start=start,
        )
        options.append(option)
    return min(options)


def _cut(before: _Gap, after: _Gap, max_s: float) -> Cut:
    """Make the clip between two gaps, with as much silence around it as its length allows."""
    speech_s = after.start_s - before.end_s
    silence_s = before.kept_s + after.kept_s
    room_s = max_s - speech_s
    share = 0.0
    if silence_s > 0:
        share = min(1.0, room_s / silence_s)
    return Cut(
        first_turn=before.turns_before,
        past_turn=after.turns_before,
        start_s=before.end_s - share * before.kept_s,
        end_s=after.start_s + share * after.kept_s,
    )
