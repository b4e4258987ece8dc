"""Whether one tag covers several people: by folders, and by the pitch of made-up voices."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak_turns
from vibesweep.corpus.preprocess.people import two_groups_hz, warnings_of_people
from vibesweep.corpus.preprocess.plan import ClipEntry
from vibesweep.corpus.sound.pitch import PITCH_RATE_HZ, median_pitch_hz

ALEX, BELINDA, *_ = DEMO_VOICES
SENTENCES = (
    "The lantern burned until morning.",
    "Nobody had told them when the last train would leave.",
    "A small brown dog was sleeping under the table.",
    "Did you walk all the way home in the rain?",
    "There are seven apples left in the basket.",
    "He opened the window and listened to the sea.",
    "Our neighbours are painting their fence again.",
    "We wrote down everything that she said.",
)


def entry(source: str, *people: str) -> ClipEntry:
    return ClipEntry(source, source, source, source, 20, people, "part", 0)


def spoken(folder: Path, voices: list[Voice], person: str) -> list[ClipEntry]:
    """Speak a sentence with each voice; all of them under one name."""
    turns = list(zip(voices, itertools.cycle(SENTENCES)))
    found = []
    for number, samples in enumerate(speak_turns(turns)):
        path = folder / f"{person}{number}.wav"
        soundfile.write(path, samples, ESPEAK_RATE_HZ)
        found.append(entry(str(path), person))
    return found


def details(clips: list[ClipEntry]) -> list[tuple[str, str]]:
    return [(warned.reason, warned.detail) for warned in warnings_of_people(clips)]


def test_a_man_and_a_woman_under_one_tag_are_told(tmp_path: Path) -> None:
    clips = spoken(tmp_path, [ALEX, BELINDA] * 4, "reader")
    ((reason, detail),) = details(clips)
    assert reason == "several_voices"
    low, high = (int(word) for word in detail.split() if word.isdigit())
    assert detail.startswith("reader: ")
    assert low < 110
    assert high > 220


def test_each_under_their_own_tag_is_no_word_worth(tmp_path: Path) -> None:
    man = spoken(tmp_path, [ALEX] * 8, "man")
    woman = spoken(tmp_path, [BELINDA] * 8, "woman")
    assert details([*man, *woman]) == []


def test_a_pitch_is_found_to_a_few_per_cent() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(2 * PITCH_RATE_HZ) / PITCH_RATE_HZ
    for hz in (80, 120, 200, 350):
        tones = [np.sin(2 * np.pi * hz * n * seconds) / n for n in range(1, 8)]
        voiced = (np.sum(tones, axis=0) + rng.normal(0, 0.1, len(seconds))).astype(np.float32)
        assert median_pitch_hz(voiced) == pytest.approx(hz, rel=0.06)
    noise = rng.normal(0, 0.1, len(seconds)).astype(np.float32)
    assert median_pitch_hz(noise) is None
    assert median_pitch_hz(np.zeros_like(noise)) is None
    assert median_pitch_hz(noise[:100]) is None


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.18])
def test_one_persons_pitches_are_one_group_however_they_vary(spread: float) -> None:
    rng = np.random.default_rng(0)
    told = [two_groups_hz(list(150 * 2 ** rng.normal(0, spread, 16))) for _ in range(300)]
    assert told == [None] * 300


def test_two_groups_are_told_only_where_both_have_clips_enough() -> None:
    assert two_groups_hz([100, 101, 102, 103, 200, 201, 202, 203]) is not None
    assert two_groups_hz([100, 101, 102, 103, 104, 105, 106, 201]) is None, "an outlier"
    assert two_groups_hz([100, 101, 200, 201]) is None, "too few"


def test_one_tag_in_several_folders_is_told() -> None:
    clips = [entry(f"/corpus/wavs/{name}/{n}.wav", "ME") for name in "ab" for n in range(2)]
    ((reason, detail),) = details([*clips, entry("/corpus/wavs/a/9.wav", "ME")])
    assert reason == "several_folders"
    assert detail == "ME in a (3), b (2)"


def test_in_a_store_too() -> None:
    query = "?endpoint_override=http://host:9/x&scheme=http"
    clips = [entry(f"s3://bucket/corpus/{name}/1.wav{query}", "ME") for name in "ab"]
    assert details(clips) == [("several_folders", "ME in a (1), b (1)")]


@pytest.mark.parametrize(
    "sources",
    [
        {"ann": ["/c/1.wav", "/c/2.wav"], "ben": ["/c/3.wav"]},
        # LibriTTS: a person's chapters; VCTK: a person's microphones
        {"ann": ["/c/ann/1/x.wav", "/c/ann/2/x.wav"], "ben": ["/c/ben/7/x.wav"]},
    ],
)
def test_a_persons_own_folders_are_no_word_worth(sources: dict[str, list[str]]) -> None:
    assert details([entry(one, person) for person in sources for one in sources[person]]) == []


def test_tags_that_share_folders_are_told() -> None:
    shows = [entry(f"/c/{show}/{n}.wav", "A", "B") for show in ("x", "y") for n in range(3)]
    assert [reason for reason, _ in details(shows)] == ["several_folders"] * 2
