"""The encoders of a checkpoint hear a corpus through Ray Data: once for each recording and checkpoint, whatever stops it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.data
from rich.console import Console

from tests.checkpoint import write_checkpoint
from vibesweep.config import CorpusSettings, MelSettings, Sweep
from vibesweep.corpus.demo.dialogues import write_demo_corpus
from vibesweep.corpus.ingest import decoding
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.encoder_batches import Heard, hear
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.features import FeatureEncoder
from vibesweep.corpus.shards.inspection import describe
from vibesweep.corpus.shards.manifest import Manifest, read_manifest, read_rows, read_silence
from vibesweep.corpus.shards.schema import FEATURE_ROW_COLUMNS
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.bundle import encoder_of
from vibesweep.storage import StoragePath
from vibesweep.sweep.prepare import shards_for

pytestmark = pytest.mark.usefixtures("ray_cluster")

RECORDINGS = 6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> FeatureEncoder:
    return named(checkpoint)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings; the first has the voices of two others' as prompts, the last cannot be decoded."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=RECORDINGS)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    prompts = ["voice_prompts", "audio/demo_0001.flac;audio/demo_0002.flac"] + [""] * (
        RECORDINGS - 1
    )
    lines = [f"{line},{prompt}" for line, prompt in zip(table, prompts, strict=True)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "audio/demo_0005.flac").write_bytes(b"not audio at all")
    return folder


@pytest.fixture(scope="module")
def made(
    corpus: Path, encoder: FeatureEncoder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest]:
    out = tmp_path_factory.mktemp("made") / "shards"
    return out, preprocess(corpus, out, encoder=encoder)


def named(checkpoint: Path) -> FeatureEncoder:
    encoder = encoder_of(f"vibevoice:{checkpoint}")
    assert encoder is not None
    return encoder


def contents(folder: Path) -> dict[str, tuple[bytes, bytes, int]]:
    rows = list(read_rows(folder, columns=FEATURE_ROW_COLUMNS))
    assert all(row.acoustic is not None and row.semantic is not None for row in rows)
    return {row.id: (row.acoustic.tobytes(), row.semantic.tobytes(), row.tokens) for row in rows}  # type: ignore[union-attr]


def test_each_clip_has_what_the_encoders_made_of_it(
    corpus: Path, encoder: FeatureEncoder, made: tuple[Path, Manifest]
) -> None:
    out, manifest = made
    opened = encoder.open("cpu")
    mels = {row.id: row for row in read_rows(out)}
    rows = list(read_rows(out, columns=FEATURE_ROW_COLUMNS))
    assert len(rows) == RECORDINGS - 1
    assert manifest.rejects == {"unreadable_audio": 1}
    for row in rows:
        samples = decoding.decode(corpus / f"audio/{row.id}.flac", MelSettings()).samples
        heard = opened.encode(samples)
        assert row.acoustic is not None
        assert row.semantic is not None
        assert np.abs(row.acoustic - heard.acoustic).max() < 1e-2, (
            "the level was another one, by a rounding"
        )
        assert np.abs(row.semantic - heard.semantic).max() < 2e-3
        assert row.tokens == opened.count_tokens([(turn.speaker, turn.text) for turn in row.turns])
        assert len(row.mel) == 0, "what was not asked for is not read"
        assert mels[row.id].acoustic is None
        assert len(row.acoustic) == -(-len(samples) // 3_200)
    (prompted,) = [row for row in rows if row.voice_prompts]
    assert prompted.id == "demo_0000"
    assert [
        (prompt.mel is None, prompt.acoustic is not None and prompt.acoustic.shape[1])
        for prompt in prompted.voice_prompts
    ] == [(True, 64)] * 2
    assert [
        (prompt.mel is not None, prompt.acoustic is None)
        for prompt in mels["demo_0000"].voice_prompts
    ] == [(True, True)] * 2


def test_the_manifest_tells_of_the_features(
    encoder: FeatureEncoder, made: tuple[Path, Manifest]
) -> None:
    out, manifest = made
    record = manifest.features
    assert read_manifest(out) == manifest
    assert record is not None
    assert (record.model, record.fingerprint) == (encoder.name, encoder.fingerprint)
    assert (record.latent_size, record.semantic_size, record.hop_samples) == (64, 128, 3_200)
    train = [
        row.acoustic
        for row in read_rows(out, "train", FEATURE_ROW_COLUMNS)
        if row.acoustic is not None
    ]
    values = np.concatenate(train).astype(np.float64)
    assert record.mean == pytest.approx(values.mean(), abs=1e-9)
    assert record.std == pytest.approx(values.std(), abs=1e-9)
    silence, heard = read_silence(out), encoder.open("cpu").encode(np.zeros(48_000, np.float32))
    assert silence.acoustic.shape == (15, 64)
    assert np.array_equal(silence.acoustic, heard.acoustic)
    assert np.array_equal(silence.semantic, heard.semantic)
    console = Console(record=True, width=200)
    console.print(describe(out))
    assert (
        f"features by {encoder.name}: 64 acoustic and 128 semantic numbers every 3200 samples"
        in console.export_text()
    )


@pytest.mark.slow
def test_a_corpus_that_grew_has_only_the_new_ones_heard(
    corpus: Path, encoder: FeatureEncoder, made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    folder, out = tmp_path / "corpus", tmp_path / "shards"
    shutil.copytree(corpus, folder)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metadata.csv").write_text("\n".join(table[:4]) + "\n", encoding="utf-8")
    preprocess(folder, out, encoder=encoder)
    (folder / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    told: list[Encoded] = []
    grown = preprocess(folder, out, encoder=encoder, tell=told.append)
    assert (told[0].recordings, told[-1].recordings) == (3, RECORDINGS)
    assert contents(out) == contents(made[0])
    assert grown.features is not None
    assert grown.features == made[1].features
    (out / grown.features.silence).unlink()
    again = preprocess(folder, out, CorpusSettings(val_fraction=0.4), encoder=encoder)
    assert read_silence(out).acoustic.shape == (15, 64), (
        "it is made again, also where there is nothing to encode"
    )
    assert again.clips != grown.clips
    assert contents(out) == contents(made[0])


def test_another_checkpoint_hears_everything_anew(
    corpus: Path, made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    shutil.copytree(made[0], out)
    told: list[Encoded] = []
    other = named(write_checkpoint(tmp_path / "other", seed=1))
    manifest = preprocess(corpus, out, encoder=other, tell=told.append)
    assert told[0].recordings == 0
    assert manifest.features is not None
    assert manifest.features.fingerprint == other.fingerprint
    assert all(
        new[0] != old[0]
        for new, old in zip(contents(out).values(), contents(made[0]).values(), strict=True)
    )
    assert len(list(out.glob("silence-*"))) == 1, "the former silence is gone"
    plain = preprocess(corpus, out)
    assert plain.features is None
    assert not list(out.glob("silence-*"))
    with pytest.raises(ShardsError, match="no features"):
        read_silence(out)


def test_samples_go_through_the_object_store_unharmed(corpus: Path) -> None:
    """Where the cluster has GPUs; on CPUs alone Ray Data fuses the two stages."""
    planned, _ = fingerprint_all(
        read_metadata(corpus).recordings, StoragePath.of(corpus), CorpusSettings()
    )
    wanted = [
        hear(part, CorpusSettings())
        for part in (Part(tuple(planned[:1])), Part(tuple(planned[1:])), Part(()))
    ]
    for blocks in (1, 3):
        rows = ray.data.from_items([{"at": at} for at in range(3)], override_num_blocks=blocks).map(
            lambda row: wanted[row["at"]].to_row()
        )
        found = [Heard.from_row(row) for row in rows.materialize().iter_rows()]
        assert [heard.part.rows for heard in found] == [heard.part.rows for heard in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert [sound.tobytes() for sound in one.sounds] == [
                sound.tobytes() for sound in other.sounds
            ]


KILLED = """
import os, signal, sys
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.models.bundle import encoder_of

def kill(encoded):
    if encoded.recordings:
        os.kill(os.getpid(), signal.SIGKILL)

preprocess(sys.argv[1], sys.argv[2], encoder=encoder_of(sys.argv[3]), tell=kill)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    corpus: Path, encoder: FeatureEncoder, made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, "-c", KILLED, str(corpus), str(out), encoder.name]
    assert (
        subprocess.run(command, capture_output=True, timeout=300, env=environment).returncode == -9
    )
    told: list[Encoded] = []
    manifest = preprocess(corpus, out, encoder=encoder, tell=told.append)
    assert told[0].recordings > 0, "what was heard is not heard again"
    assert manifest == made[1]
    assert contents(out) == contents(made[0])
    assert not (out / "parts").exists()


def test_a_sweep_makes_the_shards_that_its_model_reads(
    corpus: Path, encoder: FeatureEncoder, tmp_path: Path
) -> None:
    said: list[str] = []
    console = Console(quiet=True)
    sweeps = [
        Sweep({}, corpus=str(corpus), model=model)
        for model in (encoder.name, "mel-tiny", "vibevoice:/nowhere")
    ]
    heard, plain = (
        shards_for(sweep, StoragePath.of(tmp_path), said.append, console) for sweep in sweeps[:2]
    )
    assert heard != plain
    assert read_manifest(heard).features is not None
    assert read_manifest(plain).features is None
    with pytest.raises(ModelError, match="no such folder"):
        shards_for(sweeps[2], StoragePath.of(tmp_path), said.append, console)


def test_what_goes_wrong_in_an_actor_is_told_as_it_is(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    encoder = named(broken)
    (broken / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        preprocess(corpus, tmp_path / "shards", encoder=encoder)
