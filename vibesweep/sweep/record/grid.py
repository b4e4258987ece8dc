"""How many trials a full grid over a space would have."""

from __future__ import annotations

import math

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

GRID_VALUES = 5
"""Values that a full grid is taken to have of a setting that is no choice among a few."""


def grid_values(distribution: BaseDistribution) -> int:
    """Count the values that a full grid has of a setting."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step is None or distribution.log:
        return GRID_VALUES
    span = distribution.high - distribution.low
    return min(GRID_VALUES, math.floor(span / distribution.step) + 1)
