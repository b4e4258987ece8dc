"""The small checkpoint of the tests is one that transformers loads, encodes and speaks with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

from tests.checkpoint import write_checkpoint

LAYOUT = (
    " Transform the text provided by various speakers into speech output, "
    "utilizing the distinct voice of each respective speaker.\n"
    " Voice input:\n Speaker 0:<|vision_start|><|vision_pad|><|vision_pad|><|vision_end|>\n"
    " Text input:\n Speaker 0: Good morning.\n Speaker 1: 很好，谢谢。\n"
    " Speech output:\n<|vision_start|>"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def noise(samples: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def chat(samples: int) -> list[dict[str, object]]:
    voice = {"type": "audio", "audio": noise(samples)}
    return [
        {"role": "0", "content": [{"type": "text", "text": "Good morning."}, voice]},
        {"role": "1", "content": [{"type": "text", "text": "很好，谢谢。"}]},
    ]


def model_of(folder: Path) -> Any:
    """Load a folder's model in float32; transformers is typed in part."""
    return VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def inputs_of(folder: Path, messages: Any) -> Any:
    processor = VibeVoiceProcessor.from_pretrained(folder)
    return processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt"
    )


def test_its_template_renders_the_layout_that_the_released_ones_were_trained_on(
    folder: Path,
) -> None:
    tokenizer, config = (
        VibeVoiceProcessor.from_pretrained(folder).tokenizer,
        model_of(folder).config,
    )
    assert tokenizer.decode(inputs_of(folder, chat(3_201))["input_ids"][0]) == LAYOUT
    special = [
        config.audio_bos_token_id,
        config.audio_eos_token_id,
        config.audio_token_id,
        config.eos_token_id,
    ]
    named = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|endoftext|>"]
    assert special == tokenizer.convert_tokens_to_ids(named)
    assert tokenizer.decode(tokenizer.encode("Héllo 世界 🙂")) == "Héllo 世界 🙂"


def test_it_speaks(folder: Path) -> None:
    (audio,) = model_of(folder).generate(**inputs_of(folder, chat(7_000)), max_new_tokens=8)
    assert audio.shape[-1] % 3_200 == 0
    assert audio.std() > 0.01


def test_what_it_hears_decides_its_features(folder: Path) -> None:
    model = model_of(folder).model
    with torch.no_grad():
        heard = torch.from_numpy(noise(6_400)).view(2, 1, -1)
        acoustic, semantic = (
            model.audio_tower.encode(heard, sample=False).latents,
            model.semantic_tokenizer_encoder(heard).latents,
        )
    assert acoustic.shape == (2, 1, 64)
    assert semantic.shape == (2, 1, 128)
    for latents in (acoustic, semantic):
        assert (latents[0] - latents[1]).abs().mean() > 0.2 * latents.std()


def test_its_output_layer_and_its_scale_are_as_asked_for(folder: Path, tmp_path: Path) -> None:
    scale = {"model.latent_scaling_factor", "model.latent_bias_factor"}
    assert "lm_head.weight" not in names(folder)
    assert scale < names(folder)
    untied = names(write_checkpoint(tmp_path, tied=False, scale=None))
    assert "lm_head.weight" in untied
    assert not scale & untied
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2.5e6
