"""Tables of recorded learning curves: a replay trains a configuration by reading its row.

A table is a Parquet file. Its column `validation_loss` holds a list of losses for each row, all of
one length; every other column is a hyper-parameter. Nothing else is known of it: the range and the
scale of a hyper-parameter are taken from its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vibesweep.sweep.search.axes import Axis

LOSSES = "validation_loss"
DECADES = 2
"""A column whose values span so many is searched in log scale."""


@dataclass(frozen=True)
class Column:
    """One hyper-parameter of a table.

    Attributes:
        name: as the search knows it: ``1-beta1`` where the distance to 1 is in log scale.
        distribution: what the search may suggest.
        places: each row's place between 0 and 1, or the number of its choice.
    """

    name: str
    distribution: BaseDistribution
    places: np.ndarray

    @classmethod
    def of(cls, name: str, values: pd.Series) -> Column:
        """Take range and scale from the values."""
        if values.dtype == bool or not pd.api.types.is_numeric_dtype(values):
            choices = sorted(values.astype(str).unique())
            places = values.astype(str).map(choices.index).to_numpy()
            return cls(name, CategoricalDistribution(choices), places)
        numbers = values.to_numpy(float)
        if _lies_below_one_in_log_scale(numbers):
            name, numbers = f"1-{name}", 1 - numbers
        log = _spans_decades(numbers)
        if log:  # a zero lies at the smallest value above it
            numbers = np.maximum(numbers, numbers[numbers > 0].min())
        low, high = float(numbers.min()), float(numbers.max())
        if pd.api.types.is_integer_dtype(values):
            distribution: BaseDistribution = IntDistribution(int(low), int(high), log=log)
        else:
            distribution = FloatDistribution(low, high, log=log)
        return cls(name, distribution, _places(numbers, low, high, log=log))

    def value(self, row: int) -> Any:
        """Return what a row has of it, as the search would suggest it."""
        place = self.places[row]
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices[place]
        return Axis.of(self.distribution).value(place)

    def distances(self, value: Any) -> np.ndarray:
        """Return each row's distance from a value; another choice is as far as a whole range."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                other: np.ndarray = self.places != choices.index(value)
                return other.astype(float)
            case FloatDistribution(low=low, high=high, log=log):
                pass
            case IntDistribution(low=low, high=high, log=log):
                pass
        apart: np.ndarray = self.places - _places(np.array([float(value)]), low, high, log=log)
        return apart


@dataclass(frozen=True)
class CurveTable:
    """The learning curves of one task.

    Attributes:
        task: the file's name.
        columns: its hyper-parameters.
        losses: [rows, evaluations], with ``inf`` for what is not finite.
        regrets: [rows, evaluations]: each loss over the smallest one, as a share of the median
            first loss over it; at most 1.
    """

    task: str
    columns: tuple[Column, ...]
    losses: np.ndarray
    regrets: np.ndarray

    @classmethod
    def read(cls, path: Path) -> CurveTable:
        """Read a table."""
        frame = pd.read_parquet(path)
        losses = np.stack(frame.pop(LOSSES).to_list()).astype(float)
        losses[~np.isfinite(losses)] = np.inf
        columns = tuple(Column.of(str(name), frame[name]) for name in frame)
        smallest = losses.min()
        regrets = np.minimum((losses - smallest) / (np.median(losses[:, 0]) - smallest), 1.0)
        return cls(path.stem, columns, losses, regrets)

    @property
    def rows(self) -> int:
        """How many configurations there are."""
        return int(self.losses.shape[0])

    @property
    def evaluations(self) -> int:
        """How many evaluations a whole training has."""
        return int(self.losses.shape[1])

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """The search space that a user would write for this table."""
        return {column.name: column.distribution for column in self.columns}

    def params(self, row: int) -> dict[str, Any]:
        """Return a row's hyper-parameters, as the search would suggest them."""
        return {column.name: column.value(row) for column in self.columns}

    def nearest(self, params: Mapping[str, Any], taken: np.ndarray) -> int:
        """Return the row nearest to a suggestion among those not taken yet."""
        squares = np.zeros(self.rows)
        for column in self.columns:
            squares += column.distances(params[column.name]) ** 2
        squares[taken] = np.inf
        return int(squares.argmin())


def _spans_decades(numbers: np.ndarray) -> bool:
    positive = numbers[numbers > 0]
    if numbers.min() < 0 or not positive.size:
        return False
    return bool(positive.max() / positive.min() >= 10**DECADES)


def _lies_below_one_in_log_scale(numbers: np.ndarray) -> bool:
    """Whether the distances to 1 lie evenly in log scale, as a momentum's do.

    Drawn so, values from 0.0005 to 0.9999 span decades themselves, with nearly all at the end.
    """
    distances = 1 - numbers
    if distances.min() <= 0 or not _spans_decades(distances):
        return False
    return not _spans_decades(numbers) or _leaning(distances) < _leaning(numbers)


def _leaning(numbers: np.ndarray) -> float:
    """Return how far from the middle of their range in log scale half of the values lie."""
    positive = numbers[numbers > 0]
    low, high = float(positive.min()), float(positive.max())
    places = _places(positive, low, high, log=True)
    return abs(float(np.median(places)) - 0.5)


def _places(numbers: np.ndarray, low: float, high: float, *, log: bool) -> np.ndarray:
    if low == high:
        return np.zeros_like(numbers)
    if log:
        numbers, low, high = np.log(numbers), float(np.log(low)), float(np.log(high))
    return (numbers - low) / (high - low)
