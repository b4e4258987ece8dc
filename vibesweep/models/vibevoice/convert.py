"""A checkpoint of the original repository, such as microsoft/VibeVoice-1.5B, written again in transformers' layout, to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    VibeVoiceAcousticTokenizerFeatureExtractor,
    VibeVoiceConfig,
    VibeVoiceProcessor,
)

from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import rewrite
from vibesweep.models.vibevoice.checkpoint import (
    CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
    Checkpoint,
    folder_of,
)
from vibesweep.models.vibevoice.names import to_transformers
from vibesweep.models.vibevoice.original import is_original, transformers_config

MOST_SPEECH_SHARE = 40_500 / 65_536
"""Of the context that may be speech: 40,500 latents in the released 1.5B, 20,250 in the 7B."""

TEMPLATE = """\
{%- set voiced = namespace(people=[]) -%}
{%- for turn in messages if turn.role not in voiced.people and turn.content | selectattr("type", "equalto", "audio") | list -%}
{%- set voiced.people = voiced.people + [turn.role] -%}
{%- endfor -%}
{{- " Transform the text provided by various speakers into speech output, utilizing the distinct voice of each respective speaker.\\n" -}}
{%- if voiced.people -%}{{- " Voice input:\\n" -}}{%- endif -%}
{%- for person in voiced.people -%}
{{- " Speaker " ~ person ~ ":<|vision_start|><|vision_pad|><|vision_end|>\\n" -}}
{%- endfor -%}
{{- " Text input:\\n" -}}
{%- for turn in messages -%}
{%- for part in turn.content if part.type == "text" -%}
{{- " Speaker " ~ turn.role ~ ": " ~ part.text ~ "\\n" -}}
{%- endfor -%}
{%- endfor -%}
{{- " Speech output:\\n<|vision_start|>" -}}
"""
"""The sequence that the released checkpoints were trained on, which the original has in its code."""


def convert(address: str, out: Path, tokenizer: str | None = None) -> Checkpoint:
    """Write a checkpoint of the original layout in transformers'.

    Args:
        address: its folder or hub id.
        out: the folder to write.
        tokenizer: a folder or hub id of Qwen2.5's tokenizer, which the original does not bring; the one that it names unless given.

    Raises:
        ModelError: it cannot be read, is of another layout, lacks tensors or has ones that are not VibeVoice's; there is no tokenizer; or
            ``out`` is there already.
    """
    folder = folder_of(address)
    if out.exists():
        raise ModelError("it is there already", where=str(out), fix="name another folder")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"its {CONFIG} cannot be read: {error}",
            where=str(folder),
            fix="name a checkpoint's folder",
        ) from error
    if not is_original(config):
        fix = (
            "use it as it is"
            if config.get("model_type") == "vibevoice"
            else "name a VibeVoice checkpoint"
        )
        raise ModelError(
            "it is no checkpoint of the original repository's layout", where=str(folder), fix=fix
        )
    aside = out.with_name(f".{out.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _write_processor(folder, aside, tokenizer)
        _write_configs(folder, config, aside)
        _write_weights(folder, aside)
        Checkpoint.open(str(aside))
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Checkpoint.open(str(out))


def _write_processor(folder: Path, out: Path, tokenizer: str | None) -> None:
    said = _preprocessor(folder)
    own = (
        str(folder)
        if (folder / "tokenizer.json").is_file()
        else said.get("language_model_pretrained_name", "Qwen/Qwen2.5-1.5B")
    )
    source = tokenizer or own
    try:
        words = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        fix = "check the network, or name a folder with Qwen2.5's tokenizer by --tokenizer"
        raise ModelError(
            f"the tokenizer cannot be read: {reason}", where=source, fix=fix
        ) from error
    audio = {
        name: value
        for name, value in said.get("audio_processor", {}).items()
        if name != "feature_extractor_type"
    }
    VibeVoiceProcessor(
        VibeVoiceAcousticTokenizerFeatureExtractor(**audio), words, chat_template=TEMPLATE
    ).save_pretrained(out)


def _preprocessor(folder: Path) -> dict[str, Any]:
    path = folder / "preprocessor_config.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _write_configs(folder: Path, original: dict[str, Any], out: Path) -> None:
    try:
        config: Any = VibeVoiceConfig(**transformers_config(original))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"its {CONFIG} lacks or misstates {error}",
            where=str(folder),
            fix="download the checkpoint again",
        ) from error
    config.save_pretrained(out)
    GenerationConfig(
        max_new_tokens=int(config.text_config.max_position_embeddings * MOST_SPEECH_SHARE),
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
    ).save_pretrained(out)


def _write_weights(folder: Path, out: Path) -> None:
    try:
        index = (
            json.loads((folder / WEIGHTS_INDEX).read_text())
            if (folder / WEIGHTS_INDEX).is_file()
            else None
        )
        files = sorted(set(index["weight_map"].values())) if index else [WEIGHTS]
        where: dict[str, str] = {}
        for file in files:
            with safe_open(folder / file, framework="pt") as stored:
                where.update(dict.fromkeys(map(to_transformers, stored.keys()), file))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"its weights cannot be read: {error}",
            where=str(folder),
            fix="download the checkpoint again",
        ) from error
    sizes = [
        rewrite(folder / file, out / file, lambda name, read: None, to_transformers)
        for file in files
    ]
    if index:
        (out / WEIGHTS_INDEX).write_text(
            json.dumps({"metadata": {"total_size": sum(sizes)}, "weight_map": where}, indent=2)
            + "\n"
        )
