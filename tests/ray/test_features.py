"""A checkpoint's encoders hear a corpus through Ray Data, once for each recording."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.checkpoint import write_checkpoint
from tests.encoders import MEL_ENCODER, vibevoice_encoder
from vibesweep.config import CorpusSettings, Sweep
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.preprocess.progress import Encoded
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.inspection import describe, draw_clips
from vibesweep.corpus.shards.manifest import Manifest, read_clips, read_manifest, read_sidecar
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.encoder import ACOUSTIC, SEMANTIC, VibeVoiceEncoder
from vibesweep.models.vibevoice.features import Features
from vibesweep.storage import StoragePath
from vibesweep.sweep.prepare import shards_for

pytestmark = pytest.mark.usefixtures("ray_cluster")

RECORDINGS = 6
Made = tuple[Path, Manifest]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> VibeVoiceEncoder:
    return vibevoice_encoder(checkpoint)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings: the first has two others' voices as prompts, the last cannot be decoded."""
    folder = write_demo_corpus(tmp_path_factory.mktemp("corpus"), recordings=RECORDINGS)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    voices = "audio/demo_0001.flac;audio/demo_0002.flac"
    prompts = ["voice_prompts", voices, *[""] * (RECORDINGS - 1)]
    lines = [f"{line},{prompt}" for line, prompt in zip(table, prompts, strict=True)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "audio/demo_0005.flac").write_bytes(b"not audio at all")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> StoragePath:
    return StoragePath.of(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def made(corpus: Path, encoder: VibeVoiceEncoder, work: StoragePath) -> Made:
    """As a sweep makes them."""
    return made_for(encoder.name, corpus, work)


def made_for(model: str, corpus: Path, work: StoragePath) -> Made:
    """Make the shards that a sweep of a model reads."""
    sweep = Sweep({}, corpus=str(corpus), model=model)
    said: list[str] = []
    shards = Path(shards_for(sweep, ModelRef.parse(model), work, said.append))
    return shards, read_manifest(shards)


def contents(folder: Path) -> dict[str, tuple[bytes, bytes, int]]:
    found = {}
    for clip in read_clips(folder):
        acoustic, semantic = clip.columns[ACOUSTIC], clip.columns[SEMANTIC]
        found[clip.id] = (acoustic.tobytes(), semantic.tobytes(), clip.tokens)
    return found


def test_each_clip_has_what_the_encoders_made_of_it(
    corpus: Path, encoder: VibeVoiceEncoder, made: Made
) -> None:
    out, manifest = made
    sounds = encoder.open_sound("cpu")
    texts = encoder.open_text()
    clips = list(read_clips(out))
    assert len(clips) == RECORDINGS - 1
    assert manifest.rejects == {"unreadable_audio": 1}
    for clip in clips:
        samples = decode(corpus / f"audio/{clip.id}.flac", 24_000).samples
        heard = sounds.features(samples)
        acoustic = clip.columns[ACOUSTIC].reshape(clip.patches, 64)
        semantic = clip.columns[SEMANTIC].reshape(clip.patches, 128)
        assert np.abs(acoustic - heard.acoustic).max() < 1e-2, "levelled twice, by a rounding"
        assert np.abs(semantic - heard.semantic).max() < 2e-3
        readings = texts.read([turn.text for turn in clip.turns])
        spoken = [
            (turn.speaker, turn.text, reading)
            for turn, reading in zip(clip.turns, readings, strict=True)
        ]
        assert clip.tokens == texts.count_tokens(spoken)
        assert clip.patches == -(-len(samples) // 3_200)
    (prompted,) = [clip for clip in clips if clip.voice_prompts]
    assert prompted.id == "demo_0000"
    assert [set(prompt.columns) for prompt in prompted.voice_prompts] == [{ACOUSTIC}] * 2


def test_the_manifest_tells_of_the_features(
    encoder: VibeVoiceEncoder, made: Made, tmp_path: Path
) -> None:
    out, manifest = made
    record = manifest.encoder
    assert read_manifest(out) == manifest
    assert (record.family, record.name) == ("vibevoice", encoder.name)
    assert record.fingerprint == encoder.fingerprint
    assert record.settings == encoder.settings
    train = [clip.columns[ACOUSTIC] for clip in read_clips(out, "train")]
    values = np.concatenate(train).astype(np.float64)
    assert record.moments[ACOUSTIC]["mean"] == pytest.approx(values.mean(), abs=1e-9)
    assert record.moments[ACOUSTIC]["std"] == pytest.approx(values.std(), abs=1e-9)
    silence = Features.from_bytes(read_sidecar(out))
    heard = encoder.open_sound("cpu").features(np.zeros(48_000, np.float32))
    assert silence.acoustic.shape == (15, 64)
    assert np.array_equal(silence.acoustic, heard.acoustic)
    assert np.array_equal(silence.semantic, heard.semantic)
    console = Console(record=True, width=200)
    console.print(describe(out))
    described = console.export_text()
    assert f"encoded for vibevoice by {encoder.name}\n" in described
    assert "64 acoustic and 128 semantic numbers every 3200 samples\n" in described
    (picture,) = draw_clips(out, tmp_path, 1)
    assert picture.stat().st_size > 1_000


def test_the_shards_take_no_more_than_their_features(made: Made) -> None:
    out, manifest = made
    size = sum((out / shard.name).stat().st_size for shard in manifest.shards)
    seconds = sum(manifest.hours.values()) * 3_600
    assert size / seconds < 4_500, "7.5 x 192 halves are 2.9 kB a second; mels would be 12 more"


@pytest.mark.slow
def test_a_corpus_that_grew_has_only_the_new_ones_heard(
    corpus: Path, encoder: VibeVoiceEncoder, made: Made, tmp_path: Path
) -> None:
    folder, out = tmp_path / "corpus", tmp_path / "shards"
    shutil.copytree(corpus, folder)
    table = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metadata.csv").write_text("\n".join(table[:4]) + "\n", encoding="utf-8")
    preprocess(folder, out, encoder)
    (folder / "metadata.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    told: list[Encoded] = []
    grown = preprocess(folder, out, encoder, tell=told.append)
    assert (told[0].recordings, told[-1].recordings) == (3, RECORDINGS)
    assert contents(out) == contents(made[0])
    assert grown.encoder == made[1].encoder
    assert grown.encoder.sidecar is not None
    (out / grown.encoder.sidecar).unlink()
    again = preprocess(folder, out, encoder, CorpusSettings(val_fraction=0.4))
    silence = Features.from_bytes(read_sidecar(out))
    assert silence.acoustic.shape == (15, 64), "made again, though there is nothing to encode"
    assert again.clips != grown.clips
    assert contents(out) == contents(made[0])


def test_another_encoder_makes_everything_anew(corpus: Path, made: Made, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    shutil.copytree(made[0], out)
    told: list[Encoded] = []
    other = vibevoice_encoder(write_checkpoint(tmp_path / "other", seed=1))
    manifest = preprocess(corpus, out, other, tell=told.append)
    assert told[0].recordings == 0
    assert manifest.encoder.fingerprint == other.fingerprint
    now, before = contents(out), contents(made[0])
    assert all(now[clip][0] != before[clip][0] for clip in before)
    assert len(list(out.glob("sidecar-*"))) == 1, "the former silence is gone"
    plain = preprocess(corpus, out, MEL_ENCODER)
    assert plain.encoder.family == "mel"
    assert not list(out.glob("sidecar-*"))
    with pytest.raises(ShardsError, match="family mel"):
        read_sidecar(out)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.encoders import vibevoice_encoder
from vibesweep.corpus.preprocess.run import preprocess

def kill(encoded):
    if encoded.recordings:
        os.kill(os.getpid(), signal.SIGKILL)


preprocess(sys.argv[1], sys.argv[2], vibevoice_encoder(Path(sys.argv[3])), tell=kill)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    ray_cluster: str,
    corpus: Path,
    checkpoint: Path,
    encoder: VibeVoiceEncoder,
    made: Made,
    tmp_path: Path,
) -> None:
    out = tmp_path / "shards"
    environment = os.environ | {"RAY_ADDRESS": ray_cluster}
    command = [sys.executable, "-c", KILLED, str(corpus), str(out), str(checkpoint)]
    killed = subprocess.run(command, capture_output=True, timeout=300, env=environment)
    assert killed.returncode == -9
    told: list[Encoded] = []
    manifest = preprocess(corpus, out, encoder, tell=told.append)
    assert told[0].recordings > 0, "what was encoded is not encoded again"
    assert manifest == made[1]
    assert contents(out) == contents(made[0])
    assert not (out / "parts").exists()


def test_a_sweep_makes_the_shards_that_its_model_reads(
    corpus: Path, made: Made, work: StoragePath
) -> None:
    of_features, manifest = made
    of_mels, plain = made_for("mel-small", corpus, work)
    assert (manifest.encoder.family, plain.encoder.family) == ("vibevoice", "mel")
    assert {folder.name for folder in (work / "shards").folders()} == {
        of_features.name,
        of_mels.name,
    }
    with pytest.raises(ModelError, match="no such folder"):
        made_for("vibevoice:/nowhere", corpus, work)


@pytest.mark.parametrize("missing", ["tokenizer.json", "processor_config.json"])
def test_what_goes_wrong_in_a_task_or_an_actor_is_told_as_it_is(
    corpus: Path, checkpoint: Path, tmp_path: Path, missing: str
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    encoder = vibevoice_encoder(broken)
    (broken / missing).unlink()
    with pytest.raises(ModelError, match=missing.split("_")[0].split(".")[0]):
        preprocess(corpus, tmp_path / "shards", encoder)
