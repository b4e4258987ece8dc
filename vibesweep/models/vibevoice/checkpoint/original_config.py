"""Configurations of VibeVoice's original layout and of transformers' layout, from each other.

Converted are ``config.json`` and ``preprocessor_config.json``. A setting that the original layout
has no name for, such as a kernel size other than 7, keeps transformers' name there: the original's
classes accept further keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VAE_STD_RATIO = 0.8
"""The original draws the noise's spread from N(0, fix_std / 0.8); ``vae_std`` is that quotient."""

DEFAULT_VAE_STD = 0.625
DEFAULT_FIX_STD = 0.5
DEFAULT_ROPE_THETA = 1e6
DEFAULT_HOP_SAMPLES = 3_200
HIDDEN_SIZE_7B = 3_584

_TOKENIZER = {
    "channels": "channels",
    "vae_dim": "hidden_size",
    "encoder_n_filters": "num_filters",
    "layernorm_eps": "rms_norm_eps",
    "layer_scale_init_value": "layer_scale_init_value",
    "weight_init_value": "initializer_range",
    "kernel_size": "kernel_size",
    "ffn_expansion": "ffn_expansion",
}
"""A speech tokenizer's settings: the original's key to transformers'."""

_TOKENIZER_FIXED: dict[str, Any] = {
    "causal": True,
    "conv_bias": True,
    "conv_norm": "none",
    "corpus_normalize": 0.0,
    "disable_last_norm": True,
    "layernorm": "RMSNorm",
    "layernorm_elementwise_affine": True,
    "mixer_layer": "depthwise_conv",
    "pad_mode": "constant",
}
"""The original's options for which transformers' classes know a single value."""

_HEAD = {
    "hidden_size": "hidden_size",
    "latent_size": "latent_size",
    "head_layers": "num_hidden_layers",
    "rms_norm_eps": "rms_norm_eps",
    "frequency_embedding_size": "frequency_embedding_size",
}
"""The diffusion head's settings: the original's key to transformers'."""

_HEAD_FIXED: dict[str, Any] = {
    "ddpm_batch_mul": 4,
    "ddpm_beta_schedule": "cosine",
    "ddpm_num_inference_steps": 20,
    "ddpm_num_steps": 1000,
    "diffusion_type": "ddpm",
    "prediction_type": "v_prediction",
}

_SPECIAL_TOKENS = {
    "pad_token_id": 151_643,
    "eos_token_id": 151_643,
    "audio_bos_token_id": 151_652,
    "audio_eos_token_id": 151_653,
    "audio_token_id": 151_654,
}
"""Special tokens and the ids that the original, which never writes them, takes for granted."""

_DEFAULTS = {
    "kernel_size": 7,
    "ffn_expansion": 4,
    "frequency_embedding_size": 256,
    **_SPECIAL_TOKENS,
}
"""Values that the original layout leaves unwritten."""


def is_original(config: Mapping[str, Any]) -> bool:
    """Say whether a ``config.json`` is in the original layout."""
    return config.get("model_type") == "vibevoice" and "decoder_config" in config


def transformers_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Return transformers' configuration, for ``VibeVoiceConfig``, from the original's.

    Raises:
        KeyError: the original's configuration lacks a setting that it always has.
    """
    acoustic_original = original["acoustic_tokenizer_config"]
    acoustic = _tokenizer_from_original(acoustic_original, "vibevoice_acoustic_tokenizer")
    acoustic["vae_std"] = acoustic_original.get("fix_std", DEFAULT_FIX_STD) / VAE_STD_RATIO
    semantic = _tokenizer_from_original(
        original["semantic_tokenizer_config"], "vibevoice_acoustic_tokenizer_encoder"
    )
    special_tokens = {name: original[name] for name in _SPECIAL_TOKENS if name in original}
    return {
        "architectures": ["VibeVoiceForConditionalGeneration"],
        "model_type": "vibevoice",
        "dtype": original.get("torch_dtype") or original.get("dtype"),
        "audio_config": acoustic,
        "semantic_model_config": semantic,
        "text_config": _language_model_from_original(original["decoder_config"]),
        "diffusion_head_config": _head_from_original(original["diffusion_head_config"]),
        **special_tokens,
    }


def original_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original's configuration, from ``VibeVoiceConfig.to_dict()``."""
    text = config["text_config"]
    dtype = config.get("dtype") or text.get("dtype") or "float32"
    return {
        "architectures": ["VibeVoiceForConditionalGeneration"],
        "model_type": "vibevoice",
        "acoustic_vae_dim": config["audio_config"]["hidden_size"],
        "semantic_vae_dim": config["semantic_model_config"]["hidden_size"],
        "acoustic_tokenizer_config": _acoustic_to_original(config["audio_config"]),
        "semantic_tokenizer_config": _semantic_to_original(config["semantic_model_config"]),
        "decoder_config": _language_model_to_original(text, dtype),
        "diffusion_head_config": _head_to_original(config["diffusion_head_config"]),
        "tie_word_embeddings": bool(text.get("tie_word_embeddings", False)),
        "torch_dtype": dtype,
        **_without_defaults({name: name for name in _SPECIAL_TOKENS}, config),
    }


def original_preprocessor(extractor: Mapping[str, Any], hidden_size: int) -> dict[str, Any]:
    """Return the original's ``preprocessor_config.json``.

    Args:
        extractor: settings of transformers' feature extractor, such as ``sampling_rate``.
        hidden_size: size of the language model, which decides the tokenizer that is named.
    """
    shared = ("sampling_rate", "normalize_audio", "target_dB_FS", "eps")
    audio = {name: extractor[name] for name in shared if name in extractor}
    qwen_size = "7B" if hidden_size == HIDDEN_SIZE_7B else "1.5B"
    return {
        "processor_class": "VibeVoiceProcessor",
        "speech_tok_compress_ratio": extractor.get("pad_to_multiple_of", DEFAULT_HOP_SAMPLES),
        "db_normalize": extractor.get("normalize_audio", True),
        "audio_processor": {"feature_extractor_type": "VibeVoiceTokenizerProcessor", **audio},
        "language_model_pretrained_name": f"Qwen/Qwen2.5-{qwen_size}",
    }


def _tokenizer_from_original(original: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    depths = original["encoder_depths"]
    if isinstance(depths, str):
        depths = [int(depth) for depth in depths.split("-")]
    return {
        "model_type": model_type,
        **_renamed_keys(_TOKENIZER, original),
        "downsampling_ratios": list(reversed(original["encoder_ratios"])),
        "depths": list(depths),
    }


def _acoustic_to_original(acoustic: Mapping[str, Any]) -> dict[str, Any]:
    encoder = _encoder_to_original(acoustic)
    return {
        "model_type": "vibevoice_acoustic_tokenizer",
        **encoder,
        "decoder_n_filters": acoustic["num_filters"],
        "decoder_ratios": encoder["encoder_ratios"],
        "decoder_depths": None,
        "fix_std": acoustic.get("vae_std", DEFAULT_VAE_STD) * VAE_STD_RATIO,
        "std_dist_type": "gaussian",
    }


def _semantic_to_original(semantic: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "vibevoice_semantic_tokenizer",
        **_encoder_to_original(semantic),
        "fix_std": 0,
        "std_dist_type": "none",
    }


def _encoder_to_original(encoder: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_TOKENIZER_FIXED,
        **_without_defaults(_TOKENIZER, encoder),
        "encoder_ratios": list(reversed(encoder["downsampling_ratios"])),
        "encoder_depths": "-".join(str(depth) for depth in encoder["depths"]),
    }


def _head_from_original(original: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "vibevoice_diffusion",
        **_renamed_keys(_HEAD, original),
        "intermediate_size": round(original["head_ffn_ratio"] * original["hidden_size"]),
    }


def _head_to_original(head: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "vibevoice_diffusion_head",
        **_HEAD_FIXED,
        **_without_defaults(_HEAD, head),
        "head_ffn_ratio": head["intermediate_size"] / head["hidden_size"],
        "speech_vae_dim": head["latent_size"],
    }


def _language_model_from_original(decoder: Mapping[str, Any]) -> dict[str, Any]:
    text = dict(decoder)
    rope_theta = text.pop("rope_theta", DEFAULT_ROPE_THETA)
    for name in ("rope_scaling", "torch_dtype", "use_mrope"):
        text.pop(name, None)
    return {
        "model_type": "qwen2",
        **text,
        "rope_parameters": {"rope_theta": rope_theta, "rope_type": "default"},
    }


def _language_model_to_original(text: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    decoder = dict(text)
    rope = decoder.pop("rope_parameters", None) or {}
    # The original was written for transformers 4, which has no such keys
    for name in ("layer_types", "dtype"):
        decoder.pop(name, None)
    return {
        **decoder,
        "rope_theta": rope.get("rope_theta", DEFAULT_ROPE_THETA),
        "rope_scaling": None,
        "torch_dtype": dtype,
    }


def _renamed_keys(keys: Mapping[str, str], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original's values under transformers' keys, as far as they are there."""
    return {theirs: original[key] for key, theirs in keys.items() if key in original}


def _without_defaults(keys: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return transformers' values under the original's keys, less ``None`` and the defaults."""
    values = {key: config[theirs] for key, theirs in keys.items() if theirs in config}
    return {key: value for key, value in values.items() if value != _DEFAULTS.get(key)}
