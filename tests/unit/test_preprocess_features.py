"""What VibeVoice's encoder makes of clips goes into parts and shards, and comes out again."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import tiny
from tests.checkpoint import write_checkpoint
from tests.encoders import vibevoice_encoder
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess import pack
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.pack import ShardSummary, entries_of, write_shard
from vibesweep.corpus.preprocess.parts import (
    DecodedPart,
    decode_part,
    encode_sounds,
    write_part,
)
from vibesweep.corpus.preprocess.plan import Part, ShardPlan
from vibesweep.corpus.shards.manifest import ShardFile, read_clips, write_manifest
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.vibevoice.encoder import ACOUSTIC, SEMANTIC, VibeVoiceEncoder
from vibesweep.models.vibevoice.features import Features
from vibesweep.models.vibevoice.sound_encoder import VibeVoiceSounds
from vibesweep.storage import StoragePath

FILE = "train-00000.parquet"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> VibeVoiceEncoder:
    return vibevoice_encoder(write_checkpoint(tmp_path_factory.mktemp("checkpoint")))


@pytest.fixture(scope="module")
def sounds(encoder: VibeVoiceEncoder) -> VibeVoiceSounds:
    return encoder.open_sound("cpu")


@pytest.fixture(scope="module")
def decoded(encoder: VibeVoiceEncoder, tmp_path_factory: pytest.TempPathFactory) -> DecodedPart:
    """Four recordings, each with a voice prompt; the longest is cut into clips."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=4)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    prompts = ["voice_prompts", *["audio/demo_0001.flac"] * 4]
    lines = [f"{line},{prompt}" for line, prompt in zip(table, prompts, strict=True)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recordings = read_metadata(folder).recordings
    place = StoragePath.of(folder)
    planned, rejects, _ = fingerprint_all(recordings, place, 5.0, encoder.fingerprint)
    assert not rejects
    return decode_part(Part(tuple(planned)), encoder, 5.0)


def write_folder(
    decoded: DecodedPart,
    encoder: VibeVoiceEncoder,
    sounds: VibeVoiceSounds,
    folder: Path,
    split: str = "train",
) -> ShardSummary:
    """Write a folder of one shard."""
    rows = encode_sounds(decoded, sounds, encoder.columns)
    write_part(decoded, rows, encoder.columns, StoragePath.of(folder / "parts"))
    place = StoragePath.of(folder / "parts") / decoded.name
    entries = list(entries_of(place, {row["fingerprint"] for row in rows}))
    plan = ShardPlan(FILE, split, ((str(place), tuple(entry.row for entry in entries)),))
    summary = write_shard(plan, StoragePath.of(folder), encoder)
    shard = ShardFile(FILE, split, summary.rows, summary.seconds)
    write_manifest(folder, tiny.manifest(shard))
    return summary


def clips_in(folder: Path) -> dict[str, Clip]:
    return {clip.id: clip for clip in read_clips(folder)}


def test_a_part_is_the_same_behind_its_way_to_the_encoder(decoded: DecodedPart) -> None:
    again: DecodedPart = pickle.loads(pickle.dumps(decoded))
    assert again.rows == decoded.rows
    pairs = zip(again.sounds.samples, decoded.sounds.samples, strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    assert len(decoded.rows) > 4
    assert len(decoded.sounds.samples) == len(decoded.rows) + 3, (
        "a voice prompt is encoded once for all clips of its recording, and not in its own"
    )


def test_features_come_back_and_nothing_else_was_made(
    decoded: DecodedPart, encoder: VibeVoiceEncoder, sounds: VibeVoiceSounds, tmp_path: Path
) -> None:
    summary = write_folder(decoded, encoder, sounds, tmp_path)
    clips = clips_in(tmp_path)
    assert summary.rows == len(clips) == len(decoded.rows)
    names = pq.ParquetFile(tmp_path / FILE).schema_arrow.names
    assert "mel" not in names
    assert "frames" not in names
    for row in decoded.rows:
        clip = clips[row["id"]]
        features = sounds.features(decoded.sounds.samples[row["sound"]])
        assert clip.patches == len(features.acoustic)
        assert clip.tokens > 40
        assert np.array_equal(clip.columns[ACOUSTIC], features.acoustic.reshape(-1))
        assert np.array_equal(clip.columns[SEMANTIC], features.semantic.reshape(-1))
        assert all(turn.columns == {} for turn in clip.turns), "no phonemes"
        for given, prompt in zip(row["voice_prompts"], clip.voice_prompts, strict=True):
            wanted = sounds.features(decoded.sounds.samples[given["sound"]])
            assert prompt.person == given["speaker"]
            assert set(prompt.columns) == {ACOUSTIC}
            assert np.array_equal(prompt.columns[ACOUSTIC], wanted.acoustic.reshape(-1))


def test_a_shard_sums_up_its_training_latents(
    decoded: DecodedPart, encoder: VibeVoiceEncoder, sounds: VibeVoiceSounds, tmp_path: Path
) -> None:
    train = write_folder(decoded, encoder, sounds, tmp_path / "t")
    val = write_folder(decoded, encoder, sounds, tmp_path / "v", "val")
    latents = [clip.columns[ACOUSTIC] for clip in clips_in(tmp_path / "t").values()]
    values = np.concatenate(latents).astype(np.float64)
    moments = train.moments[ACOUSTIC]
    assert moments.count == values.size
    assert moments.mean[0] == pytest.approx(values.mean(), abs=1e-12)
    assert moments.covariance[0] == pytest.approx(values.var(), rel=1e-12)
    assert val.moments == {}


def test_row_groups_are_of_the_size_that_is_read(
    decoded: DecodedPart,
    encoder: VibeVoiceEncoder,
    sounds: VibeVoiceSounds,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = encode_sounds(decoded, sounds, encoder.columns)
    mean_bytes = sum(row["patches"] for row in rows) * (64 + 128) * 2 / len(rows)
    monkeypatch.setattr(pack, "ROW_GROUP_BYTES", mean_bytes * 2)
    write_folder(decoded, encoder, sounds, tmp_path)
    metadata = pq.ParquetFile(tmp_path / FILE).metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sizes[:-1] == [2] * (len(sizes) - 1)
    assert len(sizes) > 1


def test_features_go_through_bytes() -> None:
    features = Features(np.ones((2, 3), np.float16), np.zeros((2, 5), np.float16))
    again = Features.from_bytes(features.to_bytes())
    assert np.array_equal(again.acoustic, features.acoustic)
    assert np.array_equal(again.semantic, features.semantic)
