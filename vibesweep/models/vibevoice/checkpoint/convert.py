"""A checkpoint of the original layout, such as microsoft/VibeVoice-1.5B, as transformers' layout.

Weights are the same to the bit.
"""

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
from vibesweep.models.descriptions import parse_description
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.tensor_files import rewrite
from vibesweep.models.vibevoice.checkpoint.checkpoint import Checkpoint
from vibesweep.models.vibevoice.checkpoint.locate import (
    CONFIG,
    WEIGHTS_INDEX,
    folder_of,
    read_config_json,
    reason_of,
    weight_files,
)
from vibesweep.models.vibevoice.checkpoint.original_config import is_original, transformers_config
from vibesweep.models.vibevoice.checkpoint.original_names import to_transformers
from vibesweep.storage.early import check_folder_writable
from vibesweep.storage.os_errors import disk_errors

MAX_SPEECH_SHARE = 40_500 / 65_536
"""Share of the context that may be speech: 40,500 latents in the 1.5B, 20,250 in the 7B."""

DOWNLOAD_AGAIN = "download the checkpoint again"

TEMPLATE = """\
{%- set voiced = namespace(people=[]) -%}
{%- for turn in messages
    if turn.role not in voiced.people
    and turn.content | selectattr("type", "equalto", "audio") | list -%}
{%- set voiced.people = voiced.people + [turn.role] -%}
{%- endfor -%}
{{- " Transform the text provided by various speakers into speech output, " -}}
{{- "utilizing the distinct voice of each respective speaker.\\n" -}}
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
"""The chat template that the released checkpoints were trained on; the original has it as code."""


def convert(address: str, out: Path, tokenizer: str | None = None) -> Checkpoint:
    """Write a checkpoint of the original layout in transformers' layout.

    Args:
        address: its folder or hub id.
        out: the folder to write.
        tokenizer: a folder or hub id of Qwen2.5's tokenizer, which the original does not bring.
            By default it is the one that the checkpoint names.

    Raises:
        ModelError: the checkpoint cannot be read, has another layout, lacks tensors or has
            tensors that VibeVoice does not; there is no tokenizer; or ``out`` exists already.
    """
    folder = folder_of(address)
    if out.exists():
        raise ModelError("it is there already", where=str(out), fix="name another folder")
    check_folder_writable(out, "OUT")
    config = _read_original_config(folder)
    staging = out.with_name(f".{out.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with disk_errors(str(out), staging):
            staging.mkdir(parents=True)
            _write_processor(folder, staging, tokenizer)
            _write_configs(folder, config, staging)
            _write_weights(folder, staging)
            Checkpoint.open(str(staging))
            staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Checkpoint.open(str(out))


def _read_original_config(folder: Path) -> dict[str, Any]:
    try:
        config = read_config_json(folder)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"its {CONFIG} cannot be read: {error}",
            where=str(folder),
            fix="name a checkpoint's folder",
        ) from error
    if is_original(config):
        return config
    is_vibevoice = config.get("model_type") == "vibevoice"
    raise ModelError(
        "it is no checkpoint of the original repository's layout",
        where=str(folder),
        fix="use it as it is" if is_vibevoice else "name a VibeVoice checkpoint",
    )


def _write_processor(folder: Path, out: Path, tokenizer_source: str | None) -> None:
    preprocessor = _read_preprocessor(folder)
    if tokenizer_source is None:
        tokenizer_source = _own_tokenizer(folder, preprocessor)
    processor = VibeVoiceProcessor(
        _feature_extractor(folder, preprocessor),
        _load_tokenizer(tokenizer_source),
        chat_template=TEMPLATE,
    )
    processor.save_pretrained(out)


def _read_preprocessor(folder: Path) -> dict[str, Any]:
    """Read the original's settings of levels and tokenizer, where it has any.

    Raises:
        ModelError: the file is there and cannot be read.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    try:
        return parse_description(path.read_bytes())
    except (OSError, ValueError) as error:
        wrong = f"it cannot be read: {reason_of(error)}"
        raise ModelError(wrong, where=str(path), fix=DOWNLOAD_AGAIN) from error


def _feature_extractor(folder: Path, preprocessor: dict[str, Any]) -> Any:
    try:
        audio = dict(preprocessor.get("audio_processor", {}))
        audio.pop("feature_extractor_type", None)
        return VibeVoiceAcousticTokenizerFeatureExtractor(**audio)
    except UNUSABLE as error:
        wrong = f"its audio_processor cannot be used: {reason_of(error)}"
        raise ModelError(wrong, where=str(folder), fix=DOWNLOAD_AGAIN) from error


def _own_tokenizer(folder: Path, preprocessor: dict[str, Any]) -> str:
    """Return the folder if it holds a tokenizer, else the hub id of the one that it names."""
    if (folder / "tokenizer.json").is_file():
        return str(folder)
    return str(preprocessor.get("language_model_pretrained_name", "Qwen/Qwen2.5-1.5B"))


def _load_tokenizer(source: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except UNUSABLE as error:
        raise ModelError(
            f"the tokenizer cannot be read: {reason_of(error)}",
            where=source,
            fix="check the network, or name a folder with Qwen2.5's tokenizer by --tokenizer",
        ) from error


def _write_configs(folder: Path, original: dict[str, Any], out: Path) -> None:
    try:
        config: Any = VibeVoiceConfig(**transformers_config(original))
    except UNUSABLE as error:
        raise ModelError(
            f"its {CONFIG} lacks or misstates {error}", where=str(folder), fix=DOWNLOAD_AGAIN
        ) from error
    config.save_pretrained(out)
    generation = GenerationConfig(
        max_new_tokens=int(config.text_config.max_position_embeddings * MAX_SPEECH_SHARE),
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
    generation.save_pretrained(out)


def _write_weights(folder: Path, out: Path) -> None:
    files, file_of_tensor = _renamed_index(folder)
    total_bytes = 0
    for file in files:
        total_bytes += rewrite(file, out / file.name, rename=to_transformers)
    if (folder / WEIGHTS_INDEX).is_file():
        index = {"metadata": {"total_size": total_bytes}, "weight_map": file_of_tensor}
        (out / WEIGHTS_INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _renamed_index(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the weight files, and the file name of each tensor by its name in transformers."""
    file_of_tensor: dict[str, str] = {}
    try:
        files = weight_files(folder)
        for file in files:
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():
                    file_of_tensor[to_transformers(name)] = file.name
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"its weights cannot be read: {error}", where=str(folder), fix=DOWNLOAD_AGAIN
        ) from error
    return files, file_of_tensor
