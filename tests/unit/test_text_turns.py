"""Texts become turns in all the ways in which people write them, and each wrong way is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibesweep.corpus.recordings import Recording, Segment, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.text.turns import parse_turns, read_turns

TWO = "[SPEAKER_A] Hello.\n[SPEAKER_B] Good day.\n"
A, B = "SPEAKER_A", "SPEAKER_B"


def pairs(text: str) -> list[tuple[str, str]]:
    return [(turn.tag, turn.text) for turn in parse_turns(text).turns]


def refused(recording: Recording) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        read_turns(recording)
    return caught.value


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        (
            "Hello.\n\n  and more\n[speaker_b] Yes,\nwell.\n[SPEAKER_A]No.\n",
            [(A, "Hello. and more"), (B, "Yes, well."), (A, "No.")],
        ),
        ("[SPEAKER_A] Hi. [SPEAKER_B] Hello.", [(A, "Hi."), (B, "Hello.")]),
        ("[SPEAKER_A]: Hi.\r\n\r\n[SPEAKER_B]：你好。\r\n", [(A, "Hi."), (B, "你好。")]),
        (
            "Speaker 1: Hi.\nSPEAKER 2: Yes.\nspeaker 1 : Good.",
            [("SPEAKER_1", "Hi."), ("SPEAKER_2", "Yes."), ("SPEAKER_1", "Good.")],
        ),
        ("Speaker 1：你好。Speaker 2：好！", [("SPEAKER_1", "你好。"), ("SPEAKER_2", "好！")]),
        (
            "Speaker 1: “Really?” Speaker 2: Yes.",
            [("SPEAKER_1", "“Really?”"), ("SPEAKER_2", "Yes.")],
        ),
        ("Please ask Speaker 1: he knows it.", [(A, "Please ask Speaker 1: he knows it.")]),
        ("See item [3] of the list.", [(A, "See item [3] of the list.")]),
        ("Hello there. [SPEAKER_B] Hi.", [(A, "Hello there."), (B, "Hi.")]),
        ("\ufeff[SPEAKER_A] Hi\0 there.", [(A, "Hi there.")]),
        ("[SPEAKER_A]\nHi.\n[SPEAKER_B]\n", [(A, "Hi.")]),
        ("\n \r\n", []),
    ],
)
def test_turns_are_found(text: str, turns: list[tuple[str, str]]) -> None:
    assert pairs(text) == turns


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.text(alphabet="[]SPEAKER_AB 12:：.。\n\0\ufeff", max_size=60))
def test_no_text_crashes_and_no_turn_is_empty(text: str) -> None:
    assert all(
        turn.tag and turn.text and turn.text == turn.text.strip()
        for turn in parse_turns(text).turns
    )


def test_a_file_is_read_and_its_bom_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode())
    found = read_turns(Recording("a", "a.wav", str(path), num_speakers=2)).turns
    assert found == (Turn(A, "Hello."), Turn(B, "Good day."))


def test_words_of_the_table_need_no_file() -> None:
    assert read_turns(Recording("a", "a.wav", words="Hello.")).turns == (Turn(A, "Hello."),)


@pytest.mark.parametrize(
    ("content", "num_speakers", "reason"),
    [
        (b"", 1, "empty_text"),
        (b"[SPEAKER_A]\n\n", None, "empty_text"),
        (b"\xff\xfe\x00", 1, "unreadable_text"),
        (b"[SPEAKER_A] Hello.", 2, "speaker_count"),
        ("\n".join(f"[S{i}] Hello." for i in range(5)).encode(), 5, "speaker_count"),
        ("\n".join(f"[S{i}] Hello." for i in range(5)).encode(), None, "speaker_count"),
    ],
)
def test_a_bad_text_says_why(
    tmp_path: Path, content: bytes, num_speakers: int | None, reason: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    error = refused(Recording("a", "a.wav", str(path), num_speakers=num_speakers))
    assert (error.reason, error.where) == (reason, str(path))


def test_a_text_that_is_not_there_or_is_a_folder_says_so(tmp_path: Path) -> None:
    assert refused(Recording("a", "a.wav", str(tmp_path / "a.txt"))).reason == "missing_text"
    assert refused(Recording("a", "a.wav", str(tmp_path))).reason == "unreadable_text"
    assert refused(Recording("a", "a.wav", "nostore://bucket/a.txt")).reason == "unreadable_text"
    assert refused(Recording("a", "a.wav")).reason == "missing_text"


@pytest.mark.parametrize("times", [[(A, 0, 1)], [(B, 0, 1), (A, 1, 2)], [(A, 0, 1), (B, 1, 9)]])
def test_segments_that_do_not_fit_the_turns_reject_their_clip(
    times: list[tuple[str, float, float]],
) -> None:
    segments = tuple(Segment(*time) for time in times)
    assert (
        refused(Recording("a", "a.wav", words=TWO, duration_s=3.0, segments=segments)).reason
        == "bad_segments"
    )


def test_segments_are_not_held_to_a_duration_that_nobody_told() -> None:
    segments = (Segment(A, 0, 1), Segment(B, 1, 9))
    recording = Recording("a", "a.wav", words=TWO, segments=segments)
    assert len(read_turns(recording).turns) == 2
