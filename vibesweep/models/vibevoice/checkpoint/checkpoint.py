"""A VibeVoice checkpoint in transformers' layout: its configuration, and its tensors one by one.

Nothing here builds the whole model. Training reads the language model, the connectors and the
diffusion head; preprocessing reads the two encoders; an export passes every tensor on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import VibeVoiceForConditionalGeneration

from vibesweep.errors import ModelError
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.vibevoice.checkpoint.locate import (
    CONFIG,
    COPY_AGAIN,
    folder_of,
    load_config,
    reason_of,
    tensor_files,
)

ENCODERS = ("model.audio_tower.encoder.", "model.semantic_tokenizer_encoder.")
"""How the tensor names of the two frozen encoders begin."""

SCALE = "model.latent_scaling_factor"
BIAS = "model.latent_bias_factor"

_TRAINED_PREFIX = "model."

_ENCODER_SETTINGS = (
    "channels",
    "hidden_size",
    "kernel_size",
    "num_filters",
    "downsampling_ratios",
    "depths",
    "ffn_expansion",
    "rms_norm_eps",
    "hidden_act",
)
"""The settings that decide what an encoder computes; others change with transformers' version."""

_FINGERPRINT_BYTES = 64
"""Read from each end of an encoder tensor: any training changes them, and 2 GB stay unread."""

_NAMES_SHOWN = 4
"""At most so many tensor names appear in an error."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A folder written by ``VibeVoiceForConditionalGeneration.save_pretrained`` and its processor.

    Attributes:
        folder: where it is on disk.
        config: a ``VibeVoiceConfig``; its parts have no usable types in transformers.
        files: the safetensors file that holds each tensor, by the tensor's name.
    """

    folder: Path
    config: Any
    files: dict[str, Path]

    @classmethod
    def open(cls, address: str) -> Checkpoint:
        """Find a checkpoint by its folder or hub id, and check that it is complete.

        Raises:
            ModelError: it cannot be found or downloaded, it is no VibeVoice checkpoint, or
                tensors are missing or have shapes that its configuration does not give them.
        """
        folder = folder_of(address)
        checkpoint = cls(folder, load_config(folder), tensor_files(folder))
        checkpoint._check_tensors()
        return checkpoint

    def tensor(self, name: str) -> Tensor:
        """Read one tensor in its stored precision.

        Raises:
            ModelError: its file cannot be read.
        """
        _, tensor = next(self.read([name]))
        return tensor

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Read the tensors whose names begin with a prefix, by the rest of their names.

        Raises:
            ModelError: a file cannot be read.
        """
        names = [name for name in self.files if name.startswith(prefix)]
        return {name.removeprefix(prefix): tensor for name, tensor in self.read(names)}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield the named tensors with their names, opening each file once.

        Raises:
            ModelError: a file cannot be read.
        """
        names_in_file: dict[Path, list[str]] = {}
        for name in sorted(set(names)):
            names_in_file.setdefault(self.files[name], []).append(name)
        for file, names_here in sorted(names_in_file.items()):
            try:
                with safe_open(file, framework="pt") as stored:
                    for name in names_here:
                        yield name, stored.get_tensor(name)
            except (OSError, SafetensorError) as error:
                raise ModelError(
                    f"it cannot be read: {error}", where=str(file), fix=COPY_AGAIN
                ) from error

    @cached_property
    def scale_and_bias(self) -> tuple[float, float] | None:
        """The factor and the offset of the latents, ``scale * (latent + bias)``.

        ``None`` where the checkpoint lacks them or holds NaN, with which original ones begin.
        """
        if SCALE not in self.files or BIAS not in self.files:
            return None
        scale = self.tensor(SCALE).item()
        bias = self.tensor(BIAS).item()
        if math.isnan(scale) or math.isnan(bias):
            return None
        return scale, bias

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that the encoders' features depend on.

        Fine-tuning leaves the encoders as they are, so its result has the base's fingerprint.
        """
        digest = hashlib.sha256()
        for encoder in (self.config.audio_config, self.config.semantic_model_config):
            settings = [getattr(encoder, name) for name in _ENCODER_SETTINGS]
            digest.update(json.dumps(settings).encode())
        for name in sorted(self.files):
            if name.startswith(ENCODERS):
                digest.update(name.encode())
                digest.update(_tensor_edges(self.files[name], name))
        return digest.hexdigest()[:32]

    def _check_tensors(self) -> None:
        """Check every tensor's presence and shape; only the headers of the files are read."""
        expected = self._expected_shapes()
        optional = {SCALE, BIAS}
        if self.config.tie_word_embeddings:
            optional.add("lm_head.weight")
        missing = sorted(expected.keys() - optional - self.files.keys())
        if missing:
            shown = missing[:_NAMES_SHOWN]
            if len(missing) > len(shown):
                shown.append("…")
            raise ModelError(
                f"{len(missing)} of its {len(expected)} tensors are missing: {', '.join(shown)}",
                where=str(self.folder),
                fix=f"{COPY_AGAIN}, or convert it to transformers' layout",
            )
        for name, shape in self._stored_shapes():
            if name in expected and shape != expected[name]:
                raise ModelError(
                    f"{name} is of shape {shape}, and its {CONFIG} says {expected[name]}",
                    where=str(self.folder),
                    fix=COPY_AGAIN,
                )

    def _expected_shapes(self) -> dict[str, list[int]]:
        """Return the shape of each tensor of the model, by name; no weights are allocated."""
        try:
            with torch.device("meta"):
                model = VibeVoiceForConditionalGeneration(self.config)
        except UNUSABLE as error:
            found = f"no model can be made by its {CONFIG}: {reason_of(error)}"
            raise ModelError(found, where=str(self.folder), fix=COPY_AGAIN) from error
        return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}

    def _stored_shapes(self) -> Iterator[tuple[str, list[int]]]:
        for file in sorted(set(self.files.values())):
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():
                    yield name, stored.get_slice(name).get_shape()


def transformers_name(name: str) -> str:
    """Return the checkpoint's name of a parameter of :class:`VibeVoiceModel`."""
    return name if name.startswith("lm_head.") else _TRAINED_PREFIX + name


def _tensor_edges(file: Path, name: str) -> bytes:
    """Return a tensor's shape, type, and first and last values; the rest is not read."""
    with safe_open(file, framework="pt") as stored:
        view = stored.get_slice(name)
        shape = view.get_shape()
        if len(shape) > 1:
            edges = [view[:1], view[-1:]]
        else:
            edges = [stored.get_tensor(name)]  # a scalar or a vector is read whole
    content = json.dumps([shape, view.get_dtype()]).encode()
    for edge in edges:
        edge_bytes = edge.flatten().view(torch.uint8)[:_FINGERPRINT_BYTES]
        content += edge_bytes.numpy().tobytes()
    return content
