"""Draws from the whole range of a space, so that a mistake in any of its branches shows at once."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

Drawn = TypeVar("Drawn")
Draw = Callable[[optuna.Trial], Drawn]

RANDOM_DRAWS = 300
"""A branch that one trial in a hundred takes is missed once in twenty spaces (0.99 to the 300th);
the draws at the bounds find most of those."""
MOST_DRAWS_AT_BOUNDS = 500
"""So many take half a second; a space with more choices is drawn at some of them."""


def draw_whole_range(
    seed: int, draw: Draw[Drawn], draws: int = RANDOM_DRAWS
) -> tuple[list[Drawn], list[Drawn]]:
    """Draw settings at random, then with each choice and each end of a range that these missed.

    Args:
        seed: of the sampler.
        draw: makes something of an Optuna trial by asking the space.
        draws: how often it does so at random.

    Returns:
        What was made at random, and what was made at choices and ends.
    """
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    trials = []
    at_random = []
    for _ in range(draws):
        trial = study.ask()
        at_random.append(draw(trial))
        trials.append(trial)
    with warnings.catch_warnings():
        # A setting may have another range in the branch that the new value leads to
        warnings.simplefilter("ignore", UserWarning)
        at_bounds = _draw_at_bounds(study, trials, draw)
    return at_random, at_bounds


def _draw_at_bounds(
    study: optuna.Study, trials: Iterable[optuna.Trial], draw: Draw[Drawn]
) -> list[Drawn]:
    """Draw once with each value that no trial had, and so on for the branches that it opens."""
    seen: set[tuple[str, str, str]] = set()
    waiting = deque(trials)
    for trial in waiting:
        for name, value in trial.params.items():
            seen.add(_key(name, trial.distributions[name], value))
    made: list[Drawn] = []
    while waiting:
        trial = waiting.popleft()
        for name, distribution in trial.distributions.items():
            for value in _bounds(distribution):
                key = _key(name, distribution, value)
                if key in seen or len(made) == MOST_DRAWS_AT_BOUNDS:
                    continue
                seen.add(key)
                study.enqueue_trial({**trial.params, name: value})
                asked = study.ask()
                made.append(draw(asked))
                waiting.append(asked)
    return made


def _key(name: str, distribution: BaseDistribution, value: Any) -> tuple[str, str, str]:
    return name, repr(distribution), repr(value)


def _bounds(distribution: Any) -> tuple[Any, ...]:
    """Return all choices, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    return distribution.low, distribution.high
