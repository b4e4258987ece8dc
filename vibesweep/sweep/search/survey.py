"""Draws a thousand settings from a space and holds each against the model: all errors, counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import CombinationError, SpaceError, VibesweepError
from vibesweep.sweep.record.grid import grid_values
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.branches import draw_whole_range
from vibesweep.sweep.search.space import suggest

DRAWS = 1_000
MOST_COMBINATIONS = 200
"""So many combinations of choices are all met in a thousand draws, or nearly."""

Refusal = Callable[[TrialSettings], VibesweepError | None]
"""Says why settings cannot be trained with, or ``None``."""


@dataclass(frozen=True)
class Draw:
    """What a space has suggested once.

    Attributes:
        swept: what was suggested, by name.
        distributions: where each value is drawn from.
        found: the settings, or why there are none.
    """

    swept: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    found: TrialSettings | VibesweepError


@dataclass
class Problem:
    """An error that draws of a space have met.

    Attributes:
        error: the first draw's.
        swept: what the space had suggested there.
        count: draws that have met it.
    """

    error: VibesweepError
    swept: Mapping[str, Any]
    count: int = 0

    @property
    def drawn_again(self) -> bool:
        """Whether a sweep draws such a trial again, instead of training it in vain."""
        return isinstance(self.error, CombinationError)

    @property
    def ends_the_sweep(self) -> bool:
        """Whether no sweep of this space begins: it is a mistake in the space itself."""
        return isinstance(self.error, SpaceError) and not self.drawn_again


@dataclass(frozen=True)
class SpaceSurvey:
    """What a space suggests, and what of it is in error.

    Attributes:
        draws: how many settings were drawn.
        sound: settings that the model takes.
        problems: the others' errors, most frequent first.
        grid_trials: trials of a full grid over the space; ``None`` where there are too many.
    """

    draws: int
    sound: tuple[TrialSettings, ...]
    problems: tuple[Problem, ...]
    grid_trials: int | None

    @property
    def ends_the_sweep(self) -> bool:
        """Whether no sweep of this space begins."""
        return any(problem.ends_the_sweep for problem in self.problems)


def survey_space(sweep: Sweep, refusal: Refusal, where: str) -> SpaceSurvey:
    """Draw from the whole range of a space.

    Args:
        sweep: whose space it is.
        refusal: says why settings cannot be trained with, or None.
        where: the space file.
    """
    with quiet_optuna():
        at_random, at_bounds = draw_whole_range(
            sweep.seed, lambda trial: _draw(sweep, trial, refusal, where), DRAWS
        )
    draws = [*at_random, *at_bounds]
    problems: dict[str, Problem] = {}
    sound = []
    for draw in draws:
        if isinstance(draw.found, TrialSettings):
            sound.append(draw.found)
            continue
        kind = _kind_of(draw.found)
        problem = problems.setdefault(kind, Problem(draw.found, draw.swept))
        problem.count += 1
    ranked = sorted(problems.values(), key=lambda problem: -problem.count)
    return SpaceSurvey(len(draws), tuple(sound), tuple(ranked), grid_trials(draws))


def grid_trials(draws: list[Draw]) -> int | None:
    """Count the trials of a full grid: each combination of choices, and values of the ranges.

    Returns:
        The number; ``None`` where there are more combinations than draws would meet.
    """
    shapes = {frozenset(draw.distributions) for draw in draws}
    if len(shapes) == 1:
        return math.prod(map(grid_values, draws[0].distributions.values()))
    combinations: dict[tuple[Any, ...], int] = {}
    for draw in draws:
        choices = []
        others = 1
        for name, distribution in draw.distributions.items():
            if isinstance(distribution, optuna.distributions.CategoricalDistribution):
                choices.append((name, repr(draw.swept[name])))
            else:
                choices.append((name, ""))
                others *= grid_values(distribution)
        combinations[tuple(choices)] = others
    if len(combinations) > MOST_COMBINATIONS:
        return None
    return sum(combinations.values())


def _draw(sweep: Sweep, trial: optuna.Trial, refusal: Refusal, where: str) -> Draw:
    found: TrialSettings | VibesweepError
    try:
        _, settings = suggest(sweep, trial, where)
    except SpaceError as error:
        found = error
    else:
        found = refusal(settings) or settings
    return Draw(dict(trial.params), dict(trial.distributions), found)


def _kind_of(error: VibesweepError) -> str:
    """Tell errors apart by where they are and what they ask for, and not by the value drawn."""
    return f"{type(error).__name__} {error.where} {error.fix}"
