"""A checkpoint's encoders make of a clip what transformers makes of it, in chunks of any length."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

from tests.checkpoint import write_checkpoint
from tests.encoders import encoder_of, vibevoice_encoder
from vibesweep.corpus.sound.levels import at_level
from vibesweep.errors import ModelError, ResourceError
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.sound_encoder import LEAST_CHUNK_LATENTS, VibeVoiceSounds

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def whole(folder: Path) -> Any:
    """Load the model as transformers does."""
    return VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).model


def noise(samples: int, level: float = 0.03, seed: int = 0) -> Samples:
    """Make noise that swells and fades, as speech does."""
    swell = np.abs(np.sin(np.arange(samples) / 5_000))
    steady = np.random.default_rng(seed).normal(0, level, samples)
    return (steady * swell).astype(np.float32)


def opened(folder: Path, chunk_latents: int = 450) -> VibeVoiceSounds:
    return VibeVoiceSounds(Checkpoint.open(str(folder)), "cpu", chunk_latents)


@pytest.mark.parametrize(
    "samples",
    [noise(24_000 * 4 + 1), noise(3_200), noise(2_999), noise(40_000, 0.0005), noise(9_600, 0.5)],
    ids=len,
)
def test_it_says_what_transformers_says(folder: Path, whole: Any, samples: Samples) -> None:
    extractor = VibeVoiceProcessor.from_pretrained(folder).feature_extractor
    with torch.no_grad():
        values = extractor([samples], sampling_rate=24_000)["input_values"]
        acoustic = whole.audio_tower.encode(values, sample=False).latents[0].numpy()
        semantic = whole.semantic_tokenizer_encoder(values).latents[0].numpy()
    found = opened(folder).features(samples)
    assert found.acoustic.shape == (-(-len(samples) // 3_200), 64)
    assert {str(found.acoustic.dtype), str(found.semantic.dtype)} == {"float16"}
    for ours, theirs in ((found.acoustic, acoustic), (found.semantic, semantic)):
        error = np.abs(ours.astype(np.float32) - theirs)
        scale = np.maximum(np.abs(theirs), 1)
        assert (error / scale).max() < 1e-3


def test_the_level_of_the_mels_is_the_extractors_but_for_peaks_and_a_rounding(folder: Path) -> None:
    extractor = VibeVoiceProcessor.from_pretrained(folder).feature_extractor
    soft = noise(48_000)
    spiky = noise(48_000)
    spiky[100] = 3.0
    levelled = at_level(soft, -25)
    once = extractor([soft], sampling_rate=24_000)["input_values"][0, 0].numpy()
    assert np.abs(levelled - once).max() < 1e-4 * np.abs(levelled).max()
    assert np.abs(at_level(spiky, -25)).max() > 1.0
    assert extractor([spiky], sampling_rate=24_000)["input_values"].abs().max() <= 1.0
    encoder = opened(folder)
    for samples in (soft, spiky):
        once = encoder.features(samples).acoustic
        twice = encoder.features(at_level(samples, -25)).acoustic.astype(np.float32)
        difference = np.abs(twice - once).max()
        assert difference < 2e-2, "the encoder levels what it is given, once or twice"


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 16])
@pytest.mark.parametrize("samples", [3_200 * 16, 3_200 * 16 + 1, 3_200 * 33 - 7])
def test_chunks_of_any_length_come_out_as_the_whole(folder: Path, chunk: int, samples: int) -> None:
    values = torch.from_numpy(np.pad(noise(samples), (0, -samples % 3_200))).view(1, 1, -1)
    chunked = opened(folder, chunk)
    unchunked = opened(folder)
    for encoder in (unchunked._acoustic, unchunked._semantic):
        with torch.no_grad():
            found = chunked._in_chunks(encoder, values)
            wanted = unchunked._in_chunks(encoder, values)
        assert (found - wanted).abs().max() < 1e-5 * wanted.std()


def test_silence_is_fifteen_latents(folder: Path) -> None:
    features = opened(folder).features(np.zeros(48_000, np.float32))
    assert len(features.acoustic) == len(features.semantic) == 15


def test_ids_before_the_speech_are_counted_by_the_template(folder: Path) -> None:
    processor = VibeVoiceProcessor.from_pretrained(folder)
    turns = [("Ann", "Good morning."), ("Bo", "很好，谢谢。"), ("Ann", "Fine!")]
    messages: Any = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for role, (_, text) in zip("010", turns, strict=True)
    ]
    wanted: Any = processor.apply_chat_template(messages, tokenize=True, return_dict=True)
    reader = vibevoice_encoder(folder).open_text()
    readings = reader.read([text for _, text in turns])
    spoken = [(*turn, reading) for turn, reading in zip(turns, readings, strict=True)]
    assert reader.count_tokens(spoken) == len(wanted["input_ids"][0])
    assert [reading.language for reading in readings] == ["en", "zh", "en"]
    assert all(reading.length > 0 for reading in readings)


def test_a_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        encoder_of("mel-huge")
    with pytest.raises(ModelError, match="no such folder"):
        encoder_of(f"vibevoice:{tmp_path / 'gone'}")
    with pytest.raises(ModelError, match="no VibeVoice checkpoint"):
        encoder_of(f"vibevoice:{tmp_path}")


def test_what_the_columns_depend_on_changes_the_encoders_identity(
    folder: Path, tmp_path: Path
) -> None:
    ours = vibevoice_encoder(folder)
    moved = vibevoice_encoder(shutil.copytree(folder, tmp_path / "moved"))
    assert moved.fingerprint == ours.fingerprint
    settings = json.loads((tmp_path / "moved/processor_config.json").read_text())
    settings["feature_extractor"]["target_dB_FS"] = -20
    (tmp_path / "moved/processor_config.json").write_text(json.dumps(settings))
    louder = vibevoice_encoder(tmp_path / "moved")
    assert louder.weights_hash == ours.weights_hash
    assert louder.fingerprint != ours.fingerprint
    soft = ours.open_sound("cpu").features(noise(9_600))
    loud = louder.open_sound("cpu").features(noise(9_600))
    assert np.abs(soft.acoustic - loud.acoustic).max() > 0.1


def test_weights_that_cannot_be_used_are_told_of(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    name = "model.audio_tower.encoder.head.conv.bias"
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="not finite"):
        opened(broken).features(noise(9_600))
    (broken / "processor_config.json").unlink()
    with pytest.raises(ModelError, match="feature extractor"):
        encoder_of(f"vibevoice:{broken}")


def test_a_device_that_is_full_gets_smaller_chunks_and_in_the_end_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = opened(folder, 100)
    samples = noise(3_200 * 120)
    wanted = opened(folder).features(samples)
    room = 3_200 * 30
    forward = type(encoder._acoustic).forward

    def crowded(self: Any, values: Any, **rest: Any) -> Any:
        if values.shape[-1] > room:
            raise torch.OutOfMemoryError("full")
        return forward(self, values, **rest)

    monkeypatch.setattr(type(encoder._acoustic), "forward", crowded)
    assert np.abs(encoder.features(samples).acoustic - wanted.acoustic).max() < 2e-2
    assert encoder._chunk_latents == 25
    room = 3_200
    with pytest.raises(ResourceError, match="no memory"):
        encoder.features(samples)
    assert encoder._chunk_latents == LEAST_CHUNK_LATENTS
