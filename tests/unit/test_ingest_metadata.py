"""A corpus's table in each layout, and each way in which its rows can be wrong."""

from __future__ import annotations

import csv
import io
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.recordings import Metadata, Recording, Segment
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import CorpusError, StorageError
from vibesweep.storage import StoragePath

HEADER = "id,audio_path,text_path,num_speakers,duration_sec,speakers"


def corpus(folder: Path, *rows: str, header: str = HEADER, segments: object = None) -> Path:
    """Write a corpus folder: nothing but its table is looked at."""
    (folder / "metadata.csv").write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    if segments is not None:
        (folder / "segments.json").write_text(json.dumps(segments), encoding="utf-8")
    return folder


def jsonl(folder: Path, *rows: object) -> Path:
    """Write a corpus folder of JSON lines; a row that is text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def reasons(found: Metadata) -> list[tuple[str, str]]:
    return [(reject.id, reject.reason) for reject in found.rejects]


def ids(found: Metadata) -> list[str]:
    return [recording.id for recording in found.recordings]


def test_a_row_is_read_with_people_and_times(tmp_path: Path) -> None:
    times = {
        "a": [
            {"speaker": "SPEAKER_A", "start": 0, "end": 1.5},
            {"speaker": "speaker_b", "start": 1.7, "end": 3},
        ]
    }
    found = read_metadata(
        corpus(tmp_path, "a,a.wav,a.txt,2,3.5,SPEAKER_A=Ann; SPEAKER_B = Ben", segments=times)
    )
    people = (("SPEAKER_A", "Ann"), ("SPEAKER_B", "Ben"))
    spoken = (Segment("SPEAKER_A", 0.0, 1.5), Segment("SPEAKER_B", 1.7, 3.0))
    audio, text = str(tmp_path / "a.wav"), str(tmp_path / "a.txt")
    row = Recording(
        "a", audio, text, num_speakers=2, duration_s=3.5, speakers=people, segments=spoken
    )
    assert found == Metadata((row,), ())
    assert found.recordings[0].person("SPEAKER_B") == "Ben"


def test_without_the_speakers_column_a_tag_is_the_person(tmp_path: Path) -> None:
    (recording,) = read_metadata(
        corpus(tmp_path, "a,a.wav,a.txt,2,3.5", header=HEADER.removesuffix(",speakers"))
    ).recordings
    assert recording.person("SPEAKER_A") == "SPEAKER_A"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,audio_path,text_path", "a,a.wav,a.txt"),
        (HEADER, "a,a.wav,a.txt,,,"),
        (HEADER, "a, a.wav ,a.txt, , ,"),
    ],
)
def test_what_a_row_does_not_say_is_none(tmp_path: Path, header: str, row: str) -> None:
    found = read_metadata(corpus(tmp_path, row, header=header))
    assert found == Metadata(
        (Recording("a", str(tmp_path / "a.wav"), str(tmp_path / "a.txt")),), ()
    )


def test_prompts_and_further_columns_are_kept(tmp_path: Path) -> None:
    header = "note,text_path,voice_prompts,audio_path,,id,mood"
    row = '"two\nlines, one cell",a.txt,p/1.wav; s3://voices/2.wav ;,/data/a.wav,7,a/ü b,'
    (recording,) = read_metadata(corpus(tmp_path, row, header=header)).recordings
    assert (recording.id, recording.audio) == ("a/ü b", "/data/a.wav")
    assert recording.voice_prompts == (str(tmp_path / "p" / "1.wav"), "s3://voices/2.wav")
    assert recording.extra == (("note", "two\nlines, one cell"), ("mood", ""))


def test_numbers_as_pandas_writes_them_are_numbers(tmp_path: Path) -> None:
    (recording,) = read_metadata(corpus(tmp_path, "a,a.wav,a.txt,2.0,3e1,")).recordings
    assert (recording.num_speakers, recording.duration_s) == (2, 30.0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,,b.txt,1,2,", "bad_row"),
        ("b,b.wav,,1,2,", "bad_row"),
        (",b.wav,b.txt,1,2,", "bad_row"),
        ("b\x00c,b.wav,b.txt,1,2,", "bad_row"),
        ("b\x7f,b.wav,b.txt,1,2,", "bad_row"),
        ("b,b\x00.wav,b.txt,1,2,", "bad_row"),
        ("b,b.wav,b.txt,two,2,", "bad_row"),
        ("b,b.wav,b.txt,0,2,", "bad_row"),
        ("b,b.wav,b.txt,1.5,2,", "bad_row"),
        ("b,b.wav,b.txt,1,-2,", "bad_row"),
        ("b,b.wav,b.txt,1,0,", "bad_row"),
        ("b,b.wav,b.txt,1,nan,", "bad_row"),
        ("b,b.wav,b.txt,1,inf,", "bad_row"),
        ("b,b.wav,b.txt,1,2,Ann", "bad_row"),
        ("b,b.wav,b.txt,1,2,SPEAKER_A=Ann;speaker_a=Ben", "bad_row"),
        ("b,b.wav", "bad_row"),
        ("b,b.wav,b.txt,1,2,,", "bad_row"),
        ('b,"b.wav"x,b.txt,1,2,', "bad_row"),
        ("a,b.wav,b.txt,1,2,", "duplicate_id"),
    ],
)
def test_a_bad_row_is_kept_with_its_reason_and_the_others_are_read(
    tmp_path: Path, row: str, reason: str
) -> None:
    found = read_metadata(corpus(tmp_path, "a,a.wav,a.txt,2,2,", row, "z,z.wav,z.txt,2,2,"))
    assert ids(found) == ["a", "z"]
    assert found.rejects[0].id in (row.split(",")[0], "")
    assert [reject.reason for reject in found.rejects] == [reason]
    assert found.rejects[0].detail
    assert found.rejects[0].path == f"{tmp_path / 'metadata.csv'}:3"


@pytest.mark.parametrize("after", ["", 'y,y.wav,"y.txt",2,2,\n', 'y,"",y.txt,2,2,\n'])
def test_a_quote_left_open_costs_its_own_row_alone(tmp_path: Path, after: str) -> None:
    rows = 'a,a.wav,a.txt,2,2,\nb,"b.wav,b.txt,2,2,\n' + after + "z,z.wav,z.txt,2,2,"
    found = read_metadata(corpus(tmp_path, rows))
    assert ids(found)[0] == "a"
    assert ids(found)[-1] == "z"
    assert found.rejects[0].path == f"{tmp_path / 'metadata.csv'}:3"
    assert len(found.recordings) + len(found.rejects) == 3 + bool(after)


def test_a_cell_too_long_for_csv_costs_its_own_row_alone(tmp_path: Path) -> None:
    found = read_metadata(
        corpus(tmp_path, f"b,{'b' * 200_000}.wav,b.txt,2,2,", "z,z.wav,z.txt,2,2,")
    )
    assert (ids(found), [reject.reason for reject in found.rejects]) == (["z"], ["bad_row"])
    assert len(found.rejects[0].detail) < 200


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\r\na,a.wav,a.txt,1,2,\r\n\r\n",
        f"\ufeff{HEADER}\na,a.wav,a.txt,1,2,",
        f"{HEADER}\ra,a.wav,a.txt,1,2,",
    ],
)
def test_line_ends_and_byte_order_marks_of_any_program_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    assert ids(read_metadata(tmp_path)) == ["a"]


def test_a_table_is_read_by_its_own_path(tmp_path: Path) -> None:
    (corpus(tmp_path, "a,a.wav,a.txt,1,2,") / "metadata.csv").rename(tmp_path / "small.CSV")
    assert read_metadata(tmp_path / "small.CSV").recordings[0].audio == str(tmp_path / "a.wav")


def test_a_corpus_in_a_store_has_addresses_there() -> None:
    folder = StoragePath.of("memory://corpora/talks")
    (folder / "metadata.csv").write_bytes(f"{HEADER}\na,./a.wav,../a.txt,1,2,\n".encode())
    (folder / "segments.json").write_bytes(
        b'{"a": [{"speaker": "SPEAKER_A", "start": 0, "end": 1}]}'
    )
    for named in (
        "memory://corpora/talks",
        "memory://corpora/talks/",
        "memory://corpora/talks/metadata.csv",
    ):
        (recording,) = read_metadata(named).recordings
        assert recording.files() == ("memory://corpora/talks/a.wav", "memory://corpora/a.txt")
        assert len(recording.segments) == 1


@pytest.mark.parametrize(
    "entries",
    [
        [{"speaker": "SPEAKER_A", "start": 1.0, "end": 0.5}],
        [{"speaker": "SPEAKER_A", "start": -1, "end": 0.5}],
        [{"speaker": "SPEAKER_A", "start": "soon", "end": 0.5}],
        [{"speaker": "SPEAKER_A", "start": 0, "end": 10**400}],
        [{"speaker": "SPEAKER_A"}],
        "all of it",
        None,
    ],
)
def test_segments_that_make_no_sense_reject_their_recording(
    tmp_path: Path, entries: object
) -> None:
    found = read_metadata(corpus(tmp_path, "a,a.wav,a.txt,2,2,", segments={"a": entries}))
    assert reasons(found) == [("a", "bad_segments")]
    assert "segments.json" in found.rejects[0].path


@pytest.mark.parametrize(
    ("content", "found"), [("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[]", "not an object")]
)
def test_broken_segments_are_an_error(tmp_path: Path, content: str, found: str) -> None:
    (corpus(tmp_path, "a,a.wav,a.txt,2,2,") / "segments.json").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=found):
        read_metadata(tmp_path)


def test_json_lines_are_read(tmp_path: Path) -> None:
    dialogue = "Speaker 0: Hello.\nSpeaker 1: Good day."
    row = {
        "text": dialogue,
        "audio": "wav/a.wav",
        "voice_prompts": ["p1.wav", "/p2.wav"],
        "duration": 3,
        "mood": "calm",
        "take": [1],
    }
    named = {
        "id": 7,
        "text": "Hi.",
        "audio": "s3://b/x.wav",
        "speakers": {"speaker_a": 533, "Speaker 1": "Ann"},
        "duration_sec": "2.5",
        "voice_prompts": "p.wav",
    }
    first, second = read_metadata(jsonl(tmp_path, row, "", named, "  ")).recordings
    assert (first.id, first.audio, first.text, first.words) == (
        "a",
        str(tmp_path / "wav" / "a.wav"),
        "",
        dialogue,
    )
    assert first.voice_prompts == (str(tmp_path / "p1.wav"), "/p2.wav")
    assert (first.num_speakers, first.duration_s, first.extra) == (
        None,
        3.0,
        (("mood", "calm"), ("take", "[1]")),
    )
    assert (second.id, second.audio, second.duration_s) == ("7", "s3://b/x.wav", 2.5)
    assert (second.speakers, second.voice_prompts) == (
        (("SPEAKER_A", "533"), ("SPEAKER_1", "Ann")),
        (str(tmp_path / "p.wav"),),
    )
    assert read_metadata(tmp_path / "train.jsonl").recordings == (first, second)


def test_recordings_that_share_a_stem_are_named_by_their_paths(tmp_path: Path) -> None:
    audios = ["a/x.wav", "b/x.wav", "y.wav", "y.flac", "z.wav", "/out/v.wav", "w/given.wav"]
    rows = [{"text": "Hi.", "audio": audio} for audio in audios]
    found = read_metadata(jsonl(tmp_path, *rows, {"id": "given", "text": "Hi.", "audio": "g.wav"}))
    assert ids(found) == ["a/x.wav", "b/x.wav", "y.wav", "y.flac", "z", "v", "w/given.wav", "given"]
    backwards = read_metadata(
        jsonl(tmp_path, *reversed(rows), {"id": "given", "text": "Hi.", "audio": "g.wav"})
    )
    assert sorted(ids(backwards)) == sorted(ids(found))


def test_the_same_row_twice_is_a_duplicate(tmp_path: Path) -> None:
    row = {"text": "Hi.", "audio": "a.wav"}
    found = read_metadata(jsonl(tmp_path, row, row, {"id": "b", **row}, {"id": "b", **row}))
    assert (ids(found), reasons(found)) == (
        ["a", "b"],
        [("a", "duplicate_id"), ("b", "duplicate_id")],
    )
    assert "first in line 1" in found.rejects[0].detail


GOOD = {"id": "a", "text": "Hi.", "audio": "a.wav"}


@pytest.mark.parametrize(
    "row",
    [
        "{",
        "[1]",
        "null",
        "[" * 100_000,
        '{"text": "\\ud800", "audio": "a.wav"}',
        {"audio": "a.wav"},
        {**GOOD, "text": 1},
        {**GOOD, "text": " \n"},
        {"text": "Hi."},
        {**GOOD, "audio": ["a.wav"]},
        {**GOOD, "audio": "a\n.wav"},
        {**GOOD, "id": ""},
        {**GOOD, "id": "a\tb"},
        {**GOOD, "id": True},
        {**GOOD, "id": ["a"]},
        {**GOOD, "duration": "long"},
        {**GOOD, "duration": True},
        {**GOOD, "duration_sec": float("nan")},
        {**GOOD, "duration_sec": 10**400},
        {**GOOD, "speakers": "Ann"},
        {**GOOD, "speakers": {"SPEAKER_A": None}},
        {**GOOD, "speakers": {"": "Ann"}},
        {**GOOD, "voice_prompts": {"a": "b"}},
        {**GOOD, "voice_prompts": ["p.wav", None]},
    ],
)
def test_a_bad_json_line_is_kept_with_its_line(tmp_path: Path, row: object) -> None:
    found = read_metadata(
        jsonl(tmp_path, {"text": "Hi.", "audio": "y.wav"}, row, {"text": "Hi.", "audio": "z.wav"})
    )
    assert ids(found) == ["y", "z"]
    assert [(reject.reason, reject.path) for reject in found.rejects] == [
        ("bad_row", f"{tmp_path / 'train.jsonl'}:2")
    ]
    found.rejects[0].id.encode()
    assert len(found.rejects[0].detail.encode()) < 300


def test_a_folder_without_a_table_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match=r"no metadata\.csv") as caught:
            read_metadata(folder)
        assert caught.value.where == str(folder)
        assert all(
            word in caught.value.fix
            for word in ("audio_path", "LJSpeech", ".jsonl", "--corpus demo")
        )


def test_of_several_json_files_one_must_be_named(tmp_path: Path) -> None:
    (jsonl(tmp_path, GOOD) / "val.jsonl").touch()
    (tmp_path / ".hidden.jsonl").touch()
    with pytest.raises(
        CorpusError,
        match=r"no metadata\.csv, and several \.jsonl files \(train\.jsonl, val\.jsonl\)",
    ):
        read_metadata(tmp_path)


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "table.xlsx").write_text("no table", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"neither \.csv, .* nor \.jsonl"):
        read_metadata(tmp_path / "table.xlsx")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "are missing"),
        ("id,audio_path\n", "text_path"),
        (HEADER + "\n", "no rows"),
        (HEADER + ",id\na,a.wav,a.txt,1,2,,\n", "id are there twice"),
        ('id,"audio_path', "it cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=found):
        read_metadata(tmp_path)


@pytest.mark.parametrize("name", ["metadata.csv", "train.jsonl"])
def test_a_table_that_is_not_utf8_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(HEADER.encode("utf-16"))
    with pytest.raises(CorpusError, match="it cannot be read"):
        read_metadata(tmp_path)


def test_an_empty_json_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no rows"):
        read_metadata(jsonl(tmp_path, "", " "))


def test_a_store_that_nobody_speaks_to_is_an_error() -> None:
    with pytest.raises(StorageError, match="nowhere"):
        read_metadata("nowhere://corpus")


def attempt(name: str, text: str) -> Metadata | None:
    """Read a corpus with such a table, and check that what it holds can be written to a file.

    ``None`` where the table cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(text.encode())
        try:
            found = read_metadata(folder)
        except CorpusError:
            return None
    for recording in found.recordings:
        "".join(
            (recording.id, *recording.files(), recording.words or "", *sum(recording.extra, ()))
        ).encode()
    assert len(set(ids(found))) == len(found.recordings)
    "".join(reject.id + reject.path + reject.detail for reject in found.rejects).encode()
    return found


PIECES = st.sampled_from(
    [*'ab|,;="/.?: \n\r\t\x00\ufeff\u2028é1', "SPEAKER_A=", '""', "://", ".wav"]
)
TEXT = st.lists(PIECES | st.characters(codec="utf-8"), max_size=40).map("".join)
CELL = st.text(st.sampled_from('ab1./|=; \n\r"ü\x00'), max_size=6)
FUZZ = settings(max_examples=200, deadline=None, derandomize=True)


@FUZZ
@given(TEXT, st.sampled_from(["", "id,audio_path,text_path\n", HEADER + "\n", "a|b\n"]))
def test_no_table_crashes(text: str, header: str) -> None:
    attempt("metadata.csv", header + text)


@FUZZ
@given(st.lists(st.lists(CELL, min_size=1, max_size=7), max_size=8))
def test_no_row_of_a_written_table_is_lost(rows: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([HEADER.split(","), *rows])
    found = attempt("metadata.csv", written.getvalue())
    assert (len(found.recordings) + len(found.rejects) if found else 0) == len(rows)


@FUZZ
@given(st.lists(st.text(st.sampled_from('ab," '), min_size=1, max_size=12), max_size=8))
def test_a_good_row_after_any_mess_is_read(mess: list[str]) -> None:
    found = attempt(
        "metadata.csv", "\n".join(["id,audio_path,text_path", *mess, 'good,"g.wav",g.txt'])
    )
    assert found is not None
    assert ids(found)[-1] == "good"


VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
OBJECT = st.fixed_dictionaries(
    {},
    optional={
        key: VALUE | CELL
        for key in ("id", "text", "audio", "voice_prompts", "speakers", "duration", "more")
    },
)


@FUZZ
@given(
    st.lists(
        OBJECT.map(json.dumps)
        | VALUE.map(json.dumps)
        | TEXT.map(lambda text: text.replace("\n", " ")),
        max_size=8,
    )
)
def test_no_json_line_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = attempt("train.jsonl", text)
    expected = sum(bool(line.strip()) for line in text.removeprefix("\ufeff").split("\n"))
    assert (len(found.recordings) + len(found.rejects) if found else 0) == expected


def test_a_recording_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(RecordingError("short_audio", "0.1 s", where="a.wav")))
    assert (error.reason, error.detail, error.where) == ("short_audio", "0.1 s", "a.wav")


HEAVY = {
    "torch",
    "torchaudio",
    "ray",
    "pandas",
    "soundfile",
    "fsspec",
    "pypinyin",
    "espeakng_loader",
}
"""Modules that take long to import, or that not everybody has."""


def heavy_modules_after(statement: str) -> list[str]:
    """Run a statement in a fresh Python and list the heavy modules that it imported."""
    program = f"import sys; {statement}; print(*({HEAVY} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return sorted(found.stdout.split())


def test_reading_a_corpus_imports_nothing_heavy() -> None:
    names = ["ingest", "text", "demo", "preprocess.clips", "preprocess.plan", "shards.manifest"]
    modules = [f"vibesweep.corpus.{name}" for name in names]
    assert heavy_modules_after(f"import {', '.join(modules)}") == []


def test_a_heavy_import_would_be_seen() -> None:
    assert heavy_modules_after("import soundfile, fsspec") == ["fsspec", "soundfile"]
