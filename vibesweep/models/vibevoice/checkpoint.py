"""A VibeVoice checkpoint as it lies on disk, in transformers' layout: its configuration, and its tensors one by one.

Nothing here builds the whole model: training reads the language model, the connectors and the head, preprocessing the two encoders,
and an export passes all tensors on, each by its name in the safetensors files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import VibeVoiceConfig, VibeVoiceForConditionalGeneration

from vibesweep.errors import ModelError

CONFIG, WEIGHTS, WEIGHTS_INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
ENCODERS = ("model.audio_tower.encoder.", "model.semantic_tokenizer_encoder.")
SCALE, BIAS = "model.latent_scaling_factor", "model.latent_bias_factor"
ENCODER_SIZES = (
    *(
        "channels",
        "hidden_size",
        "kernel_size",
        "num_filters",
        "downsampling_ratios",
        "depths",
        "ffn_expansion",
    ),
    *("rms_norm_eps", "hidden_act"),
)
"""What of an encoder's configuration decides what it computes; the rest is transformers' own, and comes and goes with its versions."""
FINGERPRINT_BYTES = 64
"""Read of each encoder tensor: training it in any way changes them, and 2 GB need not be read for a sweep to begin."""
COPY_AGAIN = "download or copy the checkpoint again"
SHOWN = 4
"""Names that an error shows."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A folder that ``VibeVoiceForConditionalGeneration.save_pretrained`` and its processor's wrote.

    Attributes:
        folder: where it lies.
        config: a ``VibeVoiceConfig``, whose parts transformers types as configurations, dicts or nothing.
        files: the safetensors file that holds each tensor.
    """

    folder: Path
    config: Any
    files: dict[str, Path]

    @classmethod
    def open(cls, address: str) -> Checkpoint:
        """Find a checkpoint, and download it where the address is a hub id that is no folder.

        Raises:
            ModelError: it cannot be found or downloaded, is no VibeVoice checkpoint, or lacks tensors or has them in other shapes.
        """
        folder = folder_of(address)
        config = _config(folder)
        checkpoint = cls(folder, config, _files(folder))
        checkpoint._check_tensors()
        return checkpoint

    def tensor(self, name: str) -> Tensor:
        """One tensor, in its own precision.

        Raises:
            ModelError: its file cannot be read.
        """
        return next(self.read([name]))[1]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, by the rest of their names.

        Raises:
            ModelError: a file cannot be read.
        """
        names = {name for name in self.files if name.startswith(prefix)}
        return {name.removeprefix(prefix): tensor for name, tensor in self.read(names)}

    @cached_property
    def scale_and_bias(self) -> tuple[float, float] | None:
        """What latents are multiplied by, once the bias is added; None where the checkpoint was saved before they were known."""
        if SCALE not in self.files or BIAS not in self.files:
            return None
        scale, bias = self.tensor(SCALE).item(), self.tensor(BIAS).item()
        return (
            (scale, bias) if scale == scale and bias == bias else None
        )  # original checkpoints begin with nan

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that the encoders' features depend on: the same for a checkpoint and for what was fine-tuned from it."""
        digest = hashlib.sha256()
        for part in (self.config.audio_config, self.config.semantic_model_config):
            digest.update(json.dumps([getattr(part, key) for key in ENCODER_SIZES]).encode())
        for name in sorted(name for name in self.files if name.startswith(ENCODERS)):
            digest.update(name.encode() + _edge_bytes(self.files[name], name))
        return digest.hexdigest()[:32]

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of these names, file by file, each file opened once."""
        names = set(names)
        for file in sorted({self.files[name] for name in names}):
            try:
                with safe_open(file, framework="pt") as stored:
                    for name in sorted(name for name in names if self.files[name] == file):
                        yield name, stored.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise ModelError(
                    f"it cannot be read: {error}", where=str(file), fix=COPY_AGAIN
                ) from error

    def _check_tensors(self) -> None:
        """Look for every tensor, and at its shape; only the files' heads are read."""
        optional = {SCALE, BIAS} | (
            {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        )
        with torch.device("meta"):
            wanted = {
                name: list(tensor.shape)
                for name, tensor in VibeVoiceForConditionalGeneration(self.config)
                .state_dict()
                .items()
            }
        missing = sorted(wanted.keys() - optional - self.files.keys())
        if missing:
            shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
            found = f"{len(missing)} of its {len(wanted)} tensors are missing: {shown}"
            raise ModelError(
                found,
                where=str(self.folder),
                fix="download or copy the checkpoint again, or convert it to transformers' layout",
            )
        for name, shape in self._shapes():
            if shape != wanted.get(name, shape):
                found = f"{name} is of shape {shape}, and its {CONFIG} says {wanted[name]}"
                raise ModelError(found, where=str(self.folder), fix=COPY_AGAIN)

    def _shapes(self) -> Iterator[tuple[str, list[int]]]:
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():
                    yield name, stored.get_slice(name).get_shape()


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder says that it holds a VibeVoice model."""
    try:
        return (
            cast(dict[str, Any], json.loads((folder / CONFIG).read_text())).get("model_type")
            == "vibevoice"
        )
    except (OSError, ValueError):
        return False


def folder_of(address: str) -> Path:
    """Where a checkpoint lies, by its folder or its hub id, which is downloaded where need be.

    Raises:
        ModelError: there is no such folder, and no such download.
    """
    folder = Path(address).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if not HUB_ID.fullmatch(address):
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
        return Path(snapshot_download(hub_id, allow_patterns=HUB_FILES))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"no such folder, and no download from the hub: {reason}",
            where=hub_id,
            fix="check the name and the network, or name a folder",
        ) from error


def _config(folder: Path) -> VibeVoiceConfig:
    if not is_checkpoint(folder):
        raise ModelError(
            f"no VibeVoice checkpoint: no {CONFIG} with the model_type vibevoice",
            where=str(folder),
            fix="name a folder or hub id that has one",
        )
    try:
        found = json.loads((folder / CONFIG).read_text())
        if "acoustic_tokenizer_config" in found:
            fix = f"write it in transformers' layout with `vibesweep convert {folder} NEW_FOLDER`, and name that"
            raise ModelError("it has the original repository's layout", where=str(folder), fix=fix)
        return VibeVoiceConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"its {CONFIG} cannot be read: {reason}",
            where=str(folder),
            fix="download or copy the checkpoint again",
        ) from error


def _files(folder: Path) -> dict[str, Path]:
    """The file of each tensor. What an index names and no file holds is missing, as is a file that cannot be opened."""
    try:
        if (folder / WEIGHTS_INDEX).is_file():
            parts = sorted(
                set(json.loads((folder / WEIGHTS_INDEX).read_text())["weight_map"].values())
            )
        else:
            parts = [WEIGHTS]
        found: dict[str, Path] = {}
        for part in parts:
            with safe_open(folder / part, framework="pt") as stored:
                found.update(dict.fromkeys(stored.keys(), folder / part))
        return found
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        fix = "download or copy the checkpoint again; weights are read from safetensors files alone"
        raise ModelError(
            f"its weights cannot be read: {' '.join(str(error).split())[:200]}",
            where=str(folder),
            fix=fix,
        ) from error


def _edge_bytes(file: Path, name: str) -> bytes:
    """Shape, type and the first and last values of a tensor, without reading the rest."""
    with safe_open(file, framework="pt") as stored:
        part = stored.get_slice(name)
        shape = part.get_shape()
        # Of a scalar or a vector all is read
        edges = [part[:1], part[-1:]] if len(shape) > 1 else [stored.get_tensor(name)]
    values = [
        edge.flatten().view(torch.uint8)[:FINGERPRINT_BYTES].numpy().tobytes() for edge in edges
    ]
    return json.dumps([shape, part.get_dtype()]).encode() + b"".join(values)
