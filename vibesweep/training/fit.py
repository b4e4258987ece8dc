"""Whether settings fit a model, found on its skeleton: no weights, no device, no clips.

It is the code that makes a trial which is run here, up to the first tensor with values.
"""

from __future__ import annotations

from vibesweep.config import TrialSettings
from vibesweep.errors import VibesweepError
from vibesweep.models.adapters import for_trial, plain_model
from vibesweep.models.asked import asked_of_model
from vibesweep.models.registry import ModelRef
from vibesweep.training.compute import apply_options, check_silence
from vibesweep.training.optim.averaging import averaged_parts


class ModelFit:
    """Tells whether settings fit a model. Settings that ask the same of it are looked at once."""

    def __init__(self, model: ModelRef) -> None:
        """Make the model's skeleton.

        Raises:
            ModelError: its description cannot be read.
        """
        self._skeleton = model.family.skeleton(model.address)
        self._known: dict[TrialSettings, VibesweepError | None] = {}

    def refusal(self, settings: TrialSettings) -> VibesweepError | None:
        """Return why the model does not take the settings, or None."""
        try:
            check_silence(self._skeleton, settings)
        except VibesweepError as error:
            return error
        asked = asked_of_model(settings)
        if asked not in self._known:
            self._known[asked] = self._look(asked)
        return self._known[asked]

    def _look(self, settings: TrialSettings) -> VibesweepError | None:
        try:
            model = for_trial(self._skeleton, settings)
            apply_options(plain_model(model), settings)
            if settings.ema_decay is not None:
                averaged_parts(model, settings)
        except VibesweepError as error:
            return error
        return None
