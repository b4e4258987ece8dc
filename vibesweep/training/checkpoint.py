"""A trial's checkpoint: what it trained, as safetensors, and how, as JSON. No pickle is written or read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial
from vibesweep.models.base import SpeechModel

WEIGHTS, CARD = "trained.safetensors", "checkpoint.json"


def save_checkpoint(model: nn.Module, settings: TrialSettings, facts: dict[str, Any], folder: Path) -> None:
    """Write what the model trains, and only that, aside, then move it into place.

    Args:
        model: of :func:`vibesweep.models.adapters.for_trial`.
        settings: that it was made with.
        facts: JSON that says where it stands (step, losses).
        folder: replaced if it is there.
    """
    aside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    trained = {name: part.detach().cpu().contiguous() for name, part in model.named_parameters() if part.requires_grad}
    save_file(trained, aside / WEIGHTS)
    (aside / CARD).write_text(json.dumps({"settings": dataclasses.asdict(settings), **facts}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def load_checkpoint(base: SpeechModel, folder: Path) -> tuple[nn.Module, TrialSettings, dict[str, Any]]:
    """Make the trained model of a checkpoint on top of its base.

    Returns:
        The model, the settings it was trained with, and the facts saved beside it.

    Raises:
        ModelError: the checkpoint is not there or does not fit the base.
    """
    try:
        facts = json.loads((folder / CARD).read_text())
        settings = TrialSettings(**facts.pop("settings"))
        model = for_trial(base, settings)
        parameters = {name: part for name, part in model.named_parameters() if part.requires_grad}
        trained = load_file(folder / WEIGHTS)
        if trained.keys() != parameters.keys():
            raise ModelError("the checkpoint holds other parameters than its settings train", where=str(folder))
        with torch.no_grad():
            for name, part in parameters.items():
                part.copy_(trained[name])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the checkpoint cannot be read: {error}", where=str(folder)) from error
    return model, settings, facts
