"""How long a trial may train: in optimizer steps, in epochs, or in seconds of speech heard."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vibesweep.config.checks import AT_LEAST_ONE, check_ranges, check_types, refuse
from vibesweep.config.trial import TrialSettings

UNITS = ("steps", "epochs", "speech_s")
NAME_ONE = "choose one of max_steps, max_epochs and max_speech_s, with the grace of the same unit"
ROUNDING = 1e-6
"""Quotients of floats end a hair beside whole numbers of steps."""


@dataclass(frozen=True)
class Budget:
    """How long a trial may train, and where ASHA's rungs lie.

    It is given in one of three units, its maximum and its grace alike. Epochs and seconds fit a
    corpus of any length: a sweep turns them into steps (:meth:`in_steps`) before its first trial.
    The rungs are at grace, grace x factor, grace x factor², ... below the maximum.

    Attributes:
        max_steps: optimizer steps of a whole trial.
        grace_steps: steps before it is decided for the first time who goes on.
        reduction_factor: at the first rung, one trial in so many goes on, and so from rung to rung.
        max_epochs: how often a whole trial hears each training clip.
        grace_epochs: the grace, in epochs.
        max_speech_s: seconds of speech that a whole trial hears.
        grace_speech_s: the grace, in seconds of speech.
        least_steps: fewest steps that epochs or seconds come to. A corpus so short that they come
            to less is heard more often, and the grace grows alike.

    Raises:
        SpaceError: no unit or several, a grace beyond the maximum, or a factor that leaves no rung.
    """

    max_steps: int | None = None
    grace_steps: int | None = None
    reduction_factor: int = 3
    max_epochs: float | None = None
    grace_epochs: float | None = None
    max_speech_s: float | None = None
    grace_speech_s: float | None = None
    least_steps: int = 1

    def __post_init__(self) -> None:
        """Refuse budgets that have no rung."""
        check_types(self)
        check_ranges(self, ((AT_LEAST_ONE, ("least_steps",)),))
        units = [unit for unit in UNITS if self._named(unit)]
        if len(units) != 1:
            found = f"it is given in {' and '.join(units)}" if units else "it names no maximum"
            raise refuse(self, "max_steps", found, NAME_ONE)
        self._check_amounts(units[0])
        if self.reduction_factor < 2:
            found = f"reduction_factor is {self.reduction_factor}"
            raise refuse(self, "reduction_factor", found, "choose 2 or more")

    def _check_amounts(self, unit: str) -> None:
        most, grace = self._amounts(unit)
        if most is not None and grace is not None:
            if 0 < grace <= most < math.inf:
                return
        found = f"grace_{unit} is {grace} and max_{unit} is {most}"
        least = "1 <=" if unit == "steps" else "0 <"
        fix = f"choose {least} grace_{unit} <= max_{unit}"
        raise refuse(self, f"grace_{unit}", found, fix)

    def _named(self, unit: str) -> bool:
        return self._amounts(unit) != (None, None)

    def _amounts(self, unit: str) -> tuple[float | None, float | None]:
        amounts = {
            "steps": (self.max_steps, self.grace_steps),
            "epochs": (self.max_epochs, self.grace_epochs),
            "speech_s": (self.max_speech_s, self.grace_speech_s),
        }
        return amounts[unit]

    def in_steps(self, clips: int, speech_s: float, settings: TrialSettings) -> Budget:
        """Return this budget in steps, for a corpus and the batch of some settings.

        Args:
            clips: training clips of the corpus.
            speech_s: seconds of speech in them.
            settings: say how much a step holds. Where a space sweeps that, all its trials take the
                same number of steps, so that ASHA can compare them.
        """
        if self.max_steps is not None:
            return self
        epoch = epoch_steps(clips, speech_s, settings)
        if self.max_epochs is not None:
            most, grace = self._amounts("epochs")
            steps_a_unit = float(epoch)
        else:
            most, grace = self._amounts("speech_s")
            steps_a_unit = epoch / speech_s
        assert most is not None
        assert grace is not None
        steps = round(most * steps_a_unit)
        steps = max(steps, self.least_steps)
        # Rounded up: rounded down, a last rung could lie right before the end
        grace_steps = math.ceil(steps * grace / most - ROUNDING)
        return Budget(steps, grace_steps, self.reduction_factor)

    @property
    def last_step(self) -> int:
        """The step at which a trial is complete. It is known of a budget in steps."""
        assert self.max_steps is not None, "the corpus is not known yet"
        return self.max_steps

    @property
    def report_steps(self) -> tuple[int, ...]:
        """Steps at which a trial is validated: every grace period, each rung, and the end."""
        assert self.grace_steps is not None, "the corpus is not known yet"
        periods = range(self.grace_steps, self.last_step, self.grace_steps)
        return tuple(sorted({*periods, *self.rung_steps, self.last_step}))

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Steps to which one trial in ``reduction_factor`` comes of those at the rung before."""
        assert self.grace_steps is not None, "the corpus is not known yet"
        rungs = []
        step = self.grace_steps
        while step < self.last_step:
            rungs.append(step)
            step *= self.reduction_factor
        return tuple(rungs)


def epoch_steps(clips: int, speech_s: float, settings: TrialSettings) -> int:
    """Return how many optimizer steps hear each clip once."""
    steps = clips / settings.batch_clips
    if settings.batch_seconds is not None:
        steps = speech_s / settings.batch_seconds
    return max(int(steps + ROUNDING), 1)
