"""Write a small VibeVoice checkpoint in a second, or one of a released size.

It has the layout and names of the released ones and random weights. transformers' own classes make
and save it, so it cannot differ from what they read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    GenerationConfig,
    Qwen2Config,
    Qwen2Tokenizer,
    VibeVoiceAcousticTokenizerConfig,
    VibeVoiceAcousticTokenizerEncoderConfig,
    VibeVoiceAcousticTokenizerFeatureExtractor,
    VibeVoiceConfig,
    VibeVoiceForConditionalGeneration,
    VibeVoiceProcessor,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from transformers.models.vibevoice.configuration_vibevoice import VibeVoiceDiffusionHeadConfig

LATENT_STD = 5.0
"""Spread of the acoustic latents, as in the released checkpoints, whose scale is about 0.2."""
SPEECH_RMS = 10 ** (-25 / 20)  # VibeVoice levels its input to -25 dB of full scale
HOP_SAMPLES = 3_200
AUDIO_PARTS = ("model.audio_tower.", "model.semantic_tokenizer_encoder.")
MERGED_TOKENS = 400  # 256 bytes, and pairs that are learnt from the sentences
SPECIAL_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
SENTENCES = [
    " Transform the text provided by various speakers into speech output, "
    "utilizing the distinct voice of each respective speaker.\n",
    " Voice input:\n Speaker 0:\n Speaker 1:\n Text input:\n Speaker 2: Good morning!\n"
    " Speaker 3: 很好，谢谢。\n Speech output:\n",
]
TEMPLATE = """
{%- set prompted = namespace(roles=[]) -%}
{%- for message in messages -%}
  {%- set audio = message.content | selectattr("type", "equalto", "audio") | list -%}
  {%- if message.role not in prompted.roles and audio -%}
    {%- set prompted.roles = prompted.roles + [message.role] -%}
  {%- endif -%}
{%- endfor -%}
{{- " Transform the text provided by various speakers into speech output, " -}}
{{- "utilizing the distinct voice of each respective speaker.\\n" -}}
{%- if prompted.roles -%}
  {{- " Voice input:\\n" -}}
{%- endif -%}
{%- for role in prompted.roles -%}
  {{- " Speaker " + role + ":<|vision_start|><|vision_pad|><|vision_end|>\\n" -}}
{%- endfor -%}
{{- " Text input:\\n" -}}
{%- for message in messages -%}
  {%- for item in message.content | selectattr("type", "equalto", "text") -%}
    {{- " Speaker " + message.role + ": " + item.text + "\\n" -}}
  {%- endfor -%}
{%- endfor -%}
{{- " Speech output:\\n<|vision_start|>" -}}
"""

RELEASED: dict[str, dict[str, Any]] = {
    "1.5B": dict(
        hidden_size=1_536,
        num_attention_heads=12,
        num_key_value_heads=2,
        intermediate_size=8_960,
        vocab_size=151_936,
        tie_word_embeddings=True,
        max_position_embeddings=65_536,
    ),
    "7B": dict(
        hidden_size=3_584,
        num_attention_heads=28,
        num_key_value_heads=4,
        intermediate_size=18_944,
        vocab_size=152_064,
        tie_word_embeddings=False,
        max_position_embeddings=32_768,
    ),
}


def released_config(size: str) -> VibeVoiceConfig:
    """Return the configuration of a released size, ``1.5B`` or ``7B``, without its token ids."""
    text = Qwen2Config(
        num_hidden_layers=28,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        **RELEASED[size],
    )
    head = VibeVoiceDiffusionHeadConfig(num_hidden_layers=4, intermediate_size=3 * text.hidden_size)
    return VibeVoiceConfig(text_config=text, diffusion_head_config=head)


def write_checkpoint(
    folder: Path,
    *,
    tied: bool = True,
    seed: int = 0,
    scale: tuple[float, float] | None = (0.2, -0.05),
    size: str | None = None,
    device: str = "cpu",
    layers: int = 2,
) -> Path:
    """Save a checkpoint in bfloat16, the precision of the released ones.

    Args:
        folder: the folder to make.
        tied: whether the output layer is the embedding, as it is in the 1.5B but not in the 7B.
        seed: seed of all weights.
        scale: ``latent_scaling_factor`` and ``latent_bias_factor``; ``None`` leaves both out.
        size: a released size, ``1.5B`` or ``7B``; small by default.
        device: the device that the weights are drawn on.
        layers: number of layers of the small checkpoint's language model.
    """
    tokenizer = _tokenizer()
    sizes = _small_config(tied, layers) if size is None else released_config(size)
    config = _with_ids(sizes, tokenizer)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)
        model: Any = VibeVoiceForConditionalGeneration(config)
        _scale_weights(model)
    factor, bias = scale or (1.0, 0.0)
    with torch.no_grad():
        model.model.latent_scaling_factor.fill_(factor)
        model.model.latent_bias_factor.fill_(bias)
    model.generation_config = _generation_config(model.config)
    model.to(torch.bfloat16).save_pretrained(folder)
    if scale is None:
        scale_and_bias = {"model.latent_scaling_factor", "model.latent_bias_factor"}
        _drop_tensors(folder / "model.safetensors", scale_and_bias)
    extractor = VibeVoiceAcousticTokenizerFeatureExtractor()
    processor = VibeVoiceProcessor(extractor, tokenizer, chat_template=TEMPLATE)
    processor.save_pretrained(folder)
    return folder


def _tokenizer() -> Qwen2Tokenizer:
    """Make a byte-pair tokenizer that splits words as Qwen2 does.

    The special tokens come after the learnt ones, in Qwen2's order.
    """
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    split_words = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner.pre_tokenizer = pre_tokenizers.Sequence([split_words, as_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(SENTENCES, trainer)
    learnt = json.loads(learner.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = Qwen2Tokenizer(learnt["vocab"], merges)
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def _small_config(tied: bool, layers: int) -> VibeVoiceConfig:
    sizes: dict[str, Any] = dict(
        num_filters=2,
        depths=[1] * 7,
        ffn_expansion=2,
        layer_scale_init_value=0.5,
        rms_norm_eps=1e-5,
    )
    return VibeVoiceConfig(
        audio_config=VibeVoiceAcousticTokenizerConfig(hidden_size=64, vae_std=0.625, **sizes),
        semantic_model_config=VibeVoiceAcousticTokenizerEncoderConfig(hidden_size=128, **sizes),
        text_config=Qwen2Config(
            vocab_size=448,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4_096,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=tied,
        ),
        diffusion_head_config=VibeVoiceDiffusionHeadConfig(
            num_hidden_layers=2, intermediate_size=48
        ),
    )


def _with_ids(config: Any, tokenizer: Any) -> VibeVoiceConfig:
    """Set the ids of this tokenizer's special tokens in a configuration, and return it."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    assert max(ids.values()) < config.text_config.vocab_size
    end = ids["<|endoftext|>"]
    config.pad_token_id = config.eos_token_id = end
    text = config.text_config
    text.bos_token_id = text.eos_token_id = text.pad_token_id = end
    config.audio_bos_token_id = ids["<|vision_start|>"]
    config.audio_eos_token_id = ids["<|vision_end|>"]
    config.audio_token_id = ids["<|vision_pad|>"]
    return cast(VibeVoiceConfig, config)


def _generation_config(config: VibeVoiceConfig) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=64,
        do_sample=False,
        guidance_scale=1.3,
        num_diffusion_steps=10,
        noise_scheduler_class="DPMSolverMultistepScheduler",
        noise_scheduler_config={
            "beta_schedule": "squaredcos_cap_v2",
            "prediction_type": "v_prediction",
        },
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )


@torch.no_grad()
def _scale_weights(model: VibeVoiceForConditionalGeneration) -> None:
    """Draw weights with which each layer's output depends on its input and is of its size.

    The latents that both encoders give for noise at the level of speech are spread like real ones.
    """
    layers = len(model.model.language_model.layers)
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            if ".language_model." in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                # As in GPT-2, so that the input still shows in the last layer
                weight.mul_((2 * layers) ** -0.5)
        elif weight.ndim == 1 and name.startswith(AUDIO_PARTS) and name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.02)
    _make_speech_likely(model)
    tower = model.model.audio_tower
    noise = SPEECH_RMS * torch.randn(1, 1, 15 * HOP_SAMPLES)
    _scale_encoder(tower.encoder, noise, LATENT_STD)
    _scale_encoder(model.model.semantic_tokenizer_encoder, noise, 1.0)
    decoded = tower.decode(tower.encoder(noise).latents).audio
    tower.decoder.head.conv.weight *= SPEECH_RMS / decoded.std()


def _scale_encoder(encoder: Any, noise: Tensor, std: float) -> None:
    encoder.head.conv.weight *= std / encoder(noise).latents.std()


def _make_speech_likely(model: VibeVoiceForConditionalGeneration) -> None:
    """Make a latent the likeliest token where speech begins.

    With seeds 0 and 1 a generated answer then has sound in it.
    """
    embeddings = model.model.language_model.embed_tokens.weight
    output = model.lm_head.weight
    embeddings.normal_(std=0.3)
    for table in (embeddings, output):  # the same tensor where they are tied
        table[model.config.audio_token_id] = 3 * embeddings[model.config.audio_bos_token_id]


def _drop_tensors(file: Path, names: set[str]) -> None:
    """Save a safetensors file again without some tensors."""
    kept = {name: value for name, value in load_file(file).items() if name not in names}
    save_file(kept, file, metadata={"format": "pt"})
