"""A VibeVoice checkpoint in small: the layout, names and sizes that matter of the released ones, random weights, made in a second.

transformers' own classes make and save it, so it cannot differ from what they read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
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
"""Of the released checkpoints' acoustic latents, whose scale is about 0.2; here of the latents of noise at their level."""
SPEECH_RMS = 10 ** (-25 / 20)
AUDIO_PARTS = ("model.audio_tower.", "model.semantic_tokenizer_encoder.")
MERGED_TOKENS = 400  # 256 bytes, and what is learnt from the sentences
SPECIAL_TOKENS = [
    *(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|object_ref_start|>",
        "<|object_ref_end|>",
        "<|box_start|>",
        "<|box_end|>",
    ),
    *(
        "<|quad_start|>",
        "<|quad_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
]
SENTENCES = [
    " Transform the text provided by various speakers into speech output, utilizing the distinct voice of each respective speaker.\n",
    " Voice input:\n Speaker 0:\n Speaker 1:\n Text input:\n Speaker 2: Good morning!\n Speaker 3: 很好，谢谢。\n Speech output:\n",
]
TEMPLATE = """
{%- set prompted = namespace(roles=[]) -%}
{%- for message in messages -%}
  {%- if message.role not in prompted.roles and message.content | selectattr("type", "equalto", "audio") | list -%}
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
    """The configuration of a released checkpoint, ``1.5B`` or ``7B``, but for ids of tokens."""
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
    """Save such a checkpoint; bfloat16, as the released ones are.

    Args:
        folder: is made.
        tied: whether the output layer is the embedding, as in the 1.5B; in the 7B it is not.
        seed: of all weights.
        scale: ``latent_scaling_factor`` and ``latent_bias_factor``; ``None`` leaves both out of the file.
        size: of a released checkpoint, in place of the small one.
        device: that the weights are drawn on.
        layers: of the small one's language model.
    """
    tokenizer = _tokenizer()
    config = _with_ids(_small(tied, layers) if size is None else released_config(size), tokenizer)
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)
        model: Any = VibeVoiceForConditionalGeneration(config)
        _wake(model)
    with torch.no_grad():
        model.model.latent_scaling_factor.fill_(scale[0] if scale else 1.0)
        model.model.latent_bias_factor.fill_(scale[1] if scale else 0.0)
    model.generation_config = _generation_config(model.config)
    model.to(torch.bfloat16).save_pretrained(folder)
    if scale is None:
        _drop(
            folder / "model.safetensors",
            {"model.latent_scaling_factor", "model.latent_bias_factor"},
        )
    VibeVoiceProcessor(
        VibeVoiceAcousticTokenizerFeatureExtractor(), tokenizer, chat_template=TEMPLATE
    ).save_pretrained(folder)
    return folder


def _tokenizer() -> Qwen2Tokenizer:
    """Byte-pair encoding with Qwen2's way of cutting words, and its special tokens behind the learnt ones, in its order."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=MERGED_TOKENS, initial_alphabet=alphabet, show_progress=False
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = Qwen2Tokenizer(learnt["vocab"], merges)
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    return tokenizer


def _small(tied: bool, layers: int) -> VibeVoiceConfig:
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
    """The configuration with the ids of this tokenizer's special tokens."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    assert max(ids.values()) < config.text_config.vocab_size
    end = ids["<|endoftext|>"]
    for part, names in ((config, ("pad", "eos")), (config.text_config, ("bos", "eos", "pad"))):
        for name in names:
            setattr(part, f"{name}_token_id", end)
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
def _wake(model: VibeVoiceForConditionalGeneration) -> None:
    """Weights that hand on what comes in: each layer keeps the size of its input, and both encoders' outputs that of real ones."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1 and "embed_tokens" not in name:
            torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            if ".language_model." in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.mul_(
                    (2 * len(model.model.language_model.layers)) ** -0.5
                )  # as in GPT-2: what comes in is still heard at the top
        elif weight.ndim == 1 and name.startswith(AUDIO_PARTS) and name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.02)
    _make_speech_likely(model)
    tower, noise = model.model.audio_tower, SPEECH_RMS * torch.randn(1, 1, 15 * 3_200)
    for encoder, std in (
        (tower.encoder, LATENT_STD),
        (model.model.semantic_tokenizer_encoder, 1.0),
    ):
        encoder.head.conv.weight *= std / encoder(noise).latents.std()
    tower.decoder.head.conv.weight *= (
        SPEECH_RMS / tower.decode(tower.encoder(noise).latents).audio.std()
    )


def _make_speech_likely(model: VibeVoiceForConditionalGeneration) -> None:
    """Behind the token that begins speech the likeliest is speech, so that (with seeds 0 and 1) a generated answer is heard."""
    embeddings, output = model.model.language_model.embed_tokens.weight, model.lm_head.weight
    embeddings.normal_(std=0.3)
    for table in (embeddings, output):  # one, where they are tied
        table[model.config.audio_token_id] = 3 * embeddings[model.config.audio_bos_token_id]


def _drop(file: Path, names: set[str]) -> None:
    """Write a safetensors file again without these tensors."""
    kept = {name: value for name, value in load_file(file).items() if name not in names}
    save_file(kept, file, metadata={"format": "pt"})
