"""A model's folder: a shipped base, and what ``vibesweep export`` hands over, are laid out alike, so either can be tuned or spoken with.

``config.json`` (family, sizes, mel settings, phoneme table), ``model.safetensors`` (weights and PCA), ``voices.safetensors`` (one voice
prompt a person). Nothing in it is a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.models.family import SpeechModel

if TYPE_CHECKING:
    from vibesweep.corpus.shards.features import FeatureEncoder

FORMAT_VERSION = 1
CONFIG, WEIGHTS, VOICES = "config.json", "model.safetensors", "voices.safetensors"
SHIPPED = Path(__file__).parent / "bases"

FAMILIES = {
    "mel": "vibesweep.models.mel.model:MelModel",
    "vibevoice": "vibesweep.models.vibevoice.model:VibeVoiceModel",
}
"""Family name to the class that implements it."""

CHECKPOINT_FAMILY = "vibevoice"
"""The family whose models are transformers' own checkpoints: folders of another layout, named ``vibevoice:<folder or hub id>``."""


@dataclass(frozen=True)
class Bundle:
    """A model and the voices it knows.

    Attributes:
        model: on the CPU, in float32, nothing set to train.
        voices: voice prompts [P, D] by the person's name, who speaks most first.
        folder: where it was read.
    """

    model: SpeechModel
    voices: dict[str, Tensor]
    folder: Path


def located(name: str) -> str:
    """A model's name for processes that run in other folders.

    Raises:
        ModelError: there is no such model.
    """
    address = checkpoint_address(name)
    if address is None:
        folder = base_folder(name)
        return str(folder.resolve()) if Path(name).expanduser().exists() else name
    from vibesweep.models.vibevoice.checkpoint import Checkpoint

    folder = Checkpoint.open(address).folder
    # Another host has a download of its own, where this one's hub id led to
    return f"{CHECKPOINT_FAMILY}:{folder if Path(address).expanduser().exists() else address}"


def encoder_of(name: str) -> FeatureEncoder | None:
    """What hears a corpus for a model; ``None`` for a family that reads mels.

    Raises:
        ModelError: there is no such model, or its checkpoint cannot be used.
    """
    if checkpoint_address(name) is None:
        base_folder(name)
        return None
    from vibesweep.models.vibevoice.encoder import VibeVoiceEncoder

    return VibeVoiceEncoder.of(located(name))


def checkpoint_address(name: str) -> str | None:
    """The folder or hub id of a model that is a transformers' checkpoint, by its scheme or by what its folder says; else None."""
    scheme, _, address = name.partition(":")
    if scheme == CHECKPOINT_FAMILY and address:
        return address
    try:
        said = json.loads((Path(name).expanduser() / CONFIG).read_text())
    except (OSError, ValueError):
        return None
    return name if said.get("model_type") == CHECKPOINT_FAMILY else None


def base_folder(name: str) -> Path:
    """Where a shipped base's name or a path leads.

    Raises:
        ModelError: to no model.
    """
    for folder in (Path(name).expanduser(), SHIPPED / name):
        if (folder / CONFIG).is_file():
            return folder
    shipped = (
        ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
        if SHIPPED.is_dir()
        else "none"
    )
    fix = f"name a model's folder or a shipped base ({shipped}); a VibeVoice checkpoint of the hub is {CHECKPOINT_FAMILY}:OWNER/NAME"
    raise ModelError(f"no model: no folder with a {CONFIG}", where=name, fix=fix)


def description_of(name: str) -> tuple[type[SpeechModel], dict[str, Any]]:
    """The class of a model, and its description; no weights are read.

    Raises:
        ModelError: it is no bundle, or one of another version.
    """
    if (address := checkpoint_address(name)) is not None:
        return _family(CHECKPOINT_FAMILY), {"checkpoint": address}
    folder = base_folder(name)
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        version = config["format_version"]
        family = _family(config["family"])
    except (OSError, KeyError, ValueError) as error:
        raise _unreadable(folder, error) from error
    if version != FORMAT_VERSION:
        fix = f"export it with this version of vibesweep, which reads version {FORMAT_VERSION}"
        raise ModelError(f"it is of format version {version}", where=str(folder), fix=fix)
    return family, config


def _family(name: str) -> type[SpeechModel]:
    module, _, kind = FAMILIES[name].partition(":")
    return cast(type[SpeechModel], getattr(import_module(module), kind))


def load_bundle(name: str) -> Bundle:
    """Load a shipped base by name, or any bundle by its folder.

    Raises:
        ModelError: it is no bundle, of another version, or its weights do not fit its description.
    """
    family, config = description_of(name)
    if "checkpoint" in config:
        return Bundle(
            family.from_description(config, Path(config["checkpoint"])),
            {},
            Path(config["checkpoint"]),
        )
    folder = base_folder(name)
    try:
        model = family.from_description(config, folder)
        weights = {key: value.float() for key, value in load_file(folder / WEIGHTS).items()}
        model.load_state_dict(weights)
        voices = load_file(folder / VOICES)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    model.requires_grad_(False)
    return Bundle(model.eval(), {name: voices[name].float() for name in config["voices"]}, folder)


def _unreadable(folder: Path, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    return ModelError(
        f"the model cannot be read: {reason}", where=str(folder), fix="export or copy it again"
    )


def save_bundle(
    model: SpeechModel, voices: dict[str, Tensor], folder: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Write a bundle. Network weights take ``dtype``; the codec stays float32, since fine-tuning never refits it.

    Args:
        model: merged, with no adapters left.
        voices: voice prompts [P, D] by name, in the order they are to be offered.
        folder: made if it is not there.
        dtype: of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        key: value.detach()
        .cpu()
        .to(torch.float32 if key.startswith("codec.") else dtype)
        .contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS)
    save_file(
        {name: prompt.detach().cpu().to(dtype).contiguous() for name, prompt in voices.items()},
        folder / VOICES,
    )
    config = {
        "format_version": FORMAT_VERSION,
        "family": model.family,
        "voices": list(voices),
        **model.describe(),
    }
    (folder / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
