"""How trials that have trained for different times stand to each other.

Two trials' win is decided at the last step that both have reported, by the smallest value up to
there, or by the value there where values of two kinds follow each other. A trial's win share is the
share of the others that it beats. So running, stopped and complete trials count together, and a
loss is never held against one at another step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from optuna.trial import FrozenTrial

AUGMENTED = 0.05
"""What both objectives count beside the worse of them (Knowles): else a trial might be preferred to
one that beats it."""


def win_shares(trials: Sequence[FrozenTrial], *, of_one_kind: bool = True) -> np.ndarray:
    """Return each trial's win share [N], between 0 and 1.

    A trial that broke a constraint, as one that diverged does, loses against all that did not.

    Args:
        trials: with their reports; without any, only one that broke a constraint has a share.
        of_one_kind: whether all values are losses. What was heard takes a loss's place.
    """
    values, last = _values(trials)
    my_last = last[:, None]
    common = np.minimum(my_last, last)
    if of_one_kind:
        standing = np.minimum.accumulate(values, axis=1)
    else:
        standing = _latest(values)
    mine = np.take_along_axis(standing, common, axis=1)  # [N, N], where it meets each other
    theirs = mine.T
    wins = (mine < theirs).astype(float)
    wins[mine == theirs] = 0.5
    sound = np.array([is_sound(trial) for trial in trials])
    wins[np.ix_(sound, ~sound)] = 1.0
    wins[np.ix_(~sound, sound)] = 0.0
    np.fill_diagonal(wins, 0.0)
    others = max(len(trials) - 1, 1)
    shares: np.ndarray = wins.sum(axis=1) / others
    return shares


def weighed_shares(shares: np.ndarray, prices: np.ndarray, weight: float) -> np.ndarray:
    """Return trials' win shares [N] where both objectives count, each by its weight.

    Who lacks least of winning against all others in what it lacks most wins, as in ParEGO (Knowles,
    ParEGO: a hybrid algorithm, 2006). Each weight has another trial of the front in front.

    Args:
        shares: win shares [N] of the first objective.
        prices: of the second [N]; ``inf`` where it is not known: such a trial is taken to win as
            often in it as in the first.
        weight: of the first, between 0 and 1.
    """
    lacking_first = 1 - shares
    lacking_second = 1 - _shares_of(prices)
    unknown = np.isinf(prices)
    lacking_second[unknown] = lacking_first[unknown]
    by_first = weight * lacking_first
    by_second = (1 - weight) * lacking_second
    lacking = np.maximum(by_first, by_second)
    lacking += AUGMENTED * (by_first + by_second)
    return _shares_of(lacking)


def _shares_of(values: np.ndarray) -> np.ndarray:
    """Return the share of the others that each value [N] is smaller than."""
    mine = values[:, None]
    wins = (mine < values).astype(float)
    wins[mine == values] = 0.5
    np.fill_diagonal(wins, 0.0)
    shares: np.ndarray = wins.sum(axis=1) / max(len(values) - 1, 1)
    return shares


def normal_scores(shares: np.ndarray) -> np.ndarray:
    """Return the shares as a normal distribution has them, with mean 0 and deviation 1.

    The best few, whose shares hardly differ, are told apart as well as those in the middle.
    """
    count = len(shares)
    normal = NormalDist()
    ranks = shares * (count - 1)
    places = (ranks + 0.5) / count
    scores = np.array([normal.inv_cdf(place) for place in places])
    scores -= scores.mean()
    deviation = scores.std()
    return scores / deviation if deviation else scores


def is_sound(trial: FrozenTrial) -> bool:
    """Whether a trial keeps its constraints."""
    return all(excess <= 0 for excess in trial.constraints.values())


def _values(trials: Sequence[FrozenTrial]) -> tuple[np.ndarray, np.ndarray]:
    """Return each trial's value at each step, ``inf`` for none, and the column of its last one."""
    steps: list[int] = []
    values: list[float] = []
    counts = []
    for trial in trials:
        reports = trial.intermediate_values
        steps += reports.keys()
        values += reports.values()
        counts.append(len(reports))
    told = np.array(values)
    told[~np.isfinite(told)] = math.inf
    as_numbers = np.array(steps, int)
    known, columns = np.unique(as_numbers, return_inverse=True)
    count = len(trials)
    each = np.arange(count)
    rows = np.repeat(each, counts)
    widest = max(len(known), 1)
    by_step = np.full((count, widest), math.inf)
    by_step[rows, columns] = told
    last = np.zeros(count, int)
    np.maximum.at(last, rows, columns)
    return by_step, last


def _latest(values: np.ndarray) -> np.ndarray:
    """Return at each step the value there, or the last one before."""
    columns = np.arange(values.shape[1])
    known = np.isfinite(values)
    own = np.where(known, columns, 0)
    latest = np.maximum.accumulate(own, axis=1)
    return np.take_along_axis(values, latest, axis=1)
