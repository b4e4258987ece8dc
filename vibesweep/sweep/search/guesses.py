"""How a search leans towards what its user guesses, and leaves a bad guess.

A range has a Cauchy distribution around the guess, whose tails are heavy: some of the draws lie far
off, whatever was guessed. Of choices without an order the guess is drawn more often than any other.

Shapes: N draws, S settings, K choices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vibesweep.config import Guess
from vibesweep.config.guess import FAIRLY, LITTLE, VERY
from vibesweep.sweep.search.axes import Axis

SCALES = {LITTLE: 0.3, FAIRLY: 0.1, VERY: 0.03}
"""Half of the draws lie within so much of a range of the guess; where that is wide, more do."""
ODDS = {LITTLE: 2.0, FAIRLY: 5.0, VERY: 20.0}
"""How many times as often as another choice the guess is drawn."""
FADING = 2
"""After n results a guess counts FADING / n, in deviations of the scores.

As in Hvarfner et al., πBO: Augmenting acquisition functions with user beliefs, 2022. With their 10,
20 trials did not leave a guess that was wrong and very sure; with 2 they do.
"""


class _Belief(Protocol):
    """What is likely of one setting, in places between 0 and 1."""

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Return the places [N] that have these shares [N] of all draws below them."""

    def log_density(self, places: np.ndarray) -> np.ndarray:
        """Return the log density [N] at places [N]; 0 is that of even draws."""


class _Cauchy:
    """A Cauchy distribution around a place, cut off at 0 and 1."""

    def __init__(self, place: float, scale: float) -> None:
        self._place = place
        self._scale = scale
        self._low = self._share_below(0.0)
        high = self._share_below(1.0)
        self._span = high - self._low

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        below = self._span * shares
        below += self._low
        angles = math.pi * below
        places = self._scale * np.tan(angles)
        places += self._place
        within: np.ndarray = np.clip(places, 0.0, 1.0)
        return within

    def log_density(self, places: np.ndarray) -> np.ndarray:
        away = places - self._place
        away /= self._scale
        unlikely = np.log1p(away**2)
        unlikely += math.log(math.pi)
        unlikely += math.log(self._scale)
        unlikely += math.log(self._span)
        density: np.ndarray = -unlikely
        return density

    def _share_below(self, place: float) -> float:
        """Return the share of an endless Cauchy distribution below a place, less a half."""
        away = place - self._place
        angle = math.atan(away / self._scale)
        return angle / math.pi


class _Choice:
    """Choices in equal parts of the range, of which one is likelier than the others."""

    def __init__(self, choice: int, choices: int, odds: float) -> None:
        weights = np.ones(choices)
        weights[choice] = odds
        total = weights.sum()
        self._shares = weights / total
        filled = self._shares.cumsum()
        self._ends = np.append(0.0, filled)

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        count = len(self._ends)
        parts = np.linspace(0.0, 1.0, count)
        places: np.ndarray = np.interp(shares, self._ends, parts)
        return places

    def log_density(self, places: np.ndarray) -> np.ndarray:
        count = len(self._shares)
        known = np.nan_to_num(places)
        numbers = np.floor(known * count)
        last = count - 1
        numbers = np.minimum(numbers, last)
        choices = numbers.astype(int)
        shares = self._shares[choices]
        density: np.ndarray = np.log(shares * count)
        return density


class Guesses:
    """What is likely of a space's settings before anything is known of them."""

    def __init__(self, axes: Mapping[str, Axis], guesses: Mapping[str, Guess]) -> None:
        """Lay the guesses out on the axes; those of settings that are not there do not count."""
        self._beliefs: dict[int, _Belief] = {}
        for number, name in enumerate(axes):
            if name in guesses:
                axis = axes[name]
                guess = guesses[name]
                self._beliefs[number] = _belief_of(axis, guess)

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Turn even draws [N, S] into draws near the guesses; other settings stay as they are."""
        places = shares.copy()
        for number, belief in self._beliefs.items():
            own = shares[:, number]
            places[:, number] = belief.quantiles(own)
        return places

    def bonus(self, places: np.ndarray, results: int) -> np.ndarray:
        """Return what the guesses add to the upper bound [N] of places [N, S] after some results.

        A setting that is not asked for (NaN) adds nothing.
        """
        count = len(places)
        added = np.zeros(count)
        for number, belief in self._beliefs.items():
            own = places[:, number]
            density = belief.log_density(own)
            asked = np.isfinite(own)
            added[asked] += density[asked]
        return added * FADING / results


def _belief_of(axis: Axis, guess: Guess) -> _Belief:
    place = axis.place(guess.value)
    if axis.ordered:
        scale = SCALES[guess.sure]
        return _Cauchy(place, scale)
    choices = axis.columns
    choice = int(place * choices)
    odds = ODDS[guess.sure]
    return _Choice(choice, choices, odds)
