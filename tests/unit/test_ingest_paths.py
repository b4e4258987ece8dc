"""Files that a table names a little differently: taken where one fits, named where several do."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.files import FoundFiles, find_files
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.storage import StoragePath

DECOMPOSED = unicodedata.normalize("NFD", "Übung_é")
COMPOSED = unicodedata.normalize("NFC", DECOMPOSED)


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def written(folder: Path, audio: str, text: str = "a.txt") -> Path:
    """Write a table of one row."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "metadata.csv"
    table.write_text(f"id,audio_path,text_path\na,{audio},{text}\n", encoding="utf-8")
    touch(folder, "a.txt")
    return folder


def files_of(corpus: Path) -> FoundFiles:
    return find_files(read_metadata(corpus).recordings, StoragePath.of(corpus))


@pytest.mark.parametrize(
    ("there", "named", "how"),
    [
        (f"audio/{DECOMPOSED}.flac", f"audio/{COMPOSED}.flac", {"path_unicode_form"}),
        (f"audio/{COMPOSED}.flac", f"audio/{DECOMPOSED}.flac", {"path_unicode_form"}),
        (f"{DECOMPOSED}/x.wav", f"{COMPOSED}/x.wav", {"path_unicode_form"}),
        ("audio/x.wav", "audio\\x.wav", {"path_backslashes"}),
        ("audio/x.wav", ".\\audio\\x.wav", {"path_backslashes"}),
        ("audio/x.WAV", "audio/x.wav", {"path_letter_case"}),
        ("Audio/X.wav", "audio/x.wav", {"path_letter_case"}),
        ("Audio/x.WAV", "audio\\x.wav", {"path_letter_case", "path_backslashes"}),
        (
            f"audio/{DECOMPOSED.upper()}.wav",
            f"audio/{COMPOSED}.wav",
            {"path_letter_case", "path_unicode_form"},
        ),
        ("audio/x.flac", "audio/x.wav", {"path_other_ending"}),
        ("audio/x.wav", "talks/audio/x.wav", {"path_other_folder"}),
        (
            "wavs/x.wav",
            "C:\\Users\\ann\\talks\\wavs\\x.wav",
            {"path_other_folder", "path_backslashes"},
        ),
        ("wavs/x.wav", "/home/ann/talks/wavs/x.wav", {"path_other_folder"}),
        ("wavs/x.wav", "/home/ann/x.wav", {"path_other_folder"}),
    ],
)
def test_the_one_file_that_fits_is_taken_and_told(
    tmp_path: Path, there: str, named: str, how: set[str]
) -> None:
    folder = written(tmp_path / "talks", named)
    touch(folder, there)
    found = files_of(folder)
    assert found.recordings[0].audio == str(folder / there)
    assert found.stats[found.recordings[0].audio] is not None
    assert {warned.reason for warned in found.warnings} == how
    assert {warned.id for warned in found.warnings} == {"a"}
    assert all(warned.detail.endswith(f" is {there}") for warned in found.warnings)


def test_texts_and_prompts_are_looked_for_as_well(tmp_path: Path) -> None:
    folder = written(tmp_path, "a.wav", "Text\\A.TXT")
    touch(folder, "a.wav", "text/a.txt")
    found = files_of(folder)
    assert found.recordings[0].text == str(folder / "text" / "a.txt")
    row = {"text": "Hi.", "audio": "a.wav", "voice_prompts": ["prompts\\p.wav"]}
    touch(folder, "prompts/p.wav")
    (folder / "train.jsonl").write_text(json.dumps(row), encoding="utf-8")
    [recording] = files_of(folder / "train.jsonl").recordings
    assert recording.voice_prompts == (str(folder / "prompts" / "p.wav"),)


def test_json_lines_may_count_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "work/clips_in/x.wav", "work/tables/a/none.txt")
    table = tmp_path / "work" / "tables" / "a" / "train.jsonl"
    table.write_text('{"text": "Hi.", "audio": "clips_in/x.wav"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    found = files_of(table)
    assert found.recordings[0].audio == str(tmp_path / "work" / "clips_in" / "x.wav")
    assert [warned.reason for warned in found.warnings] == ["path_other_folder"]
    monkeypatch.chdir(tmp_path)
    assert files_of(table).warnings == ()


def test_files_that_are_there_give_no_warning(tmp_path: Path) -> None:
    folder = written(tmp_path, "x.wav")
    touch(folder, "x.wav", "x.WAV", "wavs/x.wav")
    found = files_of(folder)
    assert (found.recordings[0].audio, found.warnings) == (str(folder / "x.wav"), ())


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("audio/x.wav", ("audio/X.wav", "audio/x.WAV")),
        ("audio/x.wav", ("audio/x.flac", "audio/x.mp3")),
        ("audio/x.wav", ("Audio/x.wav", "AUDIO/x.wav")),
        ("/home/ann/x.wav", ("wavs/x.wav", "clips/x.wav")),
    ],
)
def test_of_several_files_none_is_taken_and_all_are_named(
    tmp_path: Path, named: str, there: tuple[str, ...]
) -> None:
    folder = written(tmp_path, named)
    touch(folder, *there)
    recordings = read_metadata(folder).recordings
    planned, [reject], warnings = fingerprint_all(recordings, StoragePath.of(folder), 9.0, "")
    assert (planned, warnings, reject.reason) == ([], [], "missing_audio")
    assert reject.detail.startswith("no such file; 2 files may be meant: ")
    assert all(path in reject.detail for path in there)


def test_a_file_that_another_row_names_is_not_taken(tmp_path: Path) -> None:
    touch(tmp_path, "x.wav", "t.txt", "y.FLAC")
    rows = ["a,x.wav,t.txt", "b,X.wav,t.txt", "c,y.flac,t.txt", "d,Y.flac,t.txt"]
    table = "\n".join(["id,audio_path,text_path", *rows])
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8")
    recordings = read_metadata(tmp_path).recordings
    planned, rejects, _ = fingerprint_all(recordings, StoragePath.of(tmp_path), 9.0, "")
    assert [one.recording.id for one in planned] == ["a"]
    assert [reject.id for reject in rejects] == ["b", "c", "d"]
    assert all("another row may mean it too" in reject.detail for reject in rejects)


def test_what_is_nowhere_is_a_plain_reject(tmp_path: Path) -> None:
    folder = written(tmp_path, "audio/nothing.wav")
    touch(folder, "audio/other.wav")
    recordings = read_metadata(folder).recordings
    _, [reject], _ = fingerprint_all(recordings, StoragePath.of(folder), 9.0, "")
    assert (reject.reason, reject.detail) == ("missing_audio", "no such file")
    long_name = "b" * 5_000
    recordings = read_metadata(written(tmp_path, f"{long_name}/x.wav")).recordings
    assert len(fingerprint_all(recordings, StoragePath.of(folder), 9.0, "").rejects) == 1


def test_folders_of_a_store_are_listed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StoragePath.of("memory://paths/talks")
    rows = []
    for number in range(20):
        (folder / "audio" / f"x{number}.WAV").write_bytes(b"")
        rows.append(f"{number},audio\\x{number}.wav,t.txt")
    (folder / "t.txt").write_bytes(b"Hello.")
    table = "\n".join(["id,audio_path,text_path", *rows])
    (folder / "metadata.csv").write_bytes(table.encode())
    recordings = read_metadata(folder).recordings
    listed: Counter[str] = Counter()
    files = StoragePath.files

    def counted(place: StoragePath) -> object:
        listed[place.address] += 1
        return files(place)

    monkeypatch.setattr(StoragePath, "files", counted)
    found = find_files(recordings, folder)
    assert found.recordings[7].audio == "memory://paths/talks/audio/x7.WAV"
    assert Counter(warned.reason for warned in found.warnings) == {
        "path_backslashes": 20,
        "path_letter_case": 20,
    }
    assert max(listed.values()) == 1
