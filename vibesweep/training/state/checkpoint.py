"""A trial's checkpoint: what it trained, as safetensors, and how, as JSON. No pickle is written or read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial
from vibesweep.models.family import SpeechModel
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.state.pair import fetched_pair, read_card, read_pair, write_pair

CARD = "checkpoint.json"


def save_checkpoint(
    model: nn.Module, settings: TrialSettings, facts: dict[str, Any], folder: StorageAddress
) -> None:
    """Write what the model trains, and only that; a checkpoint that is there is replaced.

    Args:
        model: of :func:`vibesweep.models.adapters.for_trial`.
        settings: that it was made with.
        facts: JSON that says where it stands (step, losses).
        folder: of this checkpoint alone.
    """
    trained = {
        name: part.detach().cpu().contiguous()
        for name, part in model.named_parameters()
        if part.requires_grad
    }
    write_pair(
        StoragePath.of(folder), CARD, trained, {"settings": dataclasses.asdict(settings), **facts}
    )


def saved_loss(folder: StorageAddress) -> float:
    """Validation loss of what is saved there; infinite where nothing is."""
    try:
        return float(read_card(StoragePath.of(folder), CARD)["loss_val"])
    except FileNotFoundError:
        return math.inf


@contextmanager
def fetched_checkpoint(folder: StorageAddress) -> Iterator[tuple[Path, TrialSettings]]:
    """A checkpoint's safetensors file, on this machine for as long as the block lasts, and the settings it was trained with.

    Raises:
        ModelError: the checkpoint is not there.
    """
    try:
        with fetched_pair(StoragePath.of(folder), CARD) as (path, facts):
            settings = TrialSettings(**facts["settings"])
            yield path, settings
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"the checkpoint cannot be read: {error}", where=str(folder)) from error


def load_checkpoint(
    base: SpeechModel, folder: StorageAddress
) -> tuple[nn.Module, TrialSettings, dict[str, Any]]:
    """Make the trained model of a checkpoint on top of its base.

    Returns:
        The model, the settings it was trained with, and the facts saved beside it.

    Raises:
        ModelError: the checkpoint is not there or does not fit the base.
    """
    try:
        trained, facts = read_pair(StoragePath.of(folder), CARD)
        settings = TrialSettings(**facts.pop("settings"))
        model = for_trial(base, settings)
        parameters = {name: part for name, part in model.named_parameters() if part.requires_grad}
        if trained.keys() != parameters.keys():
            raise ModelError(
                "the checkpoint holds other parameters than its settings train", where=str(folder)
            )
        with torch.no_grad():
            for name, part in parameters.items():
                part.copy_(trained[name])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the checkpoint cannot be read: {error}", where=str(folder)) from error
    return model, settings, facts
