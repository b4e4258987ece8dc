"""Rows, turns and segments of a corpus folder, and each way in which they can be wrong."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from vibesweep.corpus.metadata import Recording, Segment, Turn, parse_turns, read_metadata, read_turns
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import CorpusError

HEADER = "id,audio_path,text_path,num_speakers,duration_sec,speakers"


def corpus(folder: Path, *rows: str, header: str = HEADER, segments: object = None) -> Path:
    """A corpus folder whose files exist but for those whose name begins with ``no``."""
    for row in rows:
        for cell in row.split(",")[1:3]:
            if cell and not cell.startswith("no"):
                (folder / cell).write_text("[SPEAKER_A] Hello.\n[SPEAKER_B] Good day.\n", encoding="utf-8")
    (folder / "metadata.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    if segments is not None:
        (folder / "segments.json").write_text(json.dumps(segments), encoding="utf-8")
    return folder


def reasons(folder: Path) -> list[tuple[str, str]]:
    return [(reject.id, reject.reason) for reject in read_metadata(folder).rejects]


def test_a_row_is_read_with_people_and_times(tmp_path: Path) -> None:
    times = {"a": [{"speaker": "SPEAKER_A", "start": 0, "end": 1.5}, {"speaker": "speaker_b", "start": 1.7, "end": 3}]}
    found = read_metadata(corpus(tmp_path, "a,a.wav,a.txt,2,3.5,SPEAKER_A=Ann; SPEAKER_B = Ben", segments=times))
    assert found.rejects == ()
    assert found.recordings == (
        Recording(
            "a",
            tmp_path / "a.wav",
            tmp_path / "a.txt",
            2,
            3.5,
            (("SPEAKER_A", "Ann"), ("SPEAKER_B", "Ben")),
            (Segment("SPEAKER_A", 0.0, 1.5), Segment("SPEAKER_B", 1.7, 3.0)),
        ),
    )
    assert found.recordings[0].person("SPEAKER_B") == "Ben"
    assert read_turns(found.recordings[0]) == (Turn("SPEAKER_A", "Hello."), Turn("SPEAKER_B", "Good day."))


def test_without_the_speakers_column_a_tag_is_the_person(tmp_path: Path) -> None:
    header = HEADER.removesuffix(",speakers")
    (recording,) = read_metadata(corpus(tmp_path, "a,a.wav,a.txt,2,3.5", header=header)).recordings
    assert recording.person("SPEAKER_A") == "SPEAKER_A"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,,b.txt,1,2,", "bad_row"),
        (",b.wav,b.txt,1,2,", "bad_row"),
        ("b,b.wav,b.txt,two,2,", "bad_row"),
        ("b,b.wav,b.txt,0,2,", "bad_row"),
        ("b,b.wav,b.txt,1,-2,", "bad_row"),
        ("b,b.wav,b.txt,1,nan,", "bad_row"),
        ("b,b.wav,b.txt,1,2,Ann", "bad_row"),
        ("b,b.wav", "bad_row"),
        ("a,b.wav,b.txt,1,2,", "duplicate_id"),
        ("b,no.wav,b.txt,1,2,", "missing_audio"),
        ("b,b.wav,no.txt,1,2,", "missing_text"),
    ],
)
def test_a_bad_row_is_kept_with_its_reason_and_the_others_are_read(tmp_path: Path, row: str, reason: str) -> None:
    folder = corpus(tmp_path, "a,a.wav,a.txt,2,2,", row, "z,z.wav,z.txt,2,2,")
    found = read_metadata(folder)
    assert [recording.id for recording in found.recordings] == ["a", "z"]
    assert [(reject.id, reject.reason) for reject in found.rejects] == [(row.split(",")[0], reason)]
    assert found.rejects[0].detail
    assert str(tmp_path) in found.rejects[0].path


@pytest.mark.parametrize(
    ("text", "num_speakers", "reason"),
    [
        (b"", 1, "empty_text"),
        (b"[SPEAKER_A]\n\n", 1, "empty_text"),
        (b"\xff\xfe\x00", 1, "unreadable_text"),
        (b"[SPEAKER_A] Hello.", 2, "speaker_count"),
        ("\n".join(f"[S{i}] Hello." for i in range(5)).encode(), 5, "speaker_count"),
    ],
)
def test_a_bad_text_says_why(tmp_path: Path, text: bytes, num_speakers: int, reason: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text)
    with pytest.raises(RecordingError) as caught:
        read_turns(Recording("a", tmp_path / "a.wav", path, num_speakers, 3.0))
    assert caught.value.reason == reason
    assert caught.value.where == str(path)


def test_a_text_that_went_away_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="not there") as caught:
        read_turns(Recording("a", tmp_path / "a.wav", tmp_path / "a.txt", 1, 3.0))
    assert caught.value.reason == "missing_text"


@pytest.mark.parametrize(
    "entries",
    [
        [{"speaker": "SPEAKER_A", "start": 1.0, "end": 0.5}],
        [{"speaker": "SPEAKER_A", "start": -1, "end": 0.5}],
        [{"speaker": "SPEAKER_A", "start": "soon", "end": 0.5}],
        [{"speaker": "SPEAKER_A"}],
        "all of it",
    ],
)
def test_segments_that_make_no_sense_reject_their_clip(tmp_path: Path, entries: object) -> None:
    assert reasons(corpus(tmp_path, "a,a.wav,a.txt,2,2,", segments={"a": entries})) == [("a", "bad_segments")]


@pytest.mark.parametrize(
    "times", [[("SPEAKER_A", 0, 1)], [("SPEAKER_B", 0, 1), ("SPEAKER_A", 1, 2)], [("SPEAKER_A", 0, 1), ("SPEAKER_B", 1, 9)]]
)
def test_segments_that_do_not_fit_the_turns_reject_their_clip(tmp_path: Path, times: list[tuple[str, float, float]]) -> None:
    (tmp_path / "a.txt").write_text("[SPEAKER_A] Hello.\n[SPEAKER_B] Good day.\n", encoding="utf-8")
    recording = Recording("a", tmp_path / "a.wav", tmp_path / "a.txt", 2, 3.0, segments=tuple(Segment(*time) for time in times))
    with pytest.raises(RecordingError) as caught:
        read_turns(recording)
    assert caught.value.reason == "bad_segments"


def test_lines_without_a_tag_go_on() -> None:
    text = "Hello.\n\n  and more\n[speaker_b] Yes,\nwell.\n[SPEAKER_A]No.\n"
    assert parse_turns(text) == (
        Turn("SPEAKER_A", "Hello. and more"),
        Turn("SPEAKER_B", "Yes, well."),
        Turn("SPEAKER_A", "No."),
    )


def test_a_folder_without_a_table_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no metadata\.csv") as caught:
        read_metadata(tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "audio_path" in caught.value.fix


@pytest.mark.parametrize(("text", "found"), [("", "are missing"), ("id,audio_path\n", "text_path"), (HEADER + "\n", "no rows")])
def test_a_table_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=found):
        read_metadata(tmp_path)


def test_broken_segments_are_an_error(tmp_path: Path) -> None:
    folder = corpus(tmp_path, "a,a.wav,a.txt,2,2,")
    (folder / "segments.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorpusError, match="not JSON"):
        read_metadata(folder)


def test_a_recording_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(RecordingError("short_audio", "0.1 s", where="a.wav")))
    assert (error.reason, error.detail, error.where) == ("short_audio", "0.1 s", "a.wav")


def test_reading_metadata_and_shards_needs_neither_torch_nor_ray() -> None:
    modules = ", ".join(f"vibesweep.corpus.{name}" for name in ("metadata", "manifest", "clips", "demo"))
    heavy = "{'torch', 'torchaudio', 'ray', 'phonemizer', 'pypinyin', 'soundfile'}"
    program = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
