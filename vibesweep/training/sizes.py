"""What a trial takes on disk and in memory, found on a model's skeleton: no weights are read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial, trained_parameters
from vibesweep.models.asked import asked_of_model
from vibesweep.models.speech_model import SpeechModel
from vibesweep.training.optim.averaging import averaged_parts

BYTES = 4
"""Bytes of a number in float32, in which all that is trained is kept."""
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
        base_bytes: of the base's weights in float32, which all trials of a worker share.
        own_bytes: what a trial adds to that: its weights, or its own copy of the base, gradients,
            optimizer and average, but no activations.
    """

    trained: int
    parameters: int
    checkpoint_bytes: float
    state_bytes: float
    base_bytes: float
    own_bytes: float

    @property
    def memory_bytes(self) -> float:
        """What a worker holds that trains this trial alone."""
        return self.base_bytes + self.own_bytes


def trial_size(skeleton: SpeechModel, settings: TrialSettings) -> TrialSize:
    """Work out how large a trial is.

    Raises:
        ModelError: the settings do not fit the model.
    """
    model = for_trial(skeleton, settings)
    trained, parameters = trained_parameters(model)
    kept = _kept(model, settings, trained)
    trained_bytes = BYTES * trained
    gradient_bytes = trained_bytes
    # What an optimizer and an average add
    added_bytes = MOMENTS[settings.optimizer] * trained_bytes + BYTES * kept
    base_bytes = BYTES * sum(part.numel() for part in skeleton.parameters())
    # LoRA shares the base's weights; the other methods copy them all
    weights_bytes = trained_bytes if settings.method == "lora" else BYTES * parameters
    return TrialSize(
        trained=trained,
        parameters=parameters,
        checkpoint_bytes=trained_bytes,
        state_bytes=trained_bytes + added_bytes,
        base_bytes=base_bytes,
        own_bytes=weights_bytes + gradient_bytes + added_bytes,
    )


def sized_like(settings: TrialSettings) -> TrialSettings:
    """Return settings that keep only what decides a trial's size, equal for trials of one size."""
    asked = asked_of_model(settings)
    return replace(
        asked,
        optimizer=settings.optimizer,
        lora_rank=settings.lora_rank,
        lora_dora=settings.lora_dora,
        base_share=0.5 if settings.base_share else 0.0,
    )


def _kept(model: nn.Module, settings: TrialSettings, trained: int) -> int:
    """Count the weights that are kept beside the live ones: their average, and the first ones."""
    first = trained if settings.base_share else 0
    if settings.ema_decay is None:
        return first
    averaged = sum(part.numel() for part in averaged_parts(model, settings).values())
    return first + averaged
