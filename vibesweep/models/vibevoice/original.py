"""The configuration of VibeVoice's original layout and of transformers', each from the other: ``config.json``, and the preprocessor's.

What the original has no word for, such as a kernel size other than 7, keeps transformers' name: the original's classes take further keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VAE_STD_RATIO = 0.8
"""The original draws its noise's scale from N(0, fix_std / 0.8); transformers' vae_std is that whole quotient."""

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
"""A tokenizer's sizes: the original's word to transformers'."""

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
"""What the original could have otherwise, and transformers' classes are built for alone."""

_HEAD = {
    "hidden_size": "hidden_size",
    "latent_size": "latent_size",
    "head_layers": "num_hidden_layers",
    "rms_norm_eps": "rms_norm_eps",
    "frequency_embedding_size": "frequency_embedding_size",
}
_HEAD_FIXED: dict[str, Any] = {
    "ddpm_batch_mul": 4,
    "ddpm_beta_schedule": "cosine",
    "ddpm_num_inference_steps": 20,
    "ddpm_num_steps": 1000,
    "diffusion_type": "ddpm",
    "prediction_type": "v_prediction",
}
_TOKENS = (
    "pad_token_id",
    "eos_token_id",
    "audio_bos_token_id",
    "audio_eos_token_id",
    "audio_token_id",
)
_DEFAULTS = {
    "kernel_size": 7,
    "ffn_expansion": 4,
    "frequency_embedding_size": 256,
    **dict(zip(_TOKENS, (151_643, 151_643, 151_652, 151_653, 151_654), strict=True)),
}
"""What the original never writes, and takes it to be."""


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is the original's."""
    return config.get("model_type") == "vibevoice" and "decoder_config" in config


def transformers_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of transformers' layout, to be read by ``VibeVoiceConfig``.

    Raises:
        KeyError: something that the original always says is not there.
    """
    acoustic = _tokenizer_of(original["acoustic_tokenizer_config"], "vibevoice_acoustic_tokenizer")
    acoustic["vae_std"] = original["acoustic_tokenizer_config"].get("fix_std", 0.5) / VAE_STD_RATIO
    return {
        "architectures": ["VibeVoiceForConditionalGeneration"],
        "model_type": "vibevoice",
        "dtype": original.get("torch_dtype") or original.get("dtype"),
        "audio_config": acoustic,
        "semantic_model_config": _tokenizer_of(
            original["semantic_tokenizer_config"], "vibevoice_acoustic_tokenizer_encoder"
        ),
        "text_config": _language_of(original),
        "diffusion_head_config": _head_of(original["diffusion_head_config"]),
        **{name: original[name] for name in _TOKENS if name in original},
    }


def original_config(ours: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of the original layout, from ``VibeVoiceConfig.to_dict()``."""
    acoustic, semantic, text = (
        ours["audio_config"],
        ours["semantic_model_config"],
        dict(ours["text_config"]),
    )
    filters, ratios = acoustic["num_filters"], list(reversed(acoustic["downsampling_ratios"]))
    decoder = {"decoder_n_filters": filters, "decoder_ratios": ratios, "decoder_depths": None}
    noise = {"fix_std": acoustic.get("vae_std", 0.625) * VAE_STD_RATIO, "std_dist_type": "gaussian"}
    rope = text.pop("rope_parameters", None) or {}
    dtype, tied = (
        ours.get("dtype") or text.get("dtype") or "float32",
        bool(text.get("tie_word_embeddings", False)),
    )
    for unknown in (
        "layer_types",
        "dtype",
    ):  # transformers 4, for which the original was written, does without
        text.pop(unknown, None)
    return {
        "architectures": ["VibeVoiceForConditionalGeneration"],
        "model_type": "vibevoice",
        "acoustic_vae_dim": acoustic["hidden_size"],
        "semantic_vae_dim": semantic["hidden_size"],
        "acoustic_tokenizer_config": {
            "model_type": "vibevoice_acoustic_tokenizer",
            **_tokenizer_from(acoustic),
            **decoder,
            **noise,
        },
        "semantic_tokenizer_config": {
            "model_type": "vibevoice_semantic_tokenizer",
            **_tokenizer_from(semantic),
            "fix_std": 0,
            "std_dist_type": "none",
        },
        "decoder_config": {
            **text,
            "rope_theta": rope.get("rope_theta", 1e6),
            "rope_scaling": None,
            "torch_dtype": dtype,
        },
        "diffusion_head_config": _head_from(ours["diffusion_head_config"]),
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        **_said({name: name for name in _TOKENS}, ours),
    }


def original_preprocessor(ours: Mapping[str, Any], hidden_size: int) -> dict[str, Any]:
    """The original's ``preprocessor_config.json``, from transformers' feature extractor's.

    Args:
        ours: ``sampling_rate``, ``target_dB_FS`` and so on.
        hidden_size: of the language model: it tells whose tokenizer the original fetches.
    """
    audio = {
        name: ours[name]
        for name in ("sampling_rate", "normalize_audio", "target_dB_FS", "eps")
        if name in ours
    }
    return {
        "processor_class": "VibeVoiceProcessor",
        "speech_tok_compress_ratio": ours.get("pad_to_multiple_of", 3200),
        "db_normalize": ours.get("normalize_audio", True),
        "audio_processor": {"feature_extractor_type": "VibeVoiceTokenizerProcessor", **audio},
        "language_model_pretrained_name": f"Qwen/Qwen2.5-{'7B' if hidden_size == 3584 else '1.5B'}",
    }


def _tokenizer_of(original: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    sizes = {ours: original[word] for word, ours in _TOKENIZER.items() if word in original}
    depths = original["encoder_depths"]
    return {
        "model_type": model_type,
        **sizes,
        "downsampling_ratios": list(reversed(original["encoder_ratios"])),
        "depths": [int(depth) for depth in depths.split("-")]
        if isinstance(depths, str)
        else list(depths),
    }


def _tokenizer_from(ours: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_TOKENIZER_FIXED,
        **_said(_TOKENIZER, ours),
        "encoder_ratios": list(reversed(ours["downsampling_ratios"])),
        "encoder_depths": "-".join(str(depth) for depth in ours["depths"]),
    }


def _head_of(original: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {ours: original[word] for word, ours in _HEAD.items() if word in original}
    wide = round(original["head_ffn_ratio"] * original["hidden_size"])
    return {"model_type": "vibevoice_diffusion", **sizes, "intermediate_size": wide}


def _head_from(ours: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "vibevoice_diffusion_head",
        **_HEAD_FIXED,
        **_said(_HEAD, ours),
        "head_ffn_ratio": ours["intermediate_size"] / ours["hidden_size"],
        "speech_vae_dim": ours["latent_size"],
    }


def _said(words: Mapping[str, str], ours: Mapping[str, Any]) -> dict[str, Any]:
    return {
        word: ours[name]
        for word, name in words.items()
        if name in ours and ours[name] != _DEFAULTS.get(word)
    }


def _language_of(original: Mapping[str, Any]) -> dict[str, Any]:
    text = dict(original["decoder_config"])
    theta = text.pop("rope_theta", 1e6)
    for word in ("rope_scaling", "torch_dtype", "use_mrope"):
        text.pop(word, None)
    return {
        "model_type": "qwen2",
        **text,
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
    }
