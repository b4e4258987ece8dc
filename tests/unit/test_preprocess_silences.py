"""Long silence at a clip's ends: cut off with the turns' times, kept on request, told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.encoders import MEL_ENCODER
from vibesweep.config import CorpusSettings
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.parts import DecodedPart, decode_part
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.recordings import Recording, Segment
from vibesweep.corpus.sound.levels import level_dbfs
from vibesweep.errors import CorpusError

TEXTS = ("The yellow bicycle is by the river.", "It was there the whole morning.")
WORDS = f"[SPEAKER_A] {TEXTS[0]}\n[SPEAKER_B] {TEXTS[1]}"
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def turns() -> list[Floats]:
    """Speak two turns, without the silence around them."""
    spoken = []
    for text, voice in zip(TEXTS, DEMO_VOICES, strict=False):
        samples = speak(text, voice)
        heard = np.flatnonzero(np.abs(samples) > 300)
        turn = samples[heard[0] : heard[-1]].astype(np.float32)
        spoken.append(turn / np.float32(32_768))
    return spoken


def recorded(
    folder: Path, turns: list[Floats], before_s: float, after_s: float, *, timed: bool = True
) -> Recording:
    """Write both turns with silence around them and 0.3 s between."""
    silences = [np.zeros(round(s * ESPEAK_RATE_HZ), np.float32) for s in (before_s, 0.3, after_s)]
    wave = np.concatenate([silences[0], turns[0], silences[1], turns[1], silences[2]])
    soundfile.write(folder / "a.wav", wave, ESPEAK_RATE_HZ)
    lengths_s = [len(turn) / ESPEAK_RATE_HZ for turn in turns]
    first_end_s = before_s + lengths_s[0]
    segments = (
        Segment("SPEAKER_A", before_s, first_end_s),
        Segment("SPEAKER_B", first_end_s + 0.3, first_end_s + 0.3 + lengths_s[1]),
    )
    return Recording("a", str(folder / "a.wav"), words=WORDS, segments=segments if timed else ())


def preprocessed(recording: Recording, most_s: float = 1.0, max_s: float = 300.0) -> DecodedPart:
    part = Part((Planned(recording, "f"),))
    return decode_part(part, MEL_ENCODER, max_s, most_s)


def row_of(part: DecodedPart) -> dict[str, Any]:
    assert not part.tried.rejects
    (row,) = part.rows
    return row


def test_turn_times_move_with_the_silence_that_is_cut_off(
    tmp_path: Path, turns: list[Floats]
) -> None:
    part = preprocessed(recorded(tmp_path, turns, 4.0, 6.0))
    row = row_of(part)
    speech_s = (len(turns[0]) + len(turns[1])) / ESPEAK_RATE_HZ + 0.3
    assert row["duration_s"] == pytest.approx(speech_s + 1.0, abs=0.15)
    first, second = row["turns"]
    assert first["start_s"] == pytest.approx(0.5, abs=0.05)
    assert second["end_s"] - first["start_s"] == pytest.approx(speech_s, abs=0.01)
    assert second["end_s"] <= row["duration_s"]
    (samples,) = part.sounds.samples
    start = round(first["start_s"] * 24_000)
    assert np.abs(samples[: start - 600]).max() < 1e-3
    assert np.abs(samples[start : start + 2_400]).max() > 0.01
    (warning,) = row["warnings"]
    assert warning["reason"] == "long_silence"
    assert "4.0 s at the start" in warning["detail"]
    assert "at the end" in warning["detail"]


def test_the_level_is_that_of_the_speech_alone(tmp_path: Path, turns: list[Floats]) -> None:
    tight = preprocessed(recorded(tmp_path, turns, 0.0, 0.0)).sounds.samples[0]
    kept = preprocessed(recorded(tmp_path, turns, 3.0, 9.0), math.inf).sounds.samples[0]
    speech = kept[3 * 24_000 : 3 * 24_000 + len(tight)]
    assert level_dbfs(tight) == pytest.approx(-25.0, abs=0.01)
    assert level_dbfs(speech) == pytest.approx(-25.0, abs=0.2)


def test_silence_is_kept_and_told_where_that_is_asked_for(
    tmp_path: Path, turns: list[Floats]
) -> None:
    recording = recorded(tmp_path, turns, 4.0, 0.2)
    row = row_of(preprocessed(recording, math.inf))
    assert row["turns"][0]["start_s"] == pytest.approx(4.0)
    assert row["warnings"][0]["detail"].endswith("s at the start, kept")


def test_short_silence_stays_and_is_not_told(tmp_path: Path, turns: list[Floats]) -> None:
    row = row_of(preprocessed(recorded(tmp_path, turns, 0.7, 0.8)))
    assert row["turns"][0]["start_s"] == pytest.approx(0.7)
    assert row["warnings"] == []


def test_a_long_pause_inside_is_told(tmp_path: Path, turns: list[Floats]) -> None:
    pause = np.zeros(5 * ESPEAK_RATE_HZ, np.float32)
    part = preprocessed(recorded(tmp_path, [np.concatenate([turns[0], pause]), turns[1]], 0, 0))
    assert "a pause of 5." in row_of(part)["warnings"][0]["detail"]


def test_a_turn_that_is_timed_in_the_silence_is_not_cut_off(
    tmp_path: Path, turns: list[Floats]
) -> None:
    recording = recorded(tmp_path, turns, 4.0, 4.0)
    early = Segment("SPEAKER_A", 0.5, 1.0)
    moved = Recording(**{**vars(recording), "segments": (early, recording.segments[1])})
    row = row_of(preprocessed(moved))
    assert row["turns"][0]["start_s"] == pytest.approx(0.5)
    assert row["duration_s"] < 10.0, "the end is cut off still"


def test_a_minute_of_silence_is_no_reason_to_reject_a_sentence(
    tmp_path: Path, turns: list[Floats]
) -> None:
    row = row_of(preprocessed(recorded(tmp_path, turns, 20.0, 40.0, timed=False)))
    assert row["duration_s"] < 7.0
    assert row["turns"][-1]["end_s"] == pytest.approx(row["duration_s"])


def test_a_recording_that_is_long_by_its_silence_becomes_no_longer_clip(
    tmp_path: Path, turns: list[Floats]
) -> None:
    row = row_of(preprocessed(recorded(tmp_path, turns, 0.2, 9.0), math.inf, max_s=8.0))
    assert row["duration_s"] <= 8.0


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_a_limit_that_makes_no_sense_is_refused(value: float) -> None:
    with pytest.raises(CorpusError, match="max_edge_silence_s"):
        CorpusSettings(max_edge_silence_s=value)


@pytest.mark.parametrize(
    ("column", "value", "warned"),
    [
        ("language", "el", True),
        ("Lang", "pt_BR", True),
        ("language", "en", False),
        ("language", "en-GB", False),
        ("language", "English", False),
        ("mood", "el", False),
    ],
)
def test_a_table_that_names_another_language_is_told(
    tmp_path: Path, turns: list[Floats], column: str, value: str, warned: bool
) -> None:
    recording = recorded(tmp_path, turns, 0.1, 0.1)
    tagged = Recording(**{**vars(recording), "extra": ((column, value),)})
    reasons = [warning["reason"] for warning in row_of(preprocessed(tagged))["warnings"]]
    assert reasons == ["other_language"] * warned
