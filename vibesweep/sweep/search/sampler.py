"""Which settings a sweep tries next.

The first trials are drawn at random. Then a Gaussian process is fitted to the win shares of all
trials, however far they have come (:mod:`vibesweep.sweep.search.win_shares`), and of some hundreds
of drawn settings the most promising one is tried. Where there is a second objective, each trial is
drawn for another weighing of both. Settings that were tried, or that still run, are not suggested
again. docs/design/search.md says how that compares.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from vibesweep.config import Guess
from vibesweep.sweep.search.enumeration import Suggestions
from vibesweep.sweep.search.gaussian_process import GaussianProcess
from vibesweep.sweep.search.guesses import Guesses
from vibesweep.sweep.search.modelled_space import ModelledSpace
from vibesweep.sweep.search.win_shares import (
    is_sound,
    normal_scores,
    weighed_shares,
    win_shares,
)

FEWEST_RANDOM, RANDOM_A_SETTING = 4, 2
"""Trials that are drawn at random first: at least, and for each setting of the space."""
MOST_COMPARED, MOST_MODELLED, MOST_FITTED = 192, 128, 64
"""Trials that are compared with each other, that the model knows, and that its lengths are fitted
to. A suggestion takes some 15 ms with as many, and no longer with ten thousand."""
DRAWN, NEAR_THE_BEST, BEST = 256, 25, 5
"""Settings that the model is asked about: drawn at random, and near each of so many best trials."""
NEAR = 0.1
"""How near: the deviation, as a share of a setting's range."""
NO_GUESSES: Mapping[str, Guess] = MappingProxyType({})
PRICE = "second_objective"
"""Optuna's user attribute with what a trial has of a second objective, less for better."""
FIRST_ALONE = 1 / 3
"""Share of the trials that are drawn for the first of two objectives alone: its winner is what a
sweep hands over. With a half of them, where they go ever more trials lie, and fewer elsewhere."""
MOST_REDRAWS = 100
"""Draws that may be repeats: by the model, at random, and then one is taken from what is left."""


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one trial's draws.

    Each trial has its own, so that a search that is resumed draws what it would have drawn.
    """
    sequence = np.random.SeedSequence([seed, number])
    (drawn,) = sequence.generate_state(1)
    return int(drawn)


class WinShareSampler(optuna.samplers.BaseSampler):
    """Suggests what is likely to win against most trials.

    In a space of choices alone it would come back to what it knows, which teaches nothing: a trial
    that would be suggested all that another was is not suggested.
    """

    def __init__(
        self,
        trials: int,
        seed: int,
        suggestions: Suggestions,
        *,
        of_one_kind: bool = True,
        guesses: Mapping[str, Guess] = NO_GUESSES,
    ) -> None:
        """Sample a space.

        Args:
            trials: how many it is to draw.
            seed: of its draws.
            suggestions: what the space can suggest.
            of_one_kind: whether all that trials report are losses.
            guesses: what the user takes settings to be best at, by name.
        """
        settings = len(suggestions.distributions)
        third = trials // 3
        enough = min(RANDOM_A_SETTING * settings, third)
        self._random_first = max(FEWEST_RANDOM, enough)
        self._suggestions = suggestions
        self._of_one_kind = of_one_kind
        self._guesses = guesses
        self._draws = np.random.default_rng(seed)
        self._choosing = random.Random(seed)
        self._at_random = optuna.samplers.RandomSampler(seed)
        self._others: list[FrozenTrial] = []

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Sample all settings of all branches together, as far as they are known."""
        known = dict(self._suggestions.distributions)
        self._others = self._compared(study, trial)
        for other in self._others:
            if other.params.keys() - known.keys():
                known |= other.distributions
        return known

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw settings: the first at random, the others by what the trials have shown."""
        if not search_space:
            return {}
        tried = [other.params for other in self._others]
        space = ModelledSpace(search_space, tried)
        drawn = self._drawn(space, self._others)
        if not self._suggestions.countable:  # a continuous range in each: none comes twice
            return next(drawn)
        promising = islice(drawn, MOST_REDRAWS)
        others = _suggested(study.get_trials(deepcopy=False), trial)
        tried = [other.params for other in others]
        return self._untried(chain(promising, self._at_random_in(space)), tried)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw at random a setting that no trial so far has had."""
        draw = self._at_random.sample_independent
        return draw(study, trial, param_name, param_distribution)

    def _compared(self, study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the other trials; of very many those that came far, and some more."""
        known = study.get_trials(deepcopy=False)
        if len(known) > MOST_COMPARED:
            reports = [len(other.intermediate_values) for other in known]
            by_reports = np.argsort(reports, kind="stable")
            half = MOST_COMPARED // 2
            far = by_reports[-half:].tolist()
            rest = by_reports[:-half].tolist()
            choosing = random.Random(trial.number)
            chosen = far + choosing.sample(rest, half)
            known = [known[number] for number in chosen]
        return _suggested(known, trial)

    def _drawn(
        self, space: ModelledSpace, others: Sequence[FrozenTrial]
    ) -> Iterator[dict[str, Any]]:
        """Draw settings, the most promising first; without end while little is known."""
        known = []
        begun = []
        for row, other in enumerate(others):
            if other.state == TrialState.FAIL:
                continue
            if other.intermediate_values or not is_sound(other):
                known.append(row)
            else:
                begun.append(row)
        trained = len(known) + len(begun)
        if trained < self._random_first or len(known) < FEWEST_RANDOM:
            return self._at_random_in(space)
        compared = [others[row] for row in known]
        shares = win_shares(compared, of_one_kind=self._of_one_kind)
        prices = np.array([other.user_attrs.get(PRICE, math.inf) for other in compared])
        if np.isfinite(prices).any():
            shares = weighed_shares(shares, prices, self._weight_of_first())
        return self._by_upper_bound(space, shares, space.tried[known], space.tried[begun])

    def _at_random_in(self, space: ModelledSpace) -> Iterator[dict[str, Any]]:
        guesses = Guesses(space.axes, self._guesses)
        for _ in range(MOST_REDRAWS):
            evenly = self._draws.random((1, len(space)))
            (places,) = guesses.quantiles(evenly)
            yield space.params(places)

    def _by_upper_bound(
        self, space: ModelledSpace, shares: np.ndarray, known: np.ndarray, begun: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """Give drawn settings, the most promising first.

        Args:
            space: that they are drawn from.
            shares: of the trials of which it is known how they stand.
            known: places of these.
            begun: places of trials that have just begun.
        """
        scores = normal_scores(shares)
        modelled = self._best_and_some(scores, MOST_MODELLED)
        places = known[modelled]
        scores = scores[modelled]
        points = space.points(places)
        fitted = self._best_and_some(scores, MOST_FITTED)
        model = GaussianProcess(space.setting_of_column)
        model.fit(points[fitted], scores[fitted])
        model.condition(points, scores)
        if len(begun):
            begun_points = space.points(begun)
            model.assume(begun_points)
        ranked = np.argsort(-scores)
        best = ranked[:BEST]
        guesses = Guesses(space.axes, self._guesses)
        drawn = self._places_to_ask(places[best], guesses)
        suggested = space.suggested(drawn)
        asked = space.points(suggested)
        bound = model.upper_bound(asked)
        bound += guesses.bonus(suggested, len(shares))
        for row in np.argsort(-bound):
            yield space.params(drawn[row])

    def _weight_of_first(self) -> float:
        """Draw how much the first of two objectives counts for a trial, between 0 and 1."""
        alone, weight = self._draws.random(2)
        return 1.0 if alone < FIRST_ALONE else float(weight)

    def _best_and_some(self, scores: np.ndarray, most: int) -> np.ndarray:
        """Return at most ``most`` rows: the best, as half of them, and others drawn at random."""
        ranked = np.argsort(-scores)
        if len(ranked) <= most:
            return ranked
        half = most // 2
        best = ranked[:half]
        rest = ranked[half:]
        some = self._draws.choice(rest, half, replace=False)
        return np.append(best, some)

    def _places_to_ask(self, best: np.ndarray, guesses: Guesses) -> np.ndarray:
        """Draw places at random, and near the best ones [B, S]; what these lack is drawn too.

        Half of the random ones lie near the user's guesses, if there are any.
        """
        settings = best.shape[1]
        anywhere = self._draws.random((DRAWN, settings))
        half = DRAWN // 2
        anywhere[:half] = guesses.quantiles(anywhere[:half])
        near = np.repeat(best, NEAR_THE_BEST, axis=0)
        lacking = np.isnan(near)
        away = self._draws.standard_normal(near.shape)
        near += NEAR * away
        near[lacking] = self._draws.random(lacking.sum())
        near = np.clip(near, 0.0, 1.0)
        return np.concatenate([anywhere, near])

    def _untried(
        self, drawn: Iterable[dict[str, Any]], tried: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the first draw that repeats no trial, or one of the space's that are left."""
        last: dict[str, Any] = {}
        for last in drawn:
            if not _repeats(last, tried):
                return last
        untried = []
        for suggestion in self._suggestions.countable:
            if not _repeats(suggestion, tried):
                untried.append(suggestion)
        if untried:
            last |= self._choosing.choice(untried)
        return last


def _suggested(known: Iterable[FrozenTrial], trial: FrozenTrial) -> list[FrozenTrial]:
    """Return all but this trial that were suggested anything, those that still run included."""
    others = []
    for other in known:
        if other.params and other.number != trial.number:
            others.append(other)
    return others


def _repeats(drawn: Mapping[str, Any], tried: list[dict[str, Any]]) -> bool:
    """Whether a space that is given these values would suggest one of the trials again."""
    values = drawn.items()
    return any(params.items() <= values for params in tried)
