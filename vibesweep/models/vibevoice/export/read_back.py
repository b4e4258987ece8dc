"""An exported folder, read back as its loaders read it, and how far it is from its base.

Loaders leave out what they do not find without an error. Here a tensor that is missing, or that no
loader would look for, is one.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor, nn

from vibesweep.errors import ModelError
from vibesweep.models.adapters import ADAPTER_WEIGHTS, PEFT_PREFIX
from vibesweep.models.family import SpeechChange
from vibesweep.models.speech_change import speech_change
from vibesweep.models.vibevoice.checkpoint import BIAS, ENCODERS, SCALE, transformers_name
from vibesweep.models.vibevoice.checkpoint.original_names import to_transformers
from vibesweep.models.vibevoice.export.community import (
    LORA_FOLDER,
    changed_modules,
    has_language_adapter,
    whole_state,
)
from vibesweep.models.vibevoice.export.layouts import FULL_WEIGHTS
from vibesweep.models.vibevoice.export.trained import TrainedTensors
from vibesweep.models.vibevoice.model import VibeVoiceModel

NOT_PREDICTED_BY = (*ENCODERS, "model.audio_tower.decoder.", SCALE, BIAS, "lm_head.")
"""How the names of tensors begin that have no part in the prediction of a latent."""

Named = Mapping[str, Tensor]


def measure_change(trained: TrainedTensors, out: Path, layout: str) -> SpeechChange:
    """Predict latents with the base, and with the base changed by what was written.

    Args:
        trained: what was exported.
        out: the folder that was written.
        layout: of the folder.

    Raises:
        ModelError: a tensor is missing in the folder, or has a name or shape that does not fit.
    """
    too_little = _memory_missing(trained)
    if too_little:
        return SpeechChange(None, too_little)
    model = VibeVoiceModel.from_checkpoint(trained.base)
    base = model.predict_probe()
    READERS[layout](model, trained, out)
    model.eval()
    tuned = model.predict_probe()
    return speech_change(base, tuned, _reason(trained, layout))


def _memory_missing(trained: TrainedTensors) -> str:
    """Say how much memory the model takes where there is less; else nothing."""
    with torch.device("meta"):
        shell = VibeVoiceModel(trained.base.config)
    needed = sum(part.numel() for part in shell.parameters()) * torch.float32.itemsize
    free = psutil.virtual_memory().available
    if needed <= free:
        return ""
    return f"that takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def _read_merged(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    _read_files(model, out, str)


def _read_original(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    _read_files(model, out, to_transformers)


def _read_peft(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    full_weights = out / FULL_WEIGHTS
    if full_weights.exists():
        _replace(model, load_file(full_weights), out)
    outer = nn.Module()
    outer.model = model  # as it is named in the whole model, which the adapter is for
    _read_adapter(outer, out)


def _read_lora(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    _replace_modules(model, trained, out)
    if has_language_adapter(trained):
        _read_adapter(model.language_model, out / LORA_FOLDER)


def _read_comfyui(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    for module in changed_modules(trained):
        stored = load_file(out / module.comfyui_files[0])
        named = {to_transformers(module.original_prefix + name): stored[name] for name in stored}
        _replace(model, named, out)
    _read_adapter(model.language_model, out)


READERS: dict[str, Callable[[VibeVoiceModel, TrainedTensors, Path], None]] = {
    "merged": _read_merged,
    "peft": _read_peft,
    "lora": _read_lora,
    "comfyui": _read_comfyui,
    "original": _read_original,
}
"""The function that changes a base's model by each layout."""


def _read_files(model: VibeVoiceModel, out: Path, rename: Callable[[str], str]) -> None:
    """Replace all of a model's tensors by those of a whole export, one file at a time."""
    missing = {transformers_name(name) for name, _ in model.named_parameters()}
    for file in sorted(out.glob("*.safetensors")):
        named = {rename(name): tensor for name, tensor in load_file(file).items()}
        _replace(model, named, out)
        missing -= named.keys()
    if missing:
        raise _misfit(f"it lacks {min(missing)}", out)


def _replace_modules(model: VibeVoiceModel, trained: TrainedTensors, out: Path) -> None:
    """Replace modules by what was written in torch's format, which is not read here."""
    for module in changed_modules(trained):
        state = whole_state(trained, module)
        named = {to_transformers(module.original_prefix + name): state[name] for name in state}
        _replace(model, named, out)


@torch.no_grad()
def _replace(model: VibeVoiceModel, named: Named, out: Path) -> None:
    """Copy tensors, by transformers' names, into the parameters of a model."""
    own = {transformers_name(name): part for name, part in model.named_parameters()}
    for name, tensor in named.items():
        if name not in own:
            if not name.startswith(NOT_PREDICTED_BY):
                raise _misfit(f"it has a tensor {name}, which no loader looks for", out)
        elif own[name].shape != tensor.shape:
            raise _misfit(f"its {name} is {list(tensor.shape)}", out)
        else:
            own[name].copy_(tensor)


def _read_adapter(module: nn.Module, folder: Path) -> None:
    """Put an adapter into a module as peft does, and see that each of its tensors is used."""
    with warnings.catch_warnings():
        # peft warns of missing keys, which are looked at below, and calls an old name of
        # transformers' for models of that library
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = PeftModel.from_pretrained(module, str(folder))
    found = {_peft_name(name) for name, _ in adapted.named_parameters() if "lora_" in name}
    _compare(load_file(folder / ADAPTER_WEIGHTS), found, folder)


def _compare(stored: Iterable[str], found: set[str], folder: Path) -> None:
    names = {_peft_name(name) for name in stored}
    if names != found:
        name = min(names ^ found)
        raise _misfit(f"the adapter's {name} is in the file or in the model, not in both", folder)


def _peft_name(name: str) -> str:
    """Spell a tensor's name alike for an adapter in a model and in a file."""
    return PEFT_PREFIX + name.removeprefix(PEFT_PREFIX).replace(".default", "").removesuffix(
        ".weight"
    )


def _misfit(found: str, folder: Path) -> ModelError:
    return ModelError(f"the export would not be read whole: {found}", where=str(folder))


def _reason(trained: TrainedTensors, layout: str) -> str:
    """Say why an export changes nothing."""
    settings = trained.settings
    longer = f"train for more steps, or at a learning_rate above {settings.learning_rate:g}"
    if not trained.moved():
        return f"what the trial trained is as it was at its start; {longer}"
    if layout in ("merged", "original"):
        dtype = str(trained.base.config.dtype).removeprefix("torch.")
        rounded = f"what the trial changed is next to nothing, or too small for the base's {dtype}"
        return f"{rounded}; choose --layout peft, or {longer}"
    return f"what the trial changed is next to nothing; {longer}"
