"""A point of ``try_first`` held against the space: each value, and whether any is missing.

Optuna itself would draw what is missing and what is outside of its range, with a warning at most.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FixedTrial

from vibesweep.config import TrialSettings
from vibesweep.errors import SpaceError

STEP_ROUNDING = 1e-6
"""A float that was written as a multiple of a step may miss it by so much of a step."""


class PointTrial(FixedTrial):
    """An Optuna trial that answers with a point's values, once each has been checked.

    Attributes:
        problem: why the point cannot be tried, once that is known. The space's function may raise
            something else afterwards, or have caught the error.
    """

    def __init__(self, point: Mapping[str, Any], where: str) -> None:
        """Answer with a point; ``where`` is its place in the space file."""
        super().__init__(dict(point))
        self.problem: SpaceError | None = None
        self._point = point
        self._where = where

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the point's number."""
        value = self._value(name)
        self._check_kind(name, value, int, float)
        self._check_range(name, value, low, high)
        self._check_step(name, value, low, step)
        return super().suggest_float(name, low, high, step=step, log=log)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the point's whole number."""
        value = self._value(name)
        self._check_kind(name, value, int)
        self._check_range(name, value, low, high)
        self._check_step(name, value, low, step)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the point's choice."""
        value = self._value(name)
        is_bool = isinstance(value, bool)  # True is 1 to Python, and not to whoever wrote it
        for choice in choices:
            if choice == value and isinstance(choice, bool) == is_bool:
                break
        else:
            shown = [repr(choice) for choice in choices]
            listed = ", ".join(shown)
            self._refuse_value(name, value, f"choose among the space's {listed}")
        return super().suggest_categorical(name, choices)

    def check_all_used(self) -> None:
        """Refuse values that the space never asked for.

        Raises:
            SpaceError: there are such.
        """
        asked = self.params
        unused = sorted(name for name in self._point if name not in asked)
        if not unused:
            return
        listed = ", ".join(unused)
        found = f"the space does not suggest {listed} with these values"
        self._refuse(found, _what_is_meant(unused[0]))

    def _value(self, name: str) -> Any:
        if name not in self._point:
            found = f"it has no {name}, which the space suggests with these values"
            self._refuse(found, f"give it a value for {name}")
        return self._point[name]

    def _check_kind(self, name: str, value: Any, *kinds: type) -> None:
        """Refuse a value of another type; the last of these is the one that is named."""
        is_bool = isinstance(value, bool)  # which Python takes for an int
        if is_bool or not isinstance(value, kinds):
            kind = kinds[-1].__name__
            self._refuse_value(name, value, f"{name} takes {kind}")

    def _check_range(self, name: str, value: float, low: float, high: float) -> None:
        if not low <= value <= high:
            fix = f"choose {low:g} to {high:g}, the space's range"
            self._refuse_value(name, value, fix)

    def _check_step(self, name: str, value: float, low: float, step: float | None) -> None:
        if step is None:
            return
        steps = (value - low) / step
        off_step = abs(steps - round(steps))
        if off_step > STEP_ROUNDING:
            fix = f"choose {low:g} and a multiple of {step:g}, the space's step"
            self._refuse_value(name, value, fix)

    def _refuse_value(self, name: str, value: Any, fix: str) -> None:
        self._refuse(f"{name} is {value!r}", fix)

    def _refuse(self, found: str, fix: str) -> None:
        self.problem = self.problem or SpaceError(found, where=self._where, fix=fix)
        raise self.problem


def _what_is_meant(name: str) -> str:
    """Name the setting that a misspelt one is most like, if it is no setting at all."""
    known = TrialSettings.names()
    if name not in known:
        alike = difflib.get_close_matches(name, known, n=1)
        if alike:
            return f"{name} is no setting: perhaps {alike[0]} is meant"
    return "suggest it in the space, or fix it in settings"
