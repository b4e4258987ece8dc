"""Checkpoints of the original repository's layout, converted to transformers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VibeVoiceProcessor

from tests.trained_trial import LORA, leave_trial, read_tensors
from vibesweep.delivery.export import export
from vibesweep.delivery.synthesize import synthesize
from vibesweep.errors import ModelError
from vibesweep.models.family import Speech
from vibesweep.models.registry import ModelRef
from vibesweep.models.tensor_files import rewrite
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.checkpoint.convert import convert

DIALOGUE: list[dict[str, Any]] = [
    {"role": "0", "content": [{"type": "text", "text": "One."}, {"type": "audio"}]},
    {"role": "1", "content": [{"type": "audio"}, {"type": "text", "text": "Two."}]},
    {"role": "0", "content": [{"type": "text", "text": "Three."}]},
]


def test_an_original_checkpoint_is_converted_to_the_bit_and_speaks(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard_size="400KB")
    original = export(sweep, tmp_path / "original", "original")
    merged = export(sweep, tmp_path / "merged", "merged")
    with pytest.raises(ModelError, match=r"vibesweep convert .*original NEW_FOLDER"):
        Checkpoint.open(str(original))
    converted = convert(str(original), tmp_path / "new" / "converted").folder
    found, wanted = read_tensors(converted), read_tensors(merged)
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert tensor.dtype == wanted[name].dtype
        assert torch.equal(tensor, wanted[name])

    processor = VibeVoiceProcessor.from_pretrained(converted)
    merged_processor = VibeVoiceProcessor.from_pretrained(merged)
    assert processor.feature_extractor.to_dict() == merged_processor.feature_extractor.to_dict()
    for messages in (DIALOGUE, DIALOGUE[2:]):
        rendered = processor.apply_chat_template(messages, tokenize=False)
        assert rendered == merged_processor.apply_chat_template(messages, tokenize=False)

    speech = speak(converted, tmp_path / "converted.wav")
    merged_speech = speak(merged, tmp_path / "merged.wav")
    assert speech == merged_speech
    sound = (tmp_path / "converted.wav").read_bytes()
    assert sound == (tmp_path / "merged.wav").read_bytes()


def speak(folder: Path, out: Path) -> Speech:
    return synthesize(ModelRef.parse(str(folder)), "Good morning.", out)


def test_a_checkpoint_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA)
    original = export(sweep, tmp_path / "original", "original")
    with pytest.raises(ModelError, match="is no checkpoint of the original"):
        convert(str(tmp_path / "base"), tmp_path / "new")
    with pytest.raises(ModelError, match="there already"):
        convert(str(original), tmp_path / "base")
    with pytest.raises(ModelError, match="the tokenizer cannot be read"):
        convert(str(original), tmp_path / "new", tokenizer=str(tmp_path / "nowhere"))
    weights = original / "model.safetensors"
    renamed = original / "renamed.safetensors"
    rewrite(weights, renamed, rename=lambda name: f"odd.{name}")
    renamed.rename(weights)
    with pytest.raises(ModelError, match=r"no tensor odd\."):
        convert(str(original), tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "sweep", "original"}


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{broken", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"audio_processor": 3}', "audio_processor cannot be used"),
    ],
)
def test_a_broken_preprocessor_is_named(tmp_path: Path, content: str, wrong: str) -> None:
    sweep, _ = leave_trial(tmp_path, LORA)
    original = export(sweep, tmp_path / "original", "original")
    (original / "preprocessor_config.json").write_text(content)
    with pytest.raises(ModelError, match=wrong):
        convert(str(original), tmp_path / "new", tokenizer=str(tmp_path / "base"))
    assert not (tmp_path / "new").exists()
