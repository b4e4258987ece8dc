"""Which sampler draws a sweep's trials, and how it is kept from drawing one twice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from vibesweep.sweep.search.enumeration import Suggestions

FEWEST_RANDOM, MOST_RANDOM = 4, 10
"""How many trials the sampler draws at random first; Optuna's default is 10."""
REDRAWS = 20
"""Draws by TPE that may be repeats, and then as many at random."""


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one trial's draws.

    Each trial has its own, so that a search that is resumed draws what it would have drawn.
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def make_sampler(trials: int, seed: int, suggestions: Suggestions) -> optuna.samplers.TPESampler:
    """Return a TPE sampler over all settings together.

    It has a model of its own for each branch of a conditional space (group), and takes trials that
    still run into account (constant liar). A third of the trials is drawn at random first.

    Args:
        trials: how many it is to draw.
        seed: of its draws.
        suggestions: what the space can suggest.
    """
    third = trials // 3
    options: dict[str, Any] = {
        "multivariate": True,
        "group": True,
        "constant_liar": True,
        "seed": seed,
        "n_startup_trials": max(FEWEST_RANDOM, min(MOST_RANDOM, third)),
    }
    if suggestions.countable:
        return UntriedSampler(suggestions, **options)
    # A continuous range in every suggestion: none comes twice
    return optuna.samplers.TPESampler(**options)


class UntriedSampler(optuna.samplers.TPESampler):
    """TPE whose draws are drawn again while they repeat a trial.

    TPE comes back to the best settings that it knows. In a continuous range that is a neighbour, in
    a list of choices it is the same trial once more, which teaches nothing. A trial repeats another
    if it would be suggested all that the other was.
    """

    def __init__(self, suggestions: Suggestions, *, seed: int, **options: Any) -> None:
        """Sample a space that can suggest these; the options are TPE's."""
        super().__init__(seed=seed, **options)
        self._suggestions = suggestions
        self._choosing = random.Random(seed)
        self._at_random = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Sample all parameters of all branches together, so that a repeat is seen beforehand."""
        super().infer_relative_search_space(study, trial)
        return dict(self._suggestions.distributions)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw until a draw repeats no trial: by TPE, then at random, then from what is left."""
        tried = _params_of_others(study, trial)
        for attempt in range(2 * REDRAWS):
            drawn: dict[str, Any] = {}
            if attempt < REDRAWS:
                drawn = super().sample_relative(study, trial, search_space)
            self._fill_in(drawn, study, trial, search_space)
            if not _repeats(drawn, tried):
                return drawn
        known = self._suggestions.countable
        untried = [suggestion for suggestion in known if not _repeats(suggestion, tried)]
        if untried:
            drawn |= self._choosing.choice(untried)
        return drawn

    def _fill_in(
        self,
        drawn: dict[str, Any],
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> None:
        """Draw at random what TPE has not drawn: all in its first trials, and new branches."""
        draw = self._at_random.sample_independent
        for name in sorted(search_space.keys() - drawn.keys()):
            distribution = search_space[name]
            drawn[name] = draw(study, trial, name, distribution)


def _params_of_others(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> list[dict[str, Any]]:
    """Return what was suggested to each trial but this one, those that still run included."""
    others = study.get_trials(deepcopy=False)
    return [other.params for other in others if other.number != trial.number and other.params]


def _repeats(drawn: Mapping[str, Any], tried: list[dict[str, Any]]) -> bool:
    """Whether a space that is given these values would suggest one of the trials again."""
    return any(params.items() <= drawn.items() for params in tried)
