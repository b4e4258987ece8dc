"""A space's settings as numbers that a model of the losses can be fitted to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@dataclass(frozen=True)
class Axis:
    """One setting between 0 and 1: in log scale where the space has it so, choices in equal parts.

    Attributes:
        low: the lower end of the range, half below the first whole number; or 0.
        high: the upper end, or the number of values.
        log: whether the range is divided by logarithms.
        values: the choices, or the steps of a range, in their order; without them it is continuous.
        ordered: whether neighbours are alike: ranges, and choices that are all numbers.
    """

    low: float
    high: float
    log: bool = False
    values: Sequence[Any] | None = None
    ordered: bool = True

    @classmethod
    def of(cls, distribution: BaseDistribution) -> Axis:
        """Lay a distribution out."""
        match distribution:
            case CategoricalDistribution(choices=choices):
                return _of_choices(choices)
            case IntDistribution(low=low, high=high, log=True):
                numbers = range(low, high + 1)
                return cls(low - 0.5, high + 0.5, log=True, values=numbers)
            case IntDistribution(low=low, high=high, step=step):
                numbers = range(low, high + 1, step)
                return cls(0.0, len(numbers), values=numbers)
            case FloatDistribution(low=low, high=high, step=float(step)):
                count = round((high - low) / step) + 1
                multiples = low + step * np.arange(count)
                within = np.minimum(multiples, high).tolist()
                return cls(0.0, count, values=within)
            case FloatDistribution(low=low, high=high, log=log):
                return cls(low, high, log=log)
        raise TypeError(distribution)

    @property
    def columns(self) -> int:
        """How many numbers a value is to a model."""
        if self.ordered or self.values is None:
            return 1
        return len(self.values)

    def place(self, value: Any) -> float:
        """Return where a value lies: the middle of its part, where it is one of several."""
        (place,) = self.places([value])
        return float(place)

    def places(self, values: Sequence[Any]) -> np.ndarray:
        """Return where values lie [N]."""
        if self.low == self.high:
            return np.full(len(values), 0.5)
        start, span = self._scale()
        positions = self._positions(values)
        places = positions - start
        places /= span
        # A setting may have another range in each branch
        within: np.ndarray = np.clip(places, 0.0, 1.0)
        return within

    def value(self, place: float) -> Any:
        """Return the value that lies at a place."""
        start, span = self._scale()
        position = start + place * span
        if self.log:
            position = math.exp(position)
        if self.values is None:
            return min(max(position, self.low), self.high)
        number = int(position)
        if self.log:
            number = round(position) - self.values[0]
        last = len(self.values) - 1
        number = min(max(number, 0), last)
        return self.values[number]

    def snapped(self, places: np.ndarray) -> np.ndarray:
        """Return places [N] where values lie."""
        if self.values is None or self.log:
            return places
        count = len(self.values)
        numbers = np.floor(places * count)
        numbers = np.clip(numbers, 0, count - 1)
        middles: np.ndarray = (numbers + 0.5) / count
        return middles

    def spread(self, places: np.ndarray) -> np.ndarray:
        """Return places [N] as a model's numbers [N, columns]; NaN, for no value, is the middle."""
        if self.columns == 1:
            middle = np.isnan(places)
            known = np.where(middle, 0.5, places)
            return known[:, None]
        numbers = np.floor(places * self.columns)
        all_numbers = np.arange(self.columns)
        one_of: np.ndarray = numbers[:, None] == all_numbers
        return np.where(one_of, math.sqrt(0.5), 0.0)  # two choices are 1 apart

    def _scale(self) -> tuple[float, float]:
        """Return where the range begins and how long it is, in logarithms where it is so."""
        if not self.log:
            return self.low, self.high - self.low
        start = math.log(self.low)
        return start, math.log(self.high) - start

    def _positions(self, values: Sequence[Any]) -> np.ndarray:
        position_of = self._position_of()
        positions = []
        for value in values:
            position = position_of(value)
            positions.append(position)
        return np.array(positions)

    def _position_of(self) -> Callable[[Any], float]:
        """Return what says where on the scale a value lies."""
        if self.log:
            return math.log
        if self.values is None:
            return float
        if self.ordered:
            return self._step_of
        return self._part_of

    def _step_of(self, value: float) -> float:
        """Return the middle of a step: a multiple may be a hair beside its own."""
        assert self.values is not None
        steps = np.array(self.values)
        apart = np.abs(steps - value)
        nearest = apart.argmin()
        return float(nearest) + 0.5

    def _part_of(self, choice: Any) -> float:
        assert self.values is not None
        number = self.values.index(choice)
        return number + 0.5


def _of_choices(choices: Sequence[Any]) -> Axis:
    """Lay choices out: numbers in their order, which have neighbours, and others as they come."""
    ordered = all(type(choice) in (int, float) for choice in choices)
    values = sorted(choices) if ordered else choices
    count = len(values)
    return Axis(0.0, count, values=values, ordered=ordered)
