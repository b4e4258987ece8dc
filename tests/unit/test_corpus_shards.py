"""Splits, plans, and one shard written and read without ray."""

from __future__ import annotations

import dataclasses
import os
import random
from pathlib import Path

import numpy as np
import pytest

from vibesweep.config import MelSettings
from vibesweep.corpus import audio
from vibesweep.corpus.clips import ShardSummary, share_times, write_shard
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.manifest import Manifest, ShardFile, read_manifest, read_rows, read_table, write_manifest
from vibesweep.corpus.metadata import Recording, read_metadata
from vibesweep.corpus.plan import ShardPlan, plan_shards, signature_of_input, split_of
from vibesweep.errors import ShardsError

SETTINGS = MelSettings()
IDS = [f"clip_{i}" for i in range(40)]


def manifest(*shards: ShardFile) -> Manifest:
    nothing: dict[str, int] = {}
    return Manifest("s", SETTINGS, (0.0,), (1.0,), {"train": 2}, {"train": 0.1}, nothing, nothing, nothing, {"SNOWMAN": 1}, shards)


def write_one(corpus: Path, out: Path) -> ShardSummary:
    out.mkdir()
    plan = ShardPlan("train-00000.parquet", "train", read_metadata(corpus).recordings)
    summary = write_shard(plan, out, SETTINGS)
    write_manifest(out, manifest(ShardFile(summary.name, summary.split, summary.rows)))
    return summary


def test_a_split_does_not_depend_on_the_order() -> None:
    shuffled = random.Random(0).sample(IDS, len(IDS))
    assert split_of(IDS, seed=1) == split_of(shuffled, seed=1)
    assert split_of(IDS, seed=1) != split_of(IDS, seed=2)
    assert [name for name, split in split_of(IDS).items() if split == "val"] == ["clip_12", "clip_15", "clip_21", "clip_23"]


@pytest.mark.parametrize(("count", "fraction", "val"), [(40, 0.1, 4), (40, 0.26, 10), (2, 0.01, 1), (2, 0.99, 1), (1, 0.5, 0), (0, 0.5, 0)])
def test_the_fraction_is_kept_exactly(count: int, fraction: float, val: int) -> None:
    assert list(split_of(IDS[:count], val_fraction=fraction).values()).count("val") == val


def test_a_new_recording_moves_few_others() -> None:
    before, after = split_of(IDS), split_of([*IDS, "one more"])
    assert sum(before[name] != after[name] for name in IDS) <= 1


def test_a_plan_holds_each_recording_once_and_by_id() -> None:
    recordings = [Recording(name, Path(name), Path(name), 1, 1.0) for name in reversed(IDS)]
    plans = plan_shards(recordings, split_of(IDS))
    planned = [recording.id for plan in plans for recording in plan.recordings]
    assert sorted(planned) == sorted(IDS)
    assert all([r.id for r in plan.recordings] == sorted(r.id for r in plan.recordings) for plan in plans)
    assert [plan.split for plan in plans] == sorted(plan.split for plan in plans)
    assert len({plan.name for plan in plans}) == len(plans)


def test_times_are_shared_out_by_phonemes() -> None:
    assert share_times([1, 3, 4], 4.0) == [(0.0, 0.5), (0.5, 2.0), (2.0, 4.0)]


def test_a_shard_holds_what_was_recorded(tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path / "corpus", recordings=2)
    summary = write_one(corpus, tmp_path / "out")
    rows = list(read_rows(tmp_path / "out", "train"))
    assert [row.id for row in rows] == ["demo_0000", "demo_0001"]
    for row, recording in zip(rows, read_metadata(corpus).recordings, strict=True):
        expected = audio.log_mel(audio.load(recording.audio, SETTINGS), SETTINGS)
        assert row.mel.dtype == np.float16
        assert np.array_equal(row.mel, expected.astype(np.float16))
        assert row.duration_s == pytest.approx(recording.duration_s, abs=1 / 75)
        assert [(t.tag, t.start_s) for t in row.turns] == [(s.tag, s.start_s) for s in recording.segments]
        assert all(turn.timed and turn.phonemes and turn.end_s <= row.duration_s for turn in row.turns)
    frames = np.concatenate([row.mel for row in rows]).astype(np.float64)
    assert np.array(summary.mel_sum) / summary.frames == pytest.approx(frames.mean(axis=0), abs=1e-3)
    assert np.array(summary.mel_square_sum) / summary.frames == pytest.approx((frames**2).mean(axis=0), rel=1e-3)
    assert summary.speakers == {"Alex": 2, "Belinda": 2}
    assert sum(summary.symbols.values()) == sum(len(turn.phonemes) for row in rows for turn in row.turns)


def test_without_segments_times_are_estimated(tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path / "corpus", recordings=1)
    (corpus / "segments.json").unlink()
    write_one(corpus, tmp_path / "out")
    (row,) = read_rows(tmp_path / "out")
    assert not any(turn.timed for turn in row.turns)
    assert row.turns[0].start_s == 0.0
    assert row.turns[-1].end_s == pytest.approx(row.duration_s)


def test_recordings_of_no_use_are_told_and_left_out(tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path / "corpus", recordings=4)
    (corpus / "audio/demo_0000.flac").write_bytes(b"not audio")
    (corpus / "text/demo_0001.txt").write_text("[SPEAKER_A] Hello.\n[SPEAKER_B] Я\n", encoding="utf-8")
    (corpus / "segments.json").unlink()
    table = (corpus / "metadata.csv").read_text(encoding="utf-8").splitlines()
    cells = table[3].split(",")
    table[3] = ",".join([*cells[:4], "99", *cells[5:]])
    (corpus / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    summary = write_one(corpus, tmp_path / "out")
    reasons = {reject.id: reject.reason for reject in summary.rejects}
    assert reasons == {"demo_0000": "unreadable_audio", "demo_0001": "no_phonemes", "demo_0002": "duration_mismatch"}
    assert [row.id for row in read_rows(tmp_path / "out")] == ["demo_0003"]


def test_a_plan_of_which_nothing_can_be_used_leaves_no_file(tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path / "corpus", recordings=1)
    (corpus / "audio/demo_0000.flac").write_bytes(b"")
    assert write_one(corpus, tmp_path / "out").rows == 0
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_columns_are_read_alone(tmp_path: Path) -> None:
    write_one(write_demo_corpus(tmp_path / "corpus", recordings=2), tmp_path / "out")
    table = read_table(tmp_path / "out", "train", columns=["id", "frames"])
    assert table.column_names == ["id", "frames"]
    assert table.num_rows == 2


def test_a_split_without_files_is_empty(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    assert read_table(tmp_path, "val").num_rows == 0
    assert list(read_rows(tmp_path, "val")) == []


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    written = manifest(ShardFile("train-00000.parquet", "train", 2))
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, "no manifest"), ("{", "cannot be read"), ("{}", "cannot be read"), ('{"schema_version": 99}', "version 99")],
)
def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path, text: str | None, found: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ShardsError, match=found):
        read_manifest(tmp_path)


def test_the_signature_changes_with_each_thing_the_shards_depend_on(tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path, recordings=1)

    def signature(**choices: object) -> str:
        return signature_of_input(corpus, read_metadata(corpus).recordings, {"seed": 0, **choices})

    signatures = [signature(), signature(seed=1), signature(mel=dataclasses.asdict(MelSettings(hop_samples=256)))]
    assert signature() == signatures[0]
    os.utime(corpus / "audio/demo_0000.flac", ns=(1, 1))
    signatures.append(signature())
    with (corpus / "text/demo_0000.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    signatures.append(signature())
    (corpus / "segments.json").unlink()
    signatures.append(signature())
    assert len(set(signatures)) == len(signatures) == 6
