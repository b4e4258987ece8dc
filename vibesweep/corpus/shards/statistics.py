"""Means and covariances of data that does not fit into memory, in one pass over its parts.

The order of the parts plays no role.

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

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Moments:
    """Number of rows, their mean, and the sum of products of their deviations from it.

    Two of them are added by the update of Chan, Golub and LeVeque (1983). Unlike plain sums of
    squares it loses no digits where the mean is large against the spread.

    Attributes:
        count: number of rows seen, N.
        mean: mean of each column [W].
        products: sum over the rows of the squared deviations of each column [W], or of the
            products of deviations of all pairs of columns [W, W].
    """

    count: int
    mean: Array
    products: Array

    @classmethod
    def none(cls, width: int, *, pairs: bool = False) -> Moments:
        """Return the moments of no rows, with products [W], or [W, W] where ``pairs`` is set."""
        mean = np.zeros(width)
        products = np.zeros((width, width) if pairs else width)
        return cls(0, mean, products)

    @classmethod
    def of(cls, rows: Rows, *, pairs: bool = False) -> Moments:
        """Return the moments of rows [N, W], with products [W], or [W, W] where ``pairs`` is set.

        The rows are copied as float64, so pass those of one clip or one row group at a time.
        """
        count, width = rows.shape
        if not count:
            return cls.none(width, pairs=pairs)
        deviations = rows.astype(np.float64)
        mean = deviations.mean(axis=0)
        deviations -= mean
        if pairs:
            return cls(count, mean, deviations.T @ deviations)
        squares = np.square(deviations)
        return cls(count, mean, squares.sum(axis=0))

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of the rows of both; both must have products of the same shape."""
        if not other.count:
            return self
        if not self.count:
            return other
        count = self.count + other.count
        shift = other.mean - self.mean
        other_share = other.count / count
        mean = self.mean + shift * other_share
        if self.products.ndim == 2:
            between = np.outer(shift, shift)
        else:
            between = np.square(shift)
        weight = self.count * other.count / count
        products = self.products + other.products
        products += between * weight
        return Moments(count, mean, products)

    @property
    def covariance(self) -> Array:
        """Population variance of each column [W], or covariance matrix [W, W] of all rows seen."""
        divisor = max(self.count, 1)
        return self.products / divisor


def added_up(parts: Iterable[Moments]) -> Moments:
    """Return the moments of one or more parts together."""
    return functools.reduce(operator.add, parts)
