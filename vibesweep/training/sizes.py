"""What a trial takes on disk and in memory, found on a model's skeleton: no weights are read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial, trained_parameters
from vibesweep.models.speech_model import SpeechModel
from vibesweep.training.optim.averaging import averaged_parts

BYTES = 4
"""What is trained, is so in float32."""
MOMENTS = {
    "adamw": 2.0,
    "lion": 1.0,
    "adafactor": 0.0,
    "muon": 1.0,
    "sgd": 1.0,
    "schedule_free_adamw": 2.0,
    "prodigy": 4.0,
    "adamw_8bit": 0.5,
}
"""Copies of the trained weights that an optimizer keeps; Adafactor's rows and columns are next to
none. Muon has two, as AdamW, of what is no matrix between hidden states."""


@dataclass(frozen=True)
class TrialSize:
    """How large a trial is.

    Attributes:
        trained: parameters that it trains.
        parameters: parameters of its model.
        checkpoint_bytes: of its checkpoint, which holds what it trains.
        state_bytes: of its full state, from which it resumes.
        memory_bytes: weights, gradients, optimizer and average, but no activations: those of a
            base in float32, and of a trial's own copy of it.
    """

    trained: int
    parameters: int
    checkpoint_bytes: float
    state_bytes: float
    memory_bytes: float


def trial_size(skeleton: SpeechModel, settings: TrialSettings) -> TrialSize:
    """Work out how large a trial is.

    Raises:
        ModelError: the settings do not fit the model.
    """
    model = for_trial(skeleton, settings)
    trained, parameters = trained_parameters(model)
    kept = _kept(model, settings, trained)
    live = BYTES * trained
    moments = MOMENTS[settings.optimizer] * live
    state = live + moments + BYTES * kept
    base = BYTES * sum(part.numel() for part in skeleton.parameters())
    copied = 0 if settings.method == "lora" else BYTES * parameters
    added = live if settings.method == "lora" else 0
    gradient = live
    return TrialSize(
        trained=trained,
        parameters=parameters,
        checkpoint_bytes=live,
        state_bytes=state,
        memory_bytes=base + copied + added + gradient + moments + BYTES * kept,
    )


def _kept(model: nn.Module, settings: TrialSettings, trained: int) -> int:
    """Count the weights that are kept beside the live ones: their average, and the first ones."""
    first = trained if settings.base_share else 0
    if settings.ema_decay is None:
        return first
    averaged = sum(part.numel() for part in averaged_parts(model, settings).values())
    return first + averaged
