"""Where a VibeVoice checkpoint is: its folder on disk, its configuration and its tensor files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import VibeVoiceConfig

from vibesweep.errors import ModelError
from vibesweep.models.descriptions import parse_description
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.names import is_plain_name

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
COPY_AGAIN = "download or copy the checkpoint again"

_WEIGHTS_SUFFIX = ".safetensors"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
_REASON_CHARACTERS = 200


def is_checkpoint(folder: Path) -> bool:
    """Say whether a folder's ``config.json`` names VibeVoice as its model type."""
    try:
        config = read_config_json(folder)
    except (OSError, ValueError):
        return False
    return config.get("model_type") == "vibevoice"


def folder_of(address: str) -> Path:
    """Return the folder of a checkpoint; one named by its hub id is downloaded if need be.

    Raises:
        ModelError: there is no such folder, or the download failed.
    """
    folder = Path(address).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if not _HUB_ID.fullmatch(address):
        raise ModelError(
            "no such folder",
            where=address,
            fix="name a checkpoint's folder or a hub id such as vibevoice/VibeVoice-1.5B-hf",
        )
    return _downloaded(address)


def _downloaded(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=_HUB_FILES))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelError(
            f"no such folder, and no download from the hub: {reason_of(error)}",
            where=hub_id,
            fix="check the name and the network, or name a folder",
        ) from error


def read_config_json(folder: Path) -> dict[str, Any]:
    """Read a folder's ``config.json`` as plain data.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a JSON object, or has a number that no model can have.
    """
    content = (folder / CONFIG).read_bytes()
    return parse_description(content)


def load_config(folder: Path) -> VibeVoiceConfig:
    """Load the configuration of a checkpoint in transformers' layout.

    Raises:
        ModelError: the folder holds no VibeVoice checkpoint, one in the original layout, or a
            configuration that transformers cannot read.
    """
    try:
        found = read_config_json(folder)
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError) as error:
        raise _unreadable_config(folder, error) from error
    if found.get("model_type") != "vibevoice":
        raise ModelError(
            f"no VibeVoice checkpoint: no {CONFIG} with the model_type vibevoice",
            where=str(folder),
            fix="name a folder or hub id that has one",
        )
    if "acoustic_tokenizer_config" in found:
        command = f"vibesweep convert {folder} NEW_FOLDER"
        raise ModelError(
            "it has the original repository's layout",
            where=str(folder),
            fix=f"write it in transformers' layout with `{command}`, and name that",
        )
    try:
        config = VibeVoiceConfig.from_pretrained(folder)
    except UNUSABLE as error:
        raise _unreadable_config(folder, error) from error
    # A name with a slash is a kernel of the hub: transformers would download its code and run it
    config._attn_implementation = None
    return config


def _unreadable_config(folder: Path, error: Exception) -> ModelError:
    found = f"its {CONFIG} cannot be read: {reason_of(error)}"
    return ModelError(found, where=str(folder), fix=COPY_AGAIN)


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the safetensors file that holds each tensor, by the tensor's name.

    Names are taken from the files themselves: a tensor that only the index mentions is missing.

    Raises:
        ModelError: the index or one of the files cannot be read.
    """
    found: dict[str, Path] = {}
    try:
        for file in weight_files(folder):
            with safe_open(file, framework="pt") as stored:
                found.update(dict.fromkeys(stored.keys(), file))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"its weights cannot be read: {reason_of(error)}",
            where=str(folder),
            fix=f"{COPY_AGAIN}; weights are read from safetensors files alone",
        ) from error
    return found


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files that the index names, or the only one where there is no index.

    Raises:
        ModelError: the index cannot be read, or names what is no file beside it: that could be any
            file of this machine, and an export or a conversion writes files of the same names.
    """
    index = folder / WEIGHTS_INDEX
    if not index.is_file():
        return [folder / WEIGHTS]
    try:
        file_of_tensor = parse_json(index.read_text(encoding="utf-8"))["weight_map"]
        names = list(file_of_tensor.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"the index of its weights cannot be read: {reason_of(error)}"
        raise ModelError(found, where=str(index), fix=COPY_AGAIN) from error
    for name in names:
        _check_weight_file(name, index)
    return [folder / name for name in sorted(set(names))]


def _check_weight_file(name: object, index: Path) -> None:
    if is_plain_name(name) and str(name).endswith(_WEIGHTS_SUFFIX):
        return
    found = f"it names the weight file {name!r}, which is no plain *{_WEIGHTS_SUFFIX} name"
    fix = f"do not use this checkpoint if you do not trust its source; else {COPY_AGAIN}"
    raise ModelError(found, where=str(index), fix=fix)


def reason_of(error: Exception) -> str:
    """Return an error's text on one line, shortened."""
    return " ".join(str(error).split())[:_REASON_CHARACTERS]
