"""Names and configurations of the original layout and of transformers', in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from transformers import VibeVoiceConfig, VibeVoiceForConditionalGeneration

from tests.checkpoint import write_checkpoint
from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import rewrite
from vibesweep.models.vibevoice.checkpoint.original_config import (
    is_original,
    original_config,
    original_preprocessor,
    transformers_config,
)
from vibesweep.models.vibevoice.checkpoint.original_names import to_original, to_transformers

SIZES = {
    "1.5B": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "tie_word_embeddings": True,
        "vocab_size": 151_936,
    },
    "7B": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "tie_word_embeddings": False,
        "vocab_size": 152_064,
    },
}

# config.json of the released 1.5B
RELEASED = {
    "acoustic_tokenizer_config": {
        "causal": True,
        "channels": 1,
        "conv_bias": True,
        "conv_norm": "none",
        "corpus_normalize": 0.0,
        "decoder_depths": None,
        "decoder_n_filters": 32,
        "decoder_ratios": [8, 5, 5, 4, 2, 2],
        "disable_last_norm": True,
        "encoder_depths": "3-3-3-3-3-3-8",
        "encoder_n_filters": 32,
        "encoder_ratios": [8, 5, 5, 4, 2, 2],
        "fix_std": 0.5,
        "layer_scale_init_value": 1e-06,
        "layernorm": "RMSNorm",
        "layernorm_elementwise_affine": True,
        "layernorm_eps": 1e-05,
        "mixer_layer": "depthwise_conv",
        "model_type": "vibevoice_acoustic_tokenizer",
        "pad_mode": "constant",
        "std_dist_type": "gaussian",
        "vae_dim": 64,
        "weight_init_value": 0.01,
    },
    "semantic_tokenizer_config": {
        "causal": True,
        "channels": 1,
        "conv_bias": True,
        "conv_norm": "none",
        "corpus_normalize": 0.0,
        "disable_last_norm": True,
        "encoder_depths": "3-3-3-3-3-3-8",
        "encoder_n_filters": 32,
        "encoder_ratios": [8, 5, 5, 4, 2, 2],
        "fix_std": 0,
        "layer_scale_init_value": 1e-06,
        "layernorm": "RMSNorm",
        "layernorm_elementwise_affine": True,
        "layernorm_eps": 1e-05,
        "mixer_layer": "depthwise_conv",
        "model_type": "vibevoice_semantic_tokenizer",
        "pad_mode": "constant",
        "std_dist_type": "none",
        "vae_dim": 128,
        "weight_init_value": 0.01,
    },
    "decoder_config": {
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 1536,
        "initializer_range": 0.02,
        "intermediate_size": 8960,
        "max_position_embeddings": 65536,
        "max_window_layers": 28,
        "model_type": "qwen2",
        "num_attention_heads": 12,
        "num_hidden_layers": 28,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    "diffusion_head_config": {
        "ddpm_batch_mul": 4,
        "ddpm_beta_schedule": "cosine",
        "ddpm_num_inference_steps": 20,
        "ddpm_num_steps": 1000,
        "diffusion_type": "ddpm",
        "head_ffn_ratio": 3.0,
        "head_layers": 4,
        "hidden_size": 1536,
        "latent_size": 64,
        "model_type": "vibevoice_diffusion_head",
        "prediction_type": "v_prediction",
        "rms_norm_eps": 1e-05,
        "speech_vae_dim": 64,
    },
    "model_type": "vibevoice",
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize("size", SIZES)
def test_every_name_of_a_released_size_goes_there_and_back(size: str) -> None:
    with torch.device("meta"):
        model = VibeVoiceForConditionalGeneration(
            VibeVoiceConfig(text_config={"model_type": "qwen2", **SIZES[size]})
        )
    names = list(model.state_dict())
    originals = [to_original(name) for name in names]
    assert len(set(originals)) == len(names) > 1_000
    assert [to_transformers(original) for original in originals] == names


# Names from the released 1.5B's index, and those of the same tensors in transformers' model
@pytest.mark.parametrize(
    ("original", "in_transformers"),
    [
        (
            "model.acoustic_tokenizer.encoder.downsample_layers.0.0.conv.conv.weight",
            "model.audio_tower.encoder.stem.conv.conv.weight",
        ),
        (
            "model.acoustic_tokenizer.encoder.downsample_layers.6.0.conv.conv.bias",
            "model.audio_tower.encoder.conv_layers.5.conv.conv.bias",
        ),
        (
            "model.acoustic_tokenizer.encoder.stages.0.2.gamma",
            "model.audio_tower.encoder.stem.stage.2.gamma",
        ),
        (
            "model.acoustic_tokenizer.encoder.stages.6.7.ffn.linear2.bias",
            "model.audio_tower.encoder.conv_layers.5.stage.7.ffn.linear2.bias",
        ),
        (
            "model.acoustic_tokenizer.decoder.upsample_layers.0.0.conv.conv.weight",
            "model.audio_tower.decoder.stem.conv.conv.weight",
        ),
        (
            "model.acoustic_tokenizer.decoder.upsample_layers.6.0.convtr.convtr.weight",
            "model.audio_tower.decoder.conv_layers.5.convtr.convtr.weight",
        ),
        (
            "model.acoustic_tokenizer.decoder.stages.0.7.mixer.conv.conv.conv.weight",
            "model.audio_tower.decoder.stem.stage.7.mixer.conv.weight",
        ),
        (
            "model.semantic_tokenizer.encoder.head.conv.conv.weight",
            "model.semantic_tokenizer_encoder.head.conv.weight",
        ),
        (
            "model.prediction_head.t_embedder.mlp.2.weight",
            "model.diffusion_head.timestep_proj.fc2.weight",
        ),
        (
            "model.prediction_head.layers.3.adaLN_modulation.1.weight",
            "model.diffusion_head.layers.3.linear.weight",
        ),
        (
            "model.prediction_head.final_layer.linear.weight",
            "model.diffusion_head.final_layer.linear_2.weight",
        ),
        ("model.acoustic_connector.norm.weight", "model.multi_modal_projector.act.weight"),
        ("model.semantic_connector.fc2.bias", "model.semantic_connector.linear_2.bias"),
        ("model.speech_scaling_factor", "model.latent_scaling_factor"),
    ],
)
def test_released_names(original: str, in_transformers: str) -> None:
    assert to_transformers(original) == in_transformers
    assert to_original(in_transformers) == original


@pytest.mark.parametrize(
    "name",
    [
        "model.vision_tower.weight",
        "model.acoustic_tokenizer.encoder.norm.weight",
        "model.prediction_head.layers.x.norm.weight",
        "lm_head",
        "",
    ],
)
def test_names_that_vibevoice_does_not_have_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no tensor"):
        to_transformers(name)


def test_the_released_configuration_is_read_and_comes_back() -> None:
    assert is_original(RELEASED)
    config: Any = VibeVoiceConfig(**transformers_config(RELEASED))
    assert not is_original(config.to_dict())
    assert config.audio_config.vae_std == 0.625
    assert config.audio_config.downsampling_ratios == [2, 2, 4, 5, 5, 8]
    assert config.audio_config.depths == [3, 3, 3, 3, 3, 3, 8]
    assert config.semantic_model_config.hidden_size == 128
    assert config.text_config.hidden_size == 1536
    assert config.text_config.rope_parameters["rope_theta"] == 1e6
    assert config.diffusion_head_config.intermediate_size == 4608
    assert config.diffusion_head_config.num_hidden_layers == 4
    assert config.tie_word_embeddings
    back = original_config(config.to_dict())
    for part in ("acoustic_tokenizer_config", "semantic_tokenizer_config", "diffusion_head_config"):
        assert back[part] == RELEASED[part]
    released_decoder = cast(dict[str, Any], RELEASED["decoder_config"])
    for name, value in released_decoder.items():
        assert back["decoder_config"][name] == value
    assert back["torch_dtype"] == "bfloat16"
    assert back["tie_word_embeddings"] is True


@pytest.mark.parametrize("tied", [True, False])
def test_a_checkpoint_goes_there_and_back_to_the_bit(tmp_path: Path, tied: bool) -> None:
    source = write_checkpoint(tmp_path / "checkpoint", tied=tied) / "model.safetensors"
    original_file = tmp_path / "original.safetensors"
    back_file = tmp_path / "back.safetensors"
    rewrite(source, original_file, rename=to_original)
    rewrite(original_file, back_file, rename=to_transformers)
    first, original, back = (load_file(file) for file in (source, original_file, back_file))
    assert first.keys() == back.keys()
    for name, tensor in first.items():
        assert tensor.dtype == back[name].dtype
        assert torch.equal(tensor, back[name])
    same_names = first.keys() & original.keys()
    may_be_the_same = ("model.language_model.", "lm_head.", "model.diffusion_head.")
    assert all(name.startswith(may_be_the_same) for name in same_names)


def shapes(config: VibeVoiceConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        model = VibeVoiceForConditionalGeneration(config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("tied", [True, False])
def test_a_configuration_goes_there_and_back(tmp_path: Path, tied: bool) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", tied=tied)
    config = json.loads((folder / "config.json").read_text())
    original = json.loads(json.dumps(original_config(config)))
    back: Any = VibeVoiceConfig(**transformers_config(original))
    assert shapes(back) == shapes(VibeVoiceConfig(**config))
    assert back.audio_config.vae_std == config["audio_config"]["vae_std"]
    assert back.audio_token_id == config["audio_token_id"]
    assert back.eos_token_id == config["eos_token_id"]


@pytest.mark.parametrize(("hidden_size", "qwen"), [(1536, "1.5B"), (3584, "7B")])
def test_the_preprocessor_names_the_tokenizer_of_the_models_size(
    hidden_size: int, qwen: str
) -> None:
    extractor = {"sampling_rate": 24_000, "target_dB_FS": -25}
    preprocessor = original_preprocessor(extractor, hidden_size)
    assert preprocessor["language_model_pretrained_name"] == f"Qwen/Qwen2.5-{qwen}"
    assert preprocessor["audio_processor"]["sampling_rate"] == 24_000
    assert preprocessor["audio_processor"]["target_dB_FS"] == -25
