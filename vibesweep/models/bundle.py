"""Bundles read and written: a model's description, its weights and its voices.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.models.bundle_folder import (
    CONFIG,
    FORMAT_VERSION,
    VOICES,
    WEIGHTS,
    read_description,
    unreadable,
)
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.speech_model import SpeechModel
from vibesweep.models.tensor_files import save_tensors
from vibesweep.models.threads import one_thread
from vibesweep.models.trained_on import TRAINED_ON, TrainedOn


class BundleModel(SpeechModel):
    """A speech model that a bundle holds."""

    full_precision: tuple[str, ...] = ()
    """Beginnings of the names of tensors that are always saved in float32."""

    def describe(self) -> dict[str, Any]:
        """Say as JSON everything but the weights that :meth:`from_description` needs."""
        return {}

    def data_format(self) -> dict[str, Any]:
        """Say as JSON what sounds and symbols are to the model: rate, level, phoneme table."""
        return {}

    @classmethod
    def from_description(cls, description: dict[str, Any], where: Path) -> BundleModel:
        """Make the model with empty weights from what :meth:`describe` said.

        Raises:
            ModelError: the description does not fit; ``where`` is its folder.
        """
        return cls()


@dataclass(frozen=True)
class Bundle:
    """A model and the voices it knows.

    Attributes:
        model: on the CPU, in float32, nothing set to train.
        voices: voice prompts [P, D] by the person's name, who speaks most first.
        folder: where it was read.
        trained_on: the speech that it was trained on.
    """

    model: BundleModel
    voices: dict[str, Tensor]
    folder: Path
    trained_on: TrainedOn


@one_thread()
def load_bundle(folder: Path, network: type[BundleModel]) -> Bundle:
    """Load a bundle.

    Args:
        folder: where it lies.
        network: class of the family's model.

    Raises:
        ModelError: it cannot be read, is of another version, its weights do not fit its
            description, or it was trained on other sounds and symbols than this says.
    """
    description = read_description(folder)
    trained_on = TrainedOn.from_description(description, folder)
    _check_shapes(empty_network(network, description, folder), folder)
    model = network.from_description(description, folder)
    trained_on.check_format(model.data_format(), folder)
    try:
        weights = _read_float32(folder / WEIGHTS)
        model.load_state_dict(weights)
        prompts = _read_float32(folder / VOICES)
        voices = {name: prompts[name] for name in description["voices"]}
    except UNUSABLE as error:
        raise unreadable(folder, error) from error
    model.requires_grad_(False)
    model.eval()
    return Bundle(model, voices, folder, trained_on)


def empty_network(
    network: type[BundleModel], description: dict[str, Any], folder: Path
) -> BundleModel:
    """Make the network that a bundle describes on the meta device, where it takes no memory.

    Raises:
        ModelError: no network can be made by it.
    """
    try:
        with torch.device("meta"):
            return network.from_description(description, folder)
    except UNUSABLE as error:
        raise unreadable(folder, error) from error


def _check_shapes(empty: BundleModel, folder: Path) -> None:
    """Hold the weights against the description before memory is taken for them.

    So a description costs no more memory than the weights that lie beside it.
    """
    described = {name: list(value.shape) for name, value in empty.state_dict().items()}
    stored: dict[str, list[int]] = {}
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            for name in file.keys():
                stored[name] = file.get_slice(name).get_shape()
    except (OSError, SafetensorError) as error:
        raise unreadable(folder, error) from error
    for name in sorted(described.keys() | stored.keys()):
        by_config, by_weights = described.get(name), stored.get(name)
        if by_config != by_weights:
            found = f"its {CONFIG} has {name} as {by_config}, its {WEIGHTS} as {by_weights}"
            raise ModelError(found, where=str(folder), fix="export or copy it again")


def save_bundle(
    model: BundleModel,
    voices: dict[str, Tensor],
    folder: Path,
    dtype: torch.dtype = torch.float32,
    trained_on: TrainedOn | None = None,
) -> None:
    """Write a bundle.

    Args:
        model: merged, with no adapters left.
        voices: voice prompts [P, D] by name, in the order in which they are to be offered.
        folder: made if it is not there.
        dtype: of the weights, but for those that the model keeps in full precision.
        trained_on: the speech that it was trained on; None where that is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, value in model.state_dict().items():
        in_full = name.startswith(model.full_precision)
        weight_dtype = torch.float32 if in_full else dtype
        weights[name] = _storable(value, weight_dtype)
    save_tensors(weights, folder / WEIGHTS)
    prompts = {name: _storable(prompt, dtype) for name, prompt in voices.items()}
    save_tensors(prompts, folder / VOICES)
    speech = replace(trained_on or TrainedOn(), format=model.data_format())
    description = {
        "format_version": FORMAT_VERSION,
        "family": model.family,
        "voices": list(voices),
        TRAINED_ON: speech.to_json(),
        **model.describe(),
    }
    content = json.dumps(description, ensure_ascii=False, indent=1)
    file = folder / CONFIG
    file.write_text(content + "\n", encoding="utf-8")


def _read_float32(file: Path) -> dict[str, Tensor]:
    tensors = load_file(file)
    return {name: tensor.float() for name, tensor in tensors.items()}


def _storable(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a tensor to the CPU, in its stored type.

    safetensors takes no two tensors that share memory, and two people's prompts may.
    """
    on_cpu = value.detach().cpu()
    converted = on_cpu.to(dtype)
    return converted.clone(memory_format=torch.contiguous_format)
