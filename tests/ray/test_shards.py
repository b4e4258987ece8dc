"""A corpus becomes shards: each row ends in one or is rejected, and nothing is done twice."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.encoders import MEL_ENCODER
from vibesweep.config import CorpusSettings, MelSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.run import preprocess, preprocess_beside
from vibesweep.corpus.shards.manifest import (
    Manifest,
    check_signature,
    read_clips,
    read_manifest,
    read_table,
)
from vibesweep.errors import CorpusError, ShardsError
from vibesweep.models.mel.encoder import MelEncoder
from vibesweep.storage import StoragePath

pytestmark = pytest.mark.usefixtures("ray_cluster")

RECORDINGS = 10
Made = tuple[Path, Manifest, list[Encoded]]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def contents(folder: str | Path) -> dict[str, tuple[str, bytes]]:
    return {row.id: (row.split, row.columns["mel"].tobytes()) for row in read_clips(folder)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings, one of which cannot be decoded and one of which has no text."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=RECORDINGS)
    (folder / "audio/demo_0003.flac").write_bytes(b"not audio at all")
    (folder / "text/demo_0005.txt").unlink()
    return folder


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Shards of that corpus, their manifest, and what progress was told."""
    told: list[Encoded] = []
    out = tmp_path_factory.mktemp("made") / "shards"
    return out, preprocess(corpus, out, MEL_ENCODER, tell=told.append), told


def test_every_row_ends_in_a_shard_or_among_the_rejects(corpus: Path, made: Made) -> None:
    out, manifest, told = made
    rows = list(read_clips(out))
    rejects = pq.read_table(out / "rejects.parquet").to_pylist()
    with (corpus / "metadata.csv").open(encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert sorted([row.id for row in rows] + [reject["id"] for reject in rejects]) == sorted(ids)
    reasons = {reject["id"]: (reject["reason"], Path(reject["path"]).name) for reject in rejects}
    assert reasons == {
        "demo_0003": ("unreadable_audio", "demo_0003.flac"),
        "demo_0005": ("missing_text", "demo_0005.txt"),
    }
    assert manifest.rejects == {"missing_text": 1, "unreadable_audio": 1}
    assert (told[0].recordings, told[-1].recordings, told[-1].of) == (
        0,
        RECORDINGS - 1,
        RECORDINGS - 1,
    )
    assert told[-1].speech_s == pytest.approx(sum(row.duration_s for row in rows))


def test_the_manifest_tells_what_is_there(made: Made) -> None:
    out, manifest, _ = made
    rows = list(read_clips(out))
    assert read_manifest(out) == manifest
    assert sum(shard.rows for shard in manifest.shards) == len(rows)
    assert {
        split: sum(row.split == split for row in rows) for split in ("train", "val")
    } == manifest.clips
    assert manifest.clips["val"] == 1
    assert sum(manifest.hours.values()) * 3_600 == pytest.approx(
        sum(row.duration_s for row in rows)
    )
    assert {turn.speaker for row in rows for turn in row.turns} == set(manifest.speakers)
    symbols = {symbol for row in rows for turn in row.turns for symbol in turn.columns["phonemes"]}
    assert symbols == set(manifest.encoder.counts["symbols"])
    assert manifest.encoder.fingerprint == MEL_ENCODER.fingerprint


def test_nothing_is_done_a_second_time(corpus: Path, made: Made) -> None:
    out, manifest, _ = made
    before = digests(out)
    told: list[Encoded] = []
    assert preprocess(corpus, out, MEL_ENCODER, tell=told.append) == manifest
    assert digests(out) == before
    assert told == []


def test_the_same_input_gives_the_same_files_in_any_order_of_its_rows(
    corpus: Path, made: Made, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")  # with the times of change
    table = (tmp_path / "corpus/metadata.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "corpus/metadata.csv").write_text(
        "\n".join([table[0], *reversed(table[1:])]) + "\n", encoding="utf-8"
    )
    again = preprocess(tmp_path / "corpus", tmp_path / "again", MEL_ENCODER)
    assert again == made[1]
    assert contents(tmp_path / "again") == contents(made[0])


def test_new_recordings_alone_are_encoded_and_the_outcome_is_as_if_all_were_made_at_once(
    tmp_path: Path,
) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=6), tmp_path / "shards"
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metadata.csv").write_text("\n".join(table[:5]) + "\n", encoding="utf-8")
    (folder / "audio/demo_0002.flac").write_bytes(b"not audio at all")
    preprocess(folder, out, MEL_ENCODER, CorpusSettings(max_reject_fraction=0.5))
    (folder / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    told: list[Encoded] = []
    added = preprocess(
        folder, out, MEL_ENCODER, CorpusSettings(max_reject_fraction=0.5), tell=told.append
    )
    assert (told[0].recordings, told[-1].recordings) == (4, 6), (
        "the one that cannot be used is not tried again either"
    )
    assert told[-1].speech_s == pytest.approx(
        sum(row.duration_s for row in read_clips(out) if row.id in ("demo_0004", "demo_0005"))
    )
    at_once = preprocess(
        folder, tmp_path / "at_once", MEL_ENCODER, CorpusSettings(max_reject_fraction=0.5)
    )
    assert added == at_once
    assert contents(out) == contents(tmp_path / "at_once")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in (tmp_path / "at_once").iterdir()
    )


def test_another_split_encodes_nothing(corpus: Path, made: Made, tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "shards")
    told: list[Encoded] = []
    manifest = preprocess(
        corpus, tmp_path / "shards", MEL_ENCODER, CorpusSettings(val_fraction=0.5), tell=told.append
    )
    assert manifest.clips == {"train": 4, "val": 4}
    assert [encoded.speech_s for encoded in told] == [0.0]


def test_changed_input_and_settings_make_the_shards_anew(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=4), tmp_path / "shards"
    first = preprocess(folder, out, MEL_ENCODER)
    with (folder / "text/demo_0000.txt").open("a", encoding="utf-8") as file:
        file.write("One more sentence.\n")
    second = preprocess(folder, out, MEL_ENCODER)
    third = preprocess(folder, out, MelEncoder(MelSettings(n_mels=40), "en-us"))
    assert len({manifest.signature for manifest in (first, second, third)}) == 3
    counts = [sum(made.encoder.counts["symbols"].values()) for made in (first, second)]
    assert counts[1] > counts[0]
    assert {len(row.columns["mel"]) // row.patches // 10 for row in read_clips(out)} == {40}
    assert {path.name for path in out.iterdir()} == {
        "manifest.json",
        "rejects.parquet",
        "warnings.parquet",
        *(shard.name for shard in third.shards),
    }, "nothing of the former shards is left"


def test_a_corpus_that_has_grown_leaves_the_shards_of_a_running_sweep_as_they_are(
    tmp_path: Path,
) -> None:
    folder, out = (
        write_demo_corpus(tmp_path / "corpus", recordings=5),
        tmp_path / "shards" / "talks",
    )
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metadata.csv").write_text("\n".join(table[:5]) + "\n", encoding="utf-8")
    used, before = preprocess_beside(folder, out, MEL_ENCODER)
    bytes_before = contents(used.local or tmp_path)
    (folder / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    told: list[Encoded] = []
    grown, after = preprocess_beside(folder, out, MEL_ENCODER, tell=told.append)
    assert grown != used
    assert used.name == f"talks-{before.signature[:12]}"
    assert contents(used.local or tmp_path) == bytes_before
    check_signature(used, before.signature)
    assert sum(after.clips.values()) == sum(before.clips.values()) + 1
    assert told[0].recordings == 4, "what was encoded before is not encoded again"
    again, _ = preprocess_beside(folder, out, MEL_ENCODER)
    assert again == grown


KILLED = """
import os, signal, sys
from vibesweep.config import MelSettings
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.models.mel.encoder import MelEncoder

def kill(encoded):
    if encoded.recordings:
        os.kill(os.getpid(), signal.SIGKILL)

preprocess(sys.argv[1], sys.argv[2], MelEncoder(MelSettings(), "en-us"), tell=kill)
"""


def test_a_killed_run_leaves_nothing_to_be_taken_for_whole_and_the_next_goes_on(
    ray_cluster: str, tmp_path: Path
) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=8), tmp_path / "shards"
    environment = os.environ | {"RAY_ADDRESS": ray_cluster}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(out)],
        capture_output=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == -9
    with pytest.raises(ShardsError, match=r"no manifest\.json"):
        read_manifest(out)
    assert list(out.iterdir()) == [out / "parts"]
    told: list[Encoded] = []
    manifest = preprocess(folder, out, MEL_ENCODER, tell=told.append)
    assert told[0].recordings > 0, "what was encoded is not encoded again"
    assert sum(manifest.clips.values()) == 8
    assert contents(out) == contents_of_a_fresh_run(folder, tmp_path / "fresh")


def contents_of_a_fresh_run(corpus: Path, out: Path) -> dict[str, tuple[str, bytes]]:
    preprocess(corpus, out, MEL_ENCODER)
    return contents(out)


def test_a_folder_with_foreign_files_is_left_alone(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=2), tmp_path / "shards"
    out.mkdir()
    (out / "manifest.json").write_text("{}", encoding="utf-8")
    (out / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ShardsError, match=r"thesis\.txt"):
        preprocess(folder, out, MEL_ENCODER)
    assert (out / "thesis.txt").read_text(encoding="utf-8") == "precious"


def test_too_many_rejects_are_an_error_and_the_files_say_why(tmp_path: Path) -> None:
    folder, out = write_demo_corpus(tmp_path / "corpus", recordings=4), tmp_path / "shards"
    (folder / "audio/demo_0001.flac").write_bytes(b"")
    with pytest.raises(
        CorpusError, match=r"1 of its 4 recordings .*unreadable_audio 1.*max-reject-fraction"
    ):
        preprocess(folder, out, MEL_ENCODER)
    assert [row["id"] for row in pq.read_table(out / "rejects.parquet").to_pylist()] == [
        "demo_0001"
    ]
    with pytest.raises(ShardsError, match="no manifest"):
        read_manifest(out)
    told: list[Encoded] = []
    manifest = preprocess(
        folder, out, MEL_ENCODER, CorpusSettings(max_reject_fraction=0.25), tell=told.append
    )
    assert manifest.clips == {"train": 2, "val": 1}
    assert told[0].recordings == 4, "nothing was lost"


def test_the_same_recording_twice_is_on_one_side_and_told_of(tmp_path: Path) -> None:
    folder = write_demo_corpus(tmp_path / "corpus", recordings=5)
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    twin = ["twin", *rows[1][1:]]
    segments = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
    segments["twin"] = segments[rows[1][0]]
    (folder / "segments.json").write_text(json.dumps(segments), encoding="utf-8")
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        csv.writer(file).writerow(twin)
    for fraction in (0.1, 0.4):
        manifest = preprocess(
            folder, tmp_path / "shards", MEL_ENCODER, CorpusSettings(val_fraction=fraction)
        )
        splits = dict(
            read_table(tmp_path / "shards", columns=["id", "split"])
            .to_pandas()
            .itertuples(index=False)
        )
        assert splits["twin"] == splits[rows[1][0]]
        assert manifest.warnings == {"duplicate_audio": 1}
    (warned,) = pq.read_table(tmp_path / "shards/warnings.parquet").to_pylist()
    assert (warned["id"], warned["reason"], warned["detail"]) == (
        "twin",
        "duplicate_audio",
        f"the same samples as {rows[1][0]}",
    )


def test_rows_go_through_json_unharmed(corpus: Path, made: Made) -> None:
    times = json.loads((corpus / "segments.json").read_text(encoding="utf-8"))
    for row in read_clips(made[0]):
        assert [turn.start_s for turn in row.turns] == [entry["start"] for entry in times[row.id]]
        assert all(turn.timed for turn in row.turns)


def test_a_corpus_in_an_object_store_becomes_shards_there(
    corpus: Path, made: Made, bucket: str
) -> None:
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        (StoragePath.of(bucket.format("corpus")) / path.relative_to(corpus).as_posix()).write_bytes(
            path.read_bytes()
        )
    out = bucket.format("shards")
    manifest = preprocess(bucket.format("corpus"), out, MEL_ENCODER)
    assert manifest.rejects == made[1].rejects
    assert contents(out) == contents(made[0])
    assert {stat.name for stat in StoragePath.of(out).files()} == {
        "manifest.json",
        "rejects.parquet",
        "warnings.parquet",
        *(shard.name for shard in manifest.shards),
    }
    told: list[Encoded] = []
    assert preprocess(bucket.format("corpus"), out, MEL_ENCODER, tell=told.append) == manifest
    assert told == []
