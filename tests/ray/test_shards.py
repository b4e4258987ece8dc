"""A corpus through Ray Data: every row ends in a shard or among the rejects, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vibesweep.config import MelSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.manifest import Manifest, ShardRow, read_manifest, read_rows
from vibesweep.corpus.shards import preprocess
from vibesweep.errors import CorpusError, ShardsError

pytestmark = pytest.mark.usefixtures("ray_cluster")

RECORDINGS = 10


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings, one of which cannot be decoded and one of which has no text."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=RECORDINGS)
    (folder / "audio/demo_0003.flac").write_bytes(b"not audio at all")
    (folder / "text/demo_0005.txt").unlink()
    return folder


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, list[tuple[int, int]]]:
    """Shards of that corpus, their manifest, and what progress was told."""
    out, told = tmp_path_factory.mktemp("made") / "shards", []
    manifest = preprocess(corpus, out, progress=lambda done, total: told.append((done, total)))
    return out, manifest, told


Made = tuple[Path, Manifest, list[tuple[int, int]]]


def test_every_row_is_in_a_shard_or_rejected(made: Made) -> None:
    out, manifest, told = made
    rows = list(read_rows(out))
    rejects = pq.read_table(out / "rejects.parquet").to_pylist()
    assert {(reject["id"], reject["reason"]) for reject in rejects} == {
        ("demo_0003", "unreadable_audio"),
        ("demo_0005", "missing_text"),
    }
    assert {row.id for row in rows} | {reject["id"] for reject in rejects} == {f"demo_{i:04d}" for i in range(RECORDINGS)}
    assert len(rows) + len(rejects) == RECORDINGS
    assert manifest.rejects == {"missing_text": 1, "unreadable_audio": 1}
    assert told[-1] == (RECORDINGS - 1, RECORDINGS - 1)  # a row without its text is out before the work begins
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_manifest_adds_up(made: Made) -> None:
    out, manifest, _ = made
    rows = list(read_rows(out))
    assert read_manifest(out) == manifest
    assert sum(shard.rows for shard in manifest.shards) == len(rows)
    assert {split: sum(row.split == split for row in rows) for split in ("train", "val")} == manifest.clips
    assert manifest.clips["val"] == 1
    assert sum(manifest.hours.values()) * 3_600 == pytest.approx(sum(row.duration_s for row in rows))
    assert {turn.speaker for row in rows for turn in row.turns} == set(manifest.speakers)
    assert {symbol for row in rows for turn in row.turns for symbol in turn.phonemes} == set(manifest.symbols)
    assert len(manifest.mel_mean) == len(manifest.mel_std) == 80


def test_the_second_call_does_nothing(corpus: Path, made: Made) -> None:
    out, manifest, _ = made
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert preprocess(corpus, out) == manifest
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_the_same_corpus_gives_the_same_bytes(corpus: Path, made: Made, tmp_path: Path) -> None:
    preprocess(corpus, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(made[0])


def test_changed_input_and_settings_make_the_shards_anew(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=4), tmp_path / "shards"
    first = preprocess(folder, out)
    (folder / "text/demo_0000.txt").write_text("[SPEAKER_A] Only me.\n", encoding="utf-8")
    second = preprocess(folder, out)
    assert second.signature != first.signature
    assert second.rejects == {"speaker_count": 1}
    third = preprocess(folder, out, settings=MelSettings(n_mels=40))
    assert len(third.mel_mean) == 40
    assert {row.mel.shape[1] for row in read_rows(out)} == {40}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "shards"]


def test_shards_without_their_manifest_are_made_anew(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=2), tmp_path / "shards"
    manifest = preprocess(folder, out)
    (out / "manifest.json").unlink()
    assert preprocess(folder, out) == manifest == read_manifest(out)


def test_a_folder_that_holds_anything_else_is_not_replaced(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=2), tmp_path / "shards"
    out.mkdir()
    (out / "manifest.json").write_text("{}", encoding="utf-8")
    (out / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ShardsError, match=r"holds thesis\.tex"):
        preprocess(folder, out)
    assert (out / "thesis.tex").read_text(encoding="utf-8") == "years of work"


def test_rejects_do_not_empty_a_split(tmp_path: Path) -> None:
    folder = write_demo_corpus(tmp_path / "corpus", recordings=4)
    (lost,) = (row.id for row in _rows_of(folder, tmp_path / "whole", "val"))
    (folder / f"audio/{lost}.flac").write_bytes(b"")
    manifest = preprocess(folder, tmp_path / "shards")
    assert manifest.clips == {"train": 2, "val": 1}
    assert manifest.rejects == {"unreadable_audio": 1}
    assert {row.id for row in read_rows(tmp_path / "shards")} == {f"demo_{i:04d}" for i in range(4)} - {lost}


def test_a_corpus_of_which_nothing_can_be_used_is_an_error(tmp_path: Path) -> None:
    folder = write_demo_corpus(tmp_path / "corpus", recordings=2)
    for path in (folder / "audio").iterdir():
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"none of its 2 recordings .*unreadable_audio 2"):
        preprocess(folder, tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_rows_go_through_json_unharmed(corpus: Path, made: Made) -> None:
    times = json.loads((corpus / "segments.json").read_text(encoding="utf-8"))
    for row in read_rows(made[0]):
        assert [turn.start_s for turn in row.turns] == [entry["start"] for entry in times[row.id]]
        assert all(turn.timed for turn in row.turns)


def _rows_of(folder: Path, out: Path, split: str) -> list[ShardRow]:
    preprocess(folder, out)
    return list(read_rows(out, split))
