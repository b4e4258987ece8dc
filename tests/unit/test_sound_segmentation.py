"""Where long recordings are cut: between timed turns, and in silences that surely end a turn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibesweep.corpus.recordings import Segment
from vibesweep.corpus.sound.segmentation import (
    EDGE_S,
    Cut,
    cuts_from_segments,
    cuts_from_silence,
)
from vibesweep.corpus.sound.silences import silences

HOP_S = 0.02
Floats = npt.NDArray[np.floating]
Spans = list[tuple[int, int]]


def turns(*times: tuple[float, float]) -> list[Segment]:
    return [Segment("SPEAKER_A", start, end) for start, end in times]


def even(count: int, length_s: float = 9.0, every_s: float = 10.0) -> list[Segment]:
    return turns(*((i * every_s, i * every_s + length_s) for i in range(count)))


def spoken(
    count: int, *, seed: int = 0, noise_db: float = -70.0, gap_s: tuple[float, float] = (0.4, 0.9)
) -> tuple[list[int], Floats, Spans]:
    """Make up read speech with pauses inside the turns.

    Returns:
        The phonemes of each turn, the envelope, and the hops of each gap between turns.
    """
    rng = np.random.default_rng(seed)
    phonemes = rng.integers(15, 120, count).tolist()
    parts: list[Floats] = []
    gaps: Spans = []
    for turn_phonemes in phonemes:
        if parts:
            start = sum(map(len, parts))
            parts.append(np.full(round(rng.uniform(*gap_s) / HOP_S), -90.0))
            gaps.append((start, start + len(parts[-1])))
        length = round(turn_phonemes * 0.07 * rng.lognormal(0, 0.1) / HOP_S)
        for words in np.array_split(rng.normal(-22, 4, length), 1 + length // 150):
            parts += [words, np.full(round(rng.uniform(0.16, 0.35) / HOP_S), -90.0)]
        parts.pop()
    levels = np.concatenate(parts)
    return phonemes, np.maximum(levels, noise_db + rng.normal(0, 1, len(levels))), gaps


def test_turns_with_times_are_cut_into_few_clips_of_like_length() -> None:
    cuts = cuts_from_segments(even(10), 40.0)
    assert cuts is not None
    assert [(cut.first_turn, cut.past_turn) for cut in cuts] in (
        [(0, 3), (3, 6), (6, 10)],
        [(0, 4), (4, 7), (7, 10)],
        [(0, 3), (3, 7), (7, 10)],
    )
    assert cuts[0].start_s == 0.0
    assert cuts[0].end_s == cuts[1].start_s == cuts[0].past_turn * 10 - 0.5


def test_a_long_gap_is_left_out() -> None:
    assert cuts_from_segments(turns((5.0, 14.0), (60.0, 69.0)), 10.0) == [
        Cut(0, 1, 4.5, 14.5),
        Cut(1, 2, 59.5, 69.5),
    ]


def test_a_clip_that_just_fits_has_no_silence_around_it() -> None:
    assert cuts_from_segments(turns((1.0, 11.0), (13.0, 23.0)), 10.0) == [
        Cut(0, 1, 1.0, 11.0),
        Cut(1, 2, 13.0, 23.0),
    ]


def test_turns_that_overlap_stay_together() -> None:
    cuts = cuts_from_segments(turns((0, 10), (9, 19), (19, 29), (29.5, 40)), 21.0)
    assert cuts is not None
    assert [(cut.first_turn, cut.past_turn) for cut in cuts] == [(0, 2), (2, 4)]
    assert cuts_from_segments(turns((0, 10), (9, 19), (18, 29)), 21.0) is None
    assert cuts_from_segments(turns((0, 30), (5, 6), (7, 8), (31, 32)), 20.0) is None


def test_a_turn_that_is_too_long_cannot_be_cut() -> None:
    assert cuts_from_segments(turns((0, 31)), 30.0) is None
    assert cuts_from_segments(turns((0, 5), (6, 37), (38, 40)), 30.0) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0.1, 20), st.floats(-2, 3)), min_size=1, max_size=25),
    st.floats(5, 60),
)
def test_clips_from_times_hold_all_turns_once_and_fit(
    lengths: list[tuple[float, float]], max_s: float
) -> None:
    at, times = 3.0, []
    for length_s, gap_s in lengths:
        times.append((at, at + length_s))
        at = max(0.0, at + length_s + gap_s)
    cuts = cuts_from_segments(turns(*times), max_s)
    if cuts is None:
        return
    assert [cut.first_turn for cut in cuts] == [0, *(cut.past_turn for cut in cuts[:-1])]
    assert cuts[-1].past_turn == len(times)
    for cut in cuts:
        inside = times[cut.first_turn : cut.past_turn]
        assert 0 <= cut.start_s <= min(start for start, _ in inside) + 1e-9
        assert cut.end_s >= max(end for _, end in inside) - 1e-9
        assert cut.end_s - cut.start_s <= max_s + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_silences_that_are_cut_lie_between_turns(seed: int) -> None:
    phonemes, levels, gaps = spoken(40, seed=seed)
    cuts = cuts_from_silence(phonemes, levels, HOP_S, 60.0)
    assert cuts is not None
    assert len(cuts) >= len(levels) * HOP_S / 60
    assert [cut.first_turn for cut in cuts] == [0, *(cut.past_turn for cut in cuts[:-1])]
    assert cuts[-1].past_turn == 40
    for cut in cuts:
        assert cut.end_s - cut.start_s <= 60.0 + 1e-9
    for before, after in pairwise(cuts):
        start, end = gaps[before.past_turn - 1]
        assert start - 2 <= before.end_s / HOP_S <= after.start_s / HOP_S + 1e-6 <= end + 2


def test_places_that_are_not_certain_are_not_cut() -> None:
    # Every second is like every other: nothing tells pauses in a turn from gaps between turns
    second = np.concatenate([np.full(40, -20.0), np.full(10, -80.0)])
    assert cuts_from_silence([60, 12, 45, 30] * 10, np.tile(second, 300), HOP_S, 60.0) is None


def test_the_text_of_another_recording_gives_no_cut() -> None:
    _, levels, _ = spoken(40)
    assert cuts_from_silence([5] * 39 + [3_000], levels, HOP_S, 60.0) is None


def test_a_single_turn_and_mere_noise_cannot_be_cut() -> None:
    noise = np.random.default_rng(0).normal(-30, 1, 5_000)
    assert cuts_from_silence([100], spoken(10)[1], HOP_S, 10.0) is None
    assert cuts_from_silence([50, 50], noise, HOP_S, 60.0) is None
    assert cuts_from_silence([50, 50], np.full(5_000, -120.0), HOP_S, 60.0) is None


def test_silences_are_found_in_noise_and_clicks_do_not_end_them() -> None:
    silence_db, speech_db = -50.0, -20.0
    levels = np.full(375, speech_db)
    levels[:50] = silence_db
    levels[150:170] = silence_db
    levels[160] = speech_db  # a click
    levels[270:275] = silence_db  # too short
    found = silences(levels, HOP_S)
    assert found is not None
    assert list(zip(found.first, found.past, strict=True)) == [(0, 50), (150, 170)]


def test_a_clip_begins_shortly_before_the_first_turn_and_ends_shortly_after_the_last() -> None:
    phonemes, levels, _ = spoken(20)
    quiet = np.full(500, -90.0)
    cuts = cuts_from_silence(phonemes, np.concatenate([quiet, levels, quiet]), HOP_S, 100.0)
    assert cuts is not None
    assert cuts[0].start_s == pytest.approx(500 * HOP_S - EDGE_S, abs=0.05)
    assert cuts[-1].end_s == pytest.approx((500 + len(levels)) * HOP_S + EDGE_S, abs=0.05)


def test_an_hour_is_cut() -> None:
    phonemes, levels, _ = spoken(700)
    cuts = cuts_from_silence(phonemes, levels, HOP_S, 120.0)
    assert cuts is not None
    assert len(cuts) > len(levels) * HOP_S / 120.0
    assert max(cut.end_s - cut.start_s for cut in cuts) <= 120.0
