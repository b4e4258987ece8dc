"""Checks that the dataclasses of a sweep share: choices, ranges and types of their fields."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vibesweep.errors import CombinationError, SpaceError


@dataclass(frozen=True)
class Range:
    """A range that a number may be in, and the words for it: "choose {wish}"."""

    holds: Callable[[Any], bool]
    wish: str


AT_LEAST_ONE = Range(lambda value: value >= 1, "at least 1")
ABOVE_ZERO = Range(lambda value: 0 < value < math.inf, "above 0, and no infinity")
AT_LEAST_ZERO = Range(lambda value: 0 <= value < math.inf, "at least 0, and no infinity")
FROM_ZERO_TO_ONE = Range(lambda value: 0 <= value <= 1, "from 0 to 1")
SEED = Range(lambda value: 0 <= value < 2**32, "at least 0 and below 4294967296, which is 2**32")
"""numpy's and Optuna's generators take no larger seed, and none takes a negative one."""
BELOW_ONE = Range(lambda value: value < 1, "below 1")

Ranges = Iterable[tuple[Range, Sequence[str]]]


def refuse(settings: object, name: str, found: str, fix: str) -> SpaceError:
    """Make the error of a field that has a value it cannot have."""
    return SpaceError(found, where=f"{type(settings).__name__}.{name}", fix=fix)


def refuse_together(settings: object, name: str, found: str, fix: str) -> CombinationError:
    """Make the error of fields that do not go together; ``name`` is the one to change."""
    return CombinationError(found, where=f"{type(settings).__name__}.{name}", fix=fix)


def check_choices(settings: object, choices: Mapping[str, Sequence[str]]) -> None:
    """Refuse a word that is not among a field's choices.

    Raises:
        SpaceError: a field has another value.
    """
    for name, words in choices.items():
        value = getattr(settings, name)
        if value in words:
            continue
        known = ", ".join(words)
        raise refuse(settings, name, f"{name} is {value!r}", f"choose among {known}")


def check_ranges(settings: object, ranges: Ranges) -> None:
    """Refuse a number outside one of its ranges; ``None`` is in all of them.

    Raises:
        SpaceError: a field is outside.
    """
    for allowed, names in ranges:
        for name in names:
            value = getattr(settings, name)
            if value is None or allowed.holds(value):
                continue
            fix = f"choose {allowed.wish}"
            raise refuse(settings, name, f"{name} is {value!r}", fix)


def check_types(settings: Any) -> None:
    """Refuse values of other types than the fields', and turn integers into floats where declared.

    Raises:
        SpaceError: a field has a value of another type.
    """
    own_kind: Any = type(settings)
    for name, hint in _hints(own_kind).items():
        value = getattr(settings, name)
        kinds = _classes_of(hint)
        if type(value) is int and float in kinds:
            value = float(value)
            object.__setattr__(settings, name, value)  # the dataclass is frozen
        if _is_one_of(value, kinds):
            continue
        kind = getattr(hint, "__name__", str(hint))
        raise refuse(settings, name, f"{name} is {value!r}", f"{name} takes {kind}")


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # bool is an int to Python, but no count is meant by True
        return bool in kinds
    return isinstance(value, kinds)


def _classes_of(hint: Any) -> tuple[type, ...]:
    """Return the classes of a hint: both of ``float | None``, and tuple of ``tuple[int, ...]``."""
    members = [hint]
    if get_origin(hint) in (Union, UnionType):
        members = list(get_args(hint))
    classes = []
    for member in members:
        generic = get_origin(member)
        classes.append(generic or member)
    return tuple(classes)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
