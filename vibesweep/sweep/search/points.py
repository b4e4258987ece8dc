"""A point of ``try_first`` held against the space: each value, and whether any is missing.

Optuna itself would draw what is missing and what is outside of its range, with a warning at most.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
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
        allowed = FloatDistribution(low, high, log=log, step=step)
        self._check_number(name, value, (int, float), allowed)
        return super().suggest_float(name, low, high, step=step, log=log)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return the point's whole number."""
        value = self._value(name)
        allowed = IntDistribution(low, high, log=log, step=step)
        self._check_number(name, value, (int,), allowed)
        return super().suggest_int(name, low, high, step=step, log=log)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the point's choice."""
        value = self._value(name)
        same = [
            choice
            for choice in choices
            if choice == value and isinstance(choice, bool) == isinstance(value, bool)
        ]
        if not same:
            listed = ", ".join(repr(choice) for choice in choices)
            self._refuse(f"{name} is {value!r}", f"choose among the space's {listed}")
        return super().suggest_categorical(name, choices)

    def check_all_used(self) -> None:
        """Refuse values that the space never asked for.

        Raises:
            SpaceError: there are such.
        """
        unused = sorted(set(self._point) - set(self.params))
        if not unused:
            return
        found = f"the space does not suggest {', '.join(unused)} with these values"
        self._refuse(found, _what_is_meant(unused[0]))

    def _value(self, name: str) -> Any:
        if name not in self._point:
            found = f"it has no {name}, which the space suggests with these values"
            self._refuse(found, f"give it a value for {name}")
        return self._point[name]

    def _check_number(
        self,
        name: str,
        value: Any,
        kinds: tuple[type, ...],
        allowed: FloatDistribution | IntDistribution,
    ) -> None:
        if isinstance(value, bool) or not isinstance(value, kinds):
            kind = kinds[-1].__name__
            self._refuse(f"{name} is {value!r}", f"{name} takes {kind}")
        if not allowed.low <= value <= allowed.high:
            fix = f"choose {allowed.low:g} to {allowed.high:g}, the space's range"
            self._refuse(f"{name} is {value!r}", fix)
        if allowed.step is None:
            return
        steps = (value - allowed.low) / allowed.step
        if abs(steps - round(steps)) > STEP_ROUNDING:
            fix = f"choose {allowed.low:g} and a multiple of {allowed.step:g}, the space's step"
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
