"""Values that take the place of what a space suggests: ``--set learning_rate=1e-3``."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from vibesweep.config import Sweep
from vibesweep.errors import SpaceError

OPTION = "--set"


class FixedValues:
    """An Optuna trial that answers with fixed values and asks Optuna for all others."""

    def __init__(self, trial: Any, values: Mapping[str, Any]) -> None:
        """Stand between a space and a trial."""
        self._trial = trial
        self._values = values

    def suggest_float(self, name: str, *range_: Any, **options: Any) -> Any:
        """Return the fixed value, or have one suggested."""
        return self._suggest("suggest_float", name, *range_, **options)

    def suggest_int(self, name: str, *range_: Any, **options: Any) -> Any:
        """Return the fixed value, or have one suggested."""
        return self._suggest("suggest_int", name, *range_, **options)

    def suggest_categorical(self, name: str, *choices: Any, **options: Any) -> Any:
        """Return the fixed value, or have one suggested."""
        return self._suggest("suggest_categorical", name, *choices, **options)

    def __getattr__(self, name: str) -> Any:
        """Be the trial in all else."""
        return getattr(self._trial, name)

    def _suggest(self, verb: str, name: str, *range_: Any, **options: Any) -> Any:
        if name in self._values:
            return self._values[name]
        suggest = getattr(self._trial, verb)
        return suggest(name, *range_, **options)


def with_fixed(sweep: Sweep, written: Iterable[str]) -> Sweep:
    """Return the sweep with values that the command line fixes, as ``name=value``.

    Raises:
        SpaceError: there is no ``=``, or no setting of that name.
    """
    fixed = dict(sweep.fixed)
    for text in written:
        name, equals, value = text.partition("=")
        if not equals:
            found = f"{text!r} has no value"
            raise SpaceError(found, where=OPTION, fix="write it as name=value")
        fixed[name.strip()] = _value_of(value.strip())
    return dataclasses.replace(sweep, fixed=fixed)


def _value_of(text: str) -> Any:
    """Read a number, true, false or none, and anything else as text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | str) else text
