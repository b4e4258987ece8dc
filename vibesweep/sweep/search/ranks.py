"""How many trials are ahead of one, by what they score and by their price.

A trial beats another if it is worse in neither and better in one of both. Who is beaten by fewer is
ahead (Fonseca and Fleming, Genetic algorithms for multiobjective optimization, 1993), and of two
that as many beat, who scores better. Where all have one price that is the order of the scores.

Shapes: ``N`` trials.
"""

from __future__ import annotations

import numpy as np

FIRST_ROOM = 16
STANDING = np.dtype([("score", float), ("price", float), ("beaten_by", int)])


class Ranks:
    """The standings of trials at one step; entering one takes a few operations on ``N`` numbers."""

    def __init__(self) -> None:
        """Start with no trial."""
        self._count = 0
        self._standings = np.empty(FIRST_ROOM, STANDING)

    def enter(self, score: float, price: float) -> int:
        """Enter a trial; return how many are ahead of it."""
        others = self._known()
        worse = _beaten(others, score, price)
        others["beaten_by"] += worse
        better = _beating(others, score, price)
        own = np.count_nonzero(better)
        fewer = others["beaten_by"] < own
        tied = others["beaten_by"] == own
        tied &= others["score"] < score
        ahead = int(np.count_nonzero(fewer | tied))
        if self._count == len(self._standings):
            self._standings = np.resize(self._standings, 2 * self._count)
        self._standings[self._count] = (score, price, own)
        self._count += 1
        return ahead

    def remove(self, score: float, price: float) -> None:
        """Leave a trial of these figures out again."""
        known = self._known()
        worse = _beaten(known, score, price)
        known["beaten_by"] -= worse
        same = known["score"] == score
        same &= known["price"] == price
        place = same.argmax()
        known[place] = known[-1]
        self._count -= 1

    def _known(self) -> np.ndarray:
        return self._standings[: self._count]


def _beaten(others: np.ndarray, score: float, price: float) -> np.ndarray:
    """Return which of the others [N] a trial beats: better in nothing, and not its equal."""
    no_better: np.ndarray = others["score"] >= score
    no_better &= others["price"] >= price
    no_better &= _differ(others, score, price)
    return no_better


def _beating(others: np.ndarray, score: float, price: float) -> np.ndarray:
    """Return which of the others [N] beat a trial: worse in nothing, and not its equal."""
    no_worse: np.ndarray = others["score"] <= score
    no_worse &= others["price"] <= price
    no_worse &= _differ(others, score, price)
    return no_worse


def _differ(others: np.ndarray, score: float, price: float) -> np.ndarray:
    differ: np.ndarray = others["score"] != score
    differ |= others["price"] != price
    return differ
