"""A trial's checkpoint: the weights it trained, as safetensors, and how, as JSON. No pickle."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import copy_trained, load_trained
from vibesweep.models.speech_model import SpeechModel
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.training.parameters import trained_by_name
from vibesweep.training.state.full_state import has_state, load_state
from vibesweep.training.state.tensor_folder import (
    fetched_tensors,
    read_facts,
    read_tensor_folder,
    write_tensor_folder,
)

CHECKPOINT_JSON = "checkpoint.json"


def save_checkpoint(
    model: nn.Module, settings: TrialSettings, facts: dict[str, Any], folder: StorageAddress
) -> None:
    """Write what the model trains, and only that, in place of an earlier checkpoint.

    Args:
        model: a model of :func:`vibesweep.models.adapters.for_trial`.
        settings: the settings that it was made with.
        facts: where the trial stands (step, losses), as JSON.
        folder: a folder for this checkpoint alone.
    """
    trained = {}
    for name, part in trained_by_name(model).items():
        trained[name] = part.detach().cpu().contiguous()
    content = {"settings": dataclasses.asdict(settings), **facts}
    write_tensor_folder(StoragePath.of(folder), CHECKPOINT_JSON, trained, content)


class SavedBest(NamedTuple):
    """Which report a checkpoint holds the weights of: none yet, unless this says otherwise.

    Attributes:
        loss_val: its validation loss.
        step: its step.
        heard: what was measured in its speech, by name.
    """

    loss_val: float = math.inf
    step: int = 0
    heard: Mapping[str, float] = {}


def saved_best(folder: StorageAddress) -> SavedBest:
    """Return which report a folder's checkpoint holds the weights of."""
    try:
        facts = read_facts(StoragePath.of(folder), CHECKPOINT_JSON)
    except FileNotFoundError:
        return SavedBest()
    return SavedBest(
        float(facts["loss_val"]),
        int(facts["step"]),
        facts.get("heard", {}),
    )


@contextmanager
def fetched_checkpoint(folder: StorageAddress) -> Iterator[tuple[Path, TrialSettings]]:
    """Yield a checkpoint's safetensors file, on this machine while the block lasts, and settings.

    Raises:
        ModelError: the checkpoint is missing or broken.
    """
    try:
        with fetched_tensors(StoragePath.of(folder), CHECKPOINT_JSON) as (path, facts):
            settings = TrialSettings(**facts["settings"])
            yield path, settings
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error


class Origin(NamedTuple):
    """What a trial goes on from that began as another trial.

    Attributes:
        step: steps that its weights have behind them.
        state: the other trial's whole state, where there is one; else its weights are all.
    """

    step: int = 0
    state: Mapping[str, Any] | None = None


def begin_with(model: nn.Module, folder: StorageAddress) -> Origin:
    """Copy the weights of a state or a checkpoint into a model that trains the same parts.

    Raises:
        ModelError: it is missing or broken, or the model trains other parts.
    """
    own = trained_by_name(model)
    if has_state(folder):
        state = load_state(folder)
        copy_trained(own, state["live"], str(folder))
        return Origin(int(state["progress"][0]), state)
    try:
        trained, facts = read_tensor_folder(StoragePath.of(folder), CHECKPOINT_JSON)
        step = int(facts["step"])
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    copy_trained(own, trained, str(folder))
    return Origin(step)


def copy_checkpoint(folder: StorageAddress, copy: StorageAddress) -> None:
    """Copy a checkpoint, which its trial may be about to replace.

    Raises:
        ModelError: it is missing or broken.
    """
    try:
        trained, facts = read_tensor_folder(StoragePath.of(folder), CHECKPOINT_JSON)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    write_tensor_folder(StoragePath.of(copy), CHECKPOINT_JSON, trained, facts)


def load_checkpoint(
    base: SpeechModel, folder: StorageAddress
) -> tuple[nn.Module, TrialSettings, dict[str, Any]]:
    """Make the trained model of a checkpoint on top of its base.

    Returns:
        The model, the settings it was trained with, and the facts saved beside it.

    Raises:
        ModelError: the checkpoint is missing or broken, or does not fit the base.
    """
    try:
        trained, facts = read_tensor_folder(StoragePath.of(folder), CHECKPOINT_JSON)
        settings = TrialSettings(**facts.pop("settings"))
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    model = load_trained(base, settings, trained, str(folder))
    return model, settings, facts


def _unreadable(folder: StorageAddress, error: Exception) -> ModelError:
    return ModelError(f"the checkpoint cannot be read: {error}", where=str(folder))
