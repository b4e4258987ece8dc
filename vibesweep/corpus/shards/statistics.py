"""Means and covariances of what does not fit into memory: one pass, part by part, in any order of the parts.

Shapes: ``N`` rows, ``W`` columns.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """How many rows were seen, their mean [W], and the sum of their products about it: of each column [W], or of all pairs [W, W].

    Parts are added by the update of Chan, Golub and LeVeque (1983), which unlike plain sums of squares loses no digits where the mean
    is large against the spread.
    """

    count: int
    mean: Array
    products: Array

    @classmethod
    def none(cls, width: int, *, pairs: bool = False) -> Moments:
        """Of no rows at all."""
        return cls(0, np.zeros(width), np.zeros((width, width) if pairs else width))

    @classmethod
    def of(cls, rows: npt.NDArray[np.floating[Any]], *, pairs: bool = False) -> Moments:
        """Of rows [N, W]; those of one clip or one row group, which fit into memory as float64."""
        if not len(rows):
            return cls.none(rows.shape[1], pairs=pairs)
        exact = rows.astype(np.float64)
        mean = exact.mean(axis=0)
        exact -= mean
        return cls(len(rows), mean, exact.T @ exact if pairs else np.square(exact).sum(axis=0))

    def __add__(self, other: Moments) -> Moments:
        """Of the rows of both."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        apart = other.mean - self.mean
        between = np.outer(apart, apart) if self.products.ndim == 2 else np.square(apart)
        mean = self.mean + apart * (other.count / count)
        return Moments(
            count,
            mean,
            self.products + other.products + between * (self.count * other.count / count),
        )

    def folded(self, parts: int) -> Moments:
        """Of the rows that come of cutting each row into so many equal parts; of pairs only these moments know enough."""
        means, spreads = self.mean.reshape(parts, -1), np.diagonal(self.products).reshape(parts, -1)
        mean = means.mean(axis=0)
        return Moments(
            self.count * parts,
            mean,
            spreads.sum(axis=0) + self.count * np.square(means - mean).sum(axis=0),
        )

    def to_bytes(self) -> bytes:
        """As safetensors, in double precision."""
        return save({"count": np.array([self.count]), "mean": self.mean, "products": self.products})

    @classmethod
    def from_bytes(cls, content: bytes) -> Moments:
        """The moments of such bytes."""
        found = load(content)
        return cls(int(found["count"][0]), found["mean"], found["products"])

    @property
    def covariance(self) -> Array:
        """The variance of each column [W], or the covariance matrix [W, W], of all rows seen (divided by their number)."""
        return self.products / max(self.count, 1)


def added_up(parts: Iterable[Moments]) -> Moments:
    """The moments of one or more parts together."""
    return functools.reduce(operator.add, parts)
