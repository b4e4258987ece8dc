"""How many trials are ahead of one, by what they score and by their price.

A trial beats another if it is worse in neither and better in one of both. Who is beaten by fewer is
ahead (Fonseca and Fleming, Genetic algorithms for multiobjective optimization, 1993), and of two
that as many beat, who scores better. Where all have one price that is the order of the scores.

Shapes: ``N`` trials.
"""

from __future__ import annotations

import numpy as np

FIRST_ROOM = 16


class Ranks:
    """The standings of trials at one step; entering one takes a few operations on ``N`` numbers."""

    def __init__(self) -> None:
        """Start with no trial."""
        self._count = 0
        self._scores = np.empty(FIRST_ROOM)
        self._prices = np.empty(FIRST_ROOM)
        self._beaten_by = np.empty(FIRST_ROOM, int)

    def enter(self, score: float, price: float) -> int:
        """Enter a trial; return how many are ahead of it."""
        scores, prices, beaten_by = self._known()
        beaten_by += _beats(score, price, scores, prices)
        beating = _is_beaten(score, price, scores, prices).sum()
        fewer = beaten_by < beating
        tied = (beaten_by == beating) & (scores < score)
        ahead = int((fewer | tied).sum())
        self._append(score, price, int(beating))
        return ahead

    def remove(self, score: float, price: float) -> None:
        """Leave a trial of these figures out again."""
        scores, prices, beaten_by = self._known()
        beaten_by -= _beats(score, price, scores, prices)
        (places,) = np.nonzero((scores == score) & (prices == price))
        last = self._count - 1
        for column in (self._scores, self._prices, self._beaten_by):
            column[places[0]] = column[last]
        self._count = last

    def _known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = self._count
        return self._scores[:count], self._prices[:count], self._beaten_by[:count]

    def _append(self, score: float, price: float, beaten_by: int) -> None:
        if self._count == len(self._scores):
            self._scores = np.resize(self._scores, 2 * self._count)
            self._prices = np.resize(self._prices, 2 * self._count)
            self._beaten_by = np.resize(self._beaten_by, 2 * self._count)
        self._scores[self._count] = score
        self._prices[self._count] = price
        self._beaten_by[self._count] = beaten_by
        self._count += 1


def _beats(score: float, price: float, scores: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Return which of the trials [N] one of these figures beats."""
    no_worse = (score <= scores) & (price <= prices)
    better = (score < scores) | (price < prices)
    found: np.ndarray = no_worse & better
    return found


def _is_beaten(score: float, price: float, scores: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Return which of the trials [N] beat one of these figures."""
    no_worse = (scores <= score) & (prices <= price)
    better = (scores < score) | (prices < price)
    found: np.ndarray = no_worse & better
    return found
