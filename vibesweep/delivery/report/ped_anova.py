"""PED-ANOVA: how much each setting decides whether a trial is a good one.

Watanabe, Bansal and Hutter 2023 (arXiv 2304.10255): a setting matters as far as the values of the
good trials lie elsewhere than those of all. The same as Optuna's, whose import brings scikit-learn
along, where that is installed, and takes 1 to 2 s.

Shapes: ``N`` trials, ``G`` cells of a setting's grid, ``K`` kernels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MOST_CELLS = 50
NOTHING = 1e-12
"""Added to densities, that none is divided by 0."""
NARROWEST_CELLS = 0.5 / 1.64
"""Least width of a kernel: 90 % of it lie in one cell."""


def shares_of_settings(
    distributions: Mapping[str, BaseDistribution],
    tried: Sequence[Mapping[str, Any]],
    losses: Sequence[float],
    good_share: float,
) -> dict[str, float]:
    """Return each setting's share of what makes a trial good; together they are 1.

    Args:
        distributions: of the settings, by name; each trial has all of them.
        tried: what each trial [N] has.
        losses: of each trial [N].
        good_share: how many trials count as good, from 0 to 1.
    """
    is_good = _best(losses, good_share)
    divergences = {}
    for name, distribution in distributions.items():
        values = [settings[name] for settings in tried]
        divergences[name] = _divergence(distribution, values, is_good)
    total = sum(divergences.values())
    if not total:
        return dict.fromkeys(divergences, 1 / len(divergences))
    return {name: divergence / total for name, divergence in divergences.items()}


def _best(losses: Sequence[float], share: float) -> npt.NDArray[np.bool_]:
    """Tell of each trial [N] whether it is among the best; those of equal loss are too."""
    found = np.asarray(losses)
    count = math.ceil(share * len(found))
    worst_of_them = np.sort(found)[count - 1]
    is_good: npt.NDArray[np.bool_] = found <= worst_of_them
    return is_good


def _divergence(
    distribution: BaseDistribution, values: Sequence[Any], is_good: npt.NDArray[np.bool_]
) -> float:
    """Return Pearson's divergence of the good trials' density from that of all."""
    if distribution.single():
        return 0.0
    numbers = [distribution.to_internal_repr(value) for value in values]
    internal = np.array(numbers)
    if isinstance(distribution, CategoricalDistribution):
        size = len(distribution.choices)
        cells = internal.astype(np.int64)
        density = _density_of_choices
    else:
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        size = _cells_of_range(distribution)
        cells = _cells(distribution, internal, size)
        density = _density_of_range
    good_cells = cells[is_good]
    counts = np.bincount(cells, minlength=size)
    good_counts = np.bincount(good_cells, minlength=size)
    of_all = density(counts) + NOTHING
    of_good = density(good_counts) + NOTHING
    excess = of_good / of_all - 1
    squares = excess**2
    divergence = np.dot(of_all, squares)
    return float(divergence)


def _cells_of_range(distribution: IntDistribution | FloatDistribution) -> int:
    """Count the cells of a range: its values, where these are few."""
    low = distribution.low
    high = distribution.high
    if isinstance(distribution, IntDistribution) and distribution.log:
        doublings = math.log2(high - low + 1)
        values = math.ceil(doublings) + 1
    elif distribution.step is None:
        values = MOST_CELLS
    else:
        steps = (high - low) / distribution.step
        values = round(steps) + 1
    return min(values, MOST_CELLS)


def _cells(distribution: IntDistribution | FloatDistribution, values: Numbers, size: int) -> Counts:
    """Return the cell of each value [N]; one in the middle of two belongs to the lower."""
    low = float(distribution.low)
    high = float(distribution.high)
    if distribution.log:
        low = math.log(low)
        high = math.log(high)
        values = np.log(values)
    cell = (high - low) / (size - 1)
    places = (values - low) / cell
    nearest = np.ceil(places - 0.5)
    whole = nearest.astype(np.int64)
    return np.clip(whole, 0, size - 1)


def _density_of_choices(counts: Counts) -> Numbers:
    """Return a density [G] over choices: a kernel for each that was seen, and an even one."""
    seen = np.flatnonzero(counts)
    count = len(seen) + 1
    kernels = np.full((count, len(counts)), 1 / count)  # [K, G]
    for number, choice in enumerate(seen):
        kernels[number, choice] += 1.0
    return _mixed(kernels, counts[seen])


def _density_of_range(counts: Counts) -> Numbers:
    """Return a density [G] over the cells of a range: normal kernels, and a wide one."""
    seen = np.flatnonzero(counts)
    weights = counts[seen]
    size = len(counts)
    width = _width(seen, weights)
    kernels = [_normal(float(cell), width, size) for cell in seen]
    middle = (size - 1) / 2
    wide = _normal(middle, size, size)
    kernels.append(wide)
    return _mixed(np.array(kernels), weights)


def _normal(middle: float, width: float, size: int) -> Numbers:
    """Return how much of a normal distribution lies in each cell [G], up to a factor."""
    edges = np.arange(size + 1) - 0.5
    places = (edges - middle) / (width * math.sqrt(2))
    below = [math.erf(place) for place in places]
    return np.diff(below)


def _width(seen: Counts, weights: Counts) -> float:
    """Return the kernels' standard deviation, in cells, by Scott's rule (1992)."""
    reached = np.cumsum(weights)
    total = int(reached[-1])
    mean = np.average(seen, weights=weights)
    squares = (seen - mean) ** 2
    variance = np.dot(squares, weights) / max(1, total - 1)
    spread = math.sqrt(variance)
    first = np.searchsorted(reached, total // 4, side="left")
    last = np.searchsorted(reached, total * 3 // 4, side="right")
    known = len(seen) - 1
    middle_half = seen[min(int(last), known)] - seen[first]
    narrower = min(middle_half / 1.34, spread)
    shrunk = math.pow(total, -0.2)
    width = 1.059 * narrower * shrunk
    return max(float(width), NARROWEST_CELLS)


def _mixed(kernels: Numbers, counts: Counts) -> Numbers:
    """Mix kernels [K, G] by how often each was seen; the last one counts as one trial."""
    totals = kernels.sum(axis=1, keepdims=True)
    weights = np.append(counts, 1.0)
    even = kernels / totals
    mixed: Numbers = weights @ even
    mixed /= weights.sum()
    return mixed
