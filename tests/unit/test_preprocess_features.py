"""What an encoder makes of clips goes into parts and shards, and comes out in the columns that a reader asks for. No ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from vibesweep.corpus.preprocess.encoder_batches import Heard, hear, with_features
from vibesweep.corpus.shards.features import FeatureEncoder, Features, OpenEncoder, check_rate

from tests import tiny
from tests.checkpoint import write_checkpoint
from vibesweep.config import CorpusSettings, MelSettings
from vibesweep.corpus.demo.dialogues import write_demo_corpus
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess import pack
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.pack import ShardSummary, entries_of, write_shard
from vibesweep.corpus.preprocess.parts import read_part, write_part
from vibesweep.corpus.preprocess.plan import Part, ShardPlan
from vibesweep.corpus.shards.manifest import ShardFile, read_clips, write_manifest
from vibesweep.corpus.shards.schema import FEATURE_ROW_COLUMNS, SHARD_ROW_COLUMNS, Clip
from vibesweep.errors import ModelError
from vibesweep.models.bundle import encoder_of
from vibesweep.storage import StoragePath

SETTINGS = CorpusSettings()
FILE = "train-00000.parquet"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> FeatureEncoder:
    encoder = encoder_of(f"vibevoice:{write_checkpoint(tmp_path_factory.mktemp('checkpoint'))}")
    assert encoder is not None
    return encoder


@pytest.fixture(scope="module")
def opened(named: FeatureEncoder) -> OpenEncoder:
    return named.open("cpu")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Four recordings, each with a voice prompt; the longest is cut into clips."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=4)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    lines = [
        f"{line},{'audio/demo_0001.flac' if number else 'voice_prompts'}"
        for number, line in enumerate(table)
    ]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = CorpusSettings(max_duration_s=5.0)
    planned, rejects = fingerprint_all(
        read_metadata(folder).recordings, StoragePath.of(folder), settings
    )
    assert not rejects
    return hear(Part(tuple(planned)), settings)


def written(heard: Heard, opened: OpenEncoder, folder: Path, split: str = "train") -> ShardSummary:
    """A folder of one shard."""
    made = with_features(Heard.from_row(heard.to_row()), opened)
    write_part(made, StoragePath.of(folder / "parts"))
    place = StoragePath.of(folder / "parts") / made.name
    entries = list(entries_of(place, {row["fingerprint"] for row in made.rows}))
    plan = ShardPlan(FILE, split, ((str(place), tuple(entry.row for entry in entries)),))
    summary = write_shard(plan, StoragePath.of(folder), SETTINGS.mel)
    write_manifest(folder, tiny.manifest(ShardFile(FILE, split, summary.rows, summary.frames)))
    return ShardSummary.from_row(summary.to_row())


def clips(folder: Path, columns: tuple[str, ...]) -> dict[str, Clip]:
    return {row.id: row for row in read_clips(folder, columns=columns)}


def test_a_part_is_the_same_behind_its_way_to_the_encoder(heard: Heard) -> None:
    again = Heard.from_row(heard.to_row())
    assert again.part == heard.part
    assert [sound.tobytes() for sound in again.sounds] == [
        sound.tobytes() for sound in heard.sounds
    ]
    assert len(heard.sounds) == len(heard.part.rows) + 3, (
        "a voice prompt is heard once for all clips of its recording, and not in its own"
    )
    assert len(heard.part.rows) > 4
    empty = hear(Part(()), SETTINGS)
    assert Heard.from_row(empty.to_row()) == empty


def test_features_come_back_by_the_columns_that_are_read(
    heard: Heard, opened: OpenEncoder, tmp_path: Path
) -> None:
    summary = written(heard, opened, tmp_path)
    mels, features, both = (
        clips(tmp_path, columns)
        for columns in (
            SHARD_ROW_COLUMNS,
            FEATURE_ROW_COLUMNS,
            tuple(dict.fromkeys(SHARD_ROW_COLUMNS + FEATURE_ROW_COLUMNS)),
        )
    )
    assert summary.rows == len(mels) == len(features)
    for row in heard.part.rows:
        sound = opened.encode(heard.sounds[row["sound"]])
        mel, read, whole = mels[row["id"]], features[row["id"]], both[row["id"]]
        assert (mel.acoustic, mel.semantic, mel.tokens) == (None, None, 0)
        assert mel.mel.tobytes() == whole.mel.tobytes() == row["mel"]
        assert read.mel.shape == (0, 0)
        for found in (read, whole):
            assert found.acoustic is not None
            assert found.semantic is not None
            assert np.array_equal(found.acoustic, sound.acoustic)
            assert np.array_equal(found.semantic, sound.semantic)
            assert found.tokens > 40
        for given, (by_mel, by_features, by_both) in zip(
            row["voice_prompts"],
            zip(mel.voice_prompts, read.voice_prompts, whole.voice_prompts, strict=True),
            strict=True,
        ):
            prompt = opened.encode(heard.sounds[given["sound"]])
            assert by_mel.person == by_features.person == given["speaker"]
            assert (by_mel.acoustic, by_features.mel) == (None, None)
            assert by_both.mel is not None
            assert by_both.mel.shape[1] == 80
            for spoken in (by_features, by_both):
                assert spoken.acoustic is not None
                assert np.array_equal(spoken.acoustic, prompt.acoustic)


def test_a_shard_sums_up_its_training_latents(
    heard: Heard, opened: OpenEncoder, tmp_path: Path
) -> None:
    train, val = (
        written(heard, opened, tmp_path / "t"),
        written(heard, opened, tmp_path / "v", "val"),
    )
    latents = [
        row.acoustic
        for row in clips(tmp_path / "t", FEATURE_ROW_COLUMNS).values()
        if row.acoustic is not None
    ]
    values = np.concatenate(latents).astype(np.float64)
    assert train.acoustic.count == values.size
    assert train.acoustic.mean[0] == pytest.approx(values.mean(), abs=1e-12)
    assert train.acoustic.covariance[0] == pytest.approx(values.var(), rel=1e-12)
    assert val.acoustic.count == 0


def test_a_row_group_counts_what_is_read(
    heard: Heard, opened: OpenEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [
        len(features.acoustic) * (64 + 128) * 2
        for features in map(opened.encode, (heard.sounds[row["sound"]] for row in heard.part.rows))
    ]
    monkeypatch.setattr(pack, "ROW_GROUP_BYTES", sum(sizes) / len(sizes) * 2)
    written(heard, opened, tmp_path)
    file = pq.ParquetFile(tmp_path / FILE)
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)][
        :-1
    ] == [2] * (file.num_row_groups - 1)


def test_a_part_without_an_encoder_has_no_features(heard: Heard, tmp_path: Path) -> None:
    write_part(heard.part, StoragePath.of(tmp_path))
    table = read_part(StoragePath.of(tmp_path) / heard.part.name)
    for column in ("latents", "tokens", "acoustic", "semantic"):
        assert table[column].null_count == len(table) > 0


def test_features_go_through_bytes_and_another_rate_is_refused(named: FeatureEncoder) -> None:
    features = Features(np.ones((2, 3), np.float16), np.zeros((2, 5), np.float16))
    again = Features.from_bytes(features.to_bytes())
    assert np.array_equal(again.acoustic, features.acoustic)
    assert np.array_equal(again.semantic, features.semantic)
    check_rate(named, SETTINGS)
    with pytest.raises(ModelError, match="24000 Hz, the corpus is read at 16000 Hz"):
        check_rate(named, CorpusSettings(mel=MelSettings(sample_rate_hz=16_000)))
