"""Which settings a sweep tries next.

The first trials are drawn at random. Then a Gaussian process is fitted to the win shares of all
trials, however far they have come (:mod:`vibesweep.sweep.search.win_shares`), and of some hundreds
of drawn settings the most promising one is tried. Settings that were tried,
or that still run, are not suggested again. docs/design/search.md says how that compares.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from vibesweep.sweep.search.enumeration import Suggestions
from vibesweep.sweep.search.gaussian_process import GaussianProcess
from vibesweep.sweep.search.modelled_space import ModelledSpace
from vibesweep.sweep.search.win_shares import is_sound, normal_scores, win_shares

FEWEST_RANDOM, RANDOM_A_SETTING = 4, 2
"""Trials that are drawn at random first: at least, and for each setting of the space."""
MOST_COMPARED, MOST_MODELLED, MOST_FITTED = 256, 128, 64
"""Trials that are compared with each other, that the model knows, and that its lengths are fitted
to. A suggestion takes some 15 ms with as many, and no longer with ten thousand."""
DRAWN, NEAR_THE_BEST, BEST = 256, 25, 5
"""Settings that the model is asked about: drawn at random, and near each of so many best trials."""
NEAR = 0.1
"""How near: the deviation, as a share of a setting's range."""
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
        self, trials: int, seed: int, suggestions: Suggestions, *, of_one_kind: bool = True
    ) -> None:
        """Sample a space.

        Args:
            trials: how many it is to draw.
            seed: of its draws.
            suggestions: what the space can suggest.
            of_one_kind: whether all that trials report are losses.
        """
        settings = len(suggestions.distributions)
        third = trials // 3
        enough = min(RANDOM_A_SETTING * settings, third)
        self._random_first = max(FEWEST_RANDOM, enough)
        self._suggestions = suggestions
        self._of_one_kind = of_one_kind
        self._draws = np.random.default_rng(seed)
        self._choosing = random.Random(seed)
        self._at_random = optuna.samplers.RandomSampler(seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Sample all settings of all branches together, as far as they are known."""
        known = dict(self._suggestions.distributions)
        for other in self._compared(study, trial):
            known |= other.distributions
        return known

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw settings: the first at random, the others by what the trials have shown."""
        if not search_space:
            return {}
        others = self._compared(study, trial)
        tried = [other.params for other in others]
        space = ModelledSpace(search_space, tried)
        drawn = self._drawn(space, others)
        if not self._suggestions.countable:  # a continuous range in each: none comes twice
            return next(drawn)
        promising = islice(drawn, MOST_REDRAWS)
        others = _others(study, trial)
        tried = [other.params for other in others]
        return self._untried(chain(promising, self._at_random_in(space)), tried)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a setting at random that no trial has had so far."""
        draw = self._at_random.sample_independent
        return draw(study, trial, param_name, param_distribution)

    def _compared(self, study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """Return the other trials; of very many those that came far, and some more."""
        others = _others(study, trial)
        if len(others) <= MOST_COMPARED:
            return others
        others.sort(key=_reports, reverse=True)
        half = MOST_COMPARED // 2
        far = others[:half]
        rest = others[half:]
        choosing = random.Random(trial.number)
        return far + choosing.sample(rest, half)

    def _drawn(
        self, space: ModelledSpace, others: Sequence[FrozenTrial]
    ) -> Iterator[dict[str, Any]]:
        """Draw settings, the most promising first; without end while little is known."""
        trained = [other for other in others if other.state != TrialState.FAIL]
        known = [other for other in trained if _stands_somewhere(other)]
        fewest = max(self._random_first - len(trained), FEWEST_RANDOM - len(known))
        if fewest > 0:
            return self._at_random_in(space)
        begun = [other for other in trained if not _stands_somewhere(other)]
        return self._by_promise(space, known, begun)

    def _at_random_in(self, space: ModelledSpace) -> Iterator[dict[str, Any]]:
        for _ in range(MOST_REDRAWS):
            places = self._draws.random(len(space))
            yield space.params(places)

    def _by_promise(
        self, space: ModelledSpace, known: Sequence[FrozenTrial], begun: Sequence[FrozenTrial]
    ) -> Iterator[dict[str, Any]]:
        """Give drawn settings, the most promising first.

        Args:
            space: that they are drawn from.
            known: trials of which it is known how they stand.
            begun: trials that have just begun.
        """
        shares = win_shares(known, of_one_kind=self._of_one_kind)
        scores = normal_scores(shares)
        all_places = space.places([trial.params for trial in known])
        modelled = self._best_and_some(scores, MOST_MODELLED)
        places = all_places[modelled]
        scores = scores[modelled]
        points = space.points(places)
        fitted = self._best_and_some(scores, MOST_FITTED)
        model = GaussianProcess(space.setting_of_column)
        model.fit(points[fitted], scores[fitted])
        model.condition(points, scores)
        if begun:
            begun_places = space.places([trial.params for trial in begun])
            begun_points = space.points(begun_places)
            model.assume(begun_points)
        ranked = np.argsort(-scores)
        best = ranked[:BEST]
        drawn = self._places_to_ask(places[best])
        suggested = space.suggested(drawn)
        asked = space.points(suggested)
        promise = model.promise(asked)
        for row in np.argsort(-promise):
            yield space.params(drawn[row])

    def _best_and_some(self, scores: np.ndarray, most: int) -> np.ndarray:
        """Return the rows of at most so many: the best half, and others drawn at random."""
        ranked = np.argsort(-scores)
        if len(ranked) <= most:
            return ranked
        half = most // 2
        best = ranked[:half]
        rest = ranked[half:]
        some = self._draws.choice(rest, half, replace=False)
        return np.append(best, some)

    def _places_to_ask(self, best: np.ndarray) -> np.ndarray:
        """Draw places at random, and near the best ones [B, S]; what these lack is drawn too."""
        settings = best.shape[1]
        anywhere = self._draws.random((DRAWN, settings))
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


def _others(study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
    """Return all other trials that were suggested anything, those that still run included."""
    others = []
    for other in study.get_trials(deepcopy=False):
        if other.params and other.number != trial.number:
            others.append(other)
    return others


def _reports(trial: FrozenTrial) -> int:
    return len(trial.intermediate_values)


def _stands_somewhere(trial: FrozenTrial) -> bool:
    """Whether it is known how a trial stands: by its reports, or because it broke a constraint."""
    return bool(trial.intermediate_values) or not is_sound(trial)


def _repeats(drawn: Mapping[str, Any], tried: list[dict[str, Any]]) -> bool:
    """Whether a space that is given these values would suggest one of the trials again."""
    values = drawn.items()
    return any(params.items() <= values for params in tried)
