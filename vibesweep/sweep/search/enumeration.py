"""Counts what a space can suggest at all: a space without a continuous range has an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vibesweep.errors import SpaceError
from vibesweep.sweep.record.study import quiet_optuna

MOST_SETTINGS = 1_000
"""Suggestions walked through at most. Few sweeps have as many trials, and it takes a second."""


@dataclass(frozen=True)
class Suggestions:
    """What a space can suggest.

    Attributes:
        countable: suggestions without a continuous value, each once.
        endless: whether there are more: with a continuous value, or more than were walked through.
        distributions: those met on the way, by name.
    """

    countable: tuple[Mapping[str, Any], ...]
    endless: bool
    distributions: Mapping[str, BaseDistribution] = field(repr=False)

    @property
    def count(self) -> int | None:
        """How many there are; ``None`` for no end."""
        return None if self.endless else len(self.countable)


def enumerate_suggestions(
    draw: Callable[[optuna.Trial], Any], most: int = MOST_SETTINGS
) -> Suggestions:
    """Walk through everything that a space can suggest, branch by branch.

    The space is asked as in a sweep, with a sampler that gives each choice in turn. Combinations
    that it refuses are left out.

    Args:
        draw: asks the space; raises a SpaceError for what it refuses.
        most: suggestions walked through at most.
    """
    walk = _Walk()
    countable = []
    distributions: dict[str, BaseDistribution] = {}
    endless = False
    with quiet_optuna():
        study = optuna.create_study(sampler=walk)
        for _ in range(most):
            trial = study.ask()
            suggested = _suggested(draw, trial)
            distributions.update(trial.distributions)
            if walk.met_continuous:
                endless = True
            elif suggested is not None:
                countable.append(suggested)
            if not walk.go_on():
                return Suggestions(tuple(countable), endless, distributions)
    return Suggestions(tuple(countable), True, distributions)


def _suggested(
    draw: Callable[[optuna.Trial], Any], trial: optuna.Trial
) -> Mapping[str, Any] | None:
    """Return what the space suggests, or ``None`` where it suggests what no trial can use."""
    try:
        draw(trial)
    except SpaceError:
        return None
    return dict(trial.params)


class _Walk(optuna.samplers.BaseSampler):
    """Gives the first choice everywhere, then changes the last choice that has a next one.

    Attributes:
        met_continuous: whether a continuous range was asked for on the present path.
    """

    def __init__(self) -> None:
        self._planned: list[int] = []
        self._taken: list[tuple[int, int]] = []  # the choice on the path, and how many there are
        self.met_continuous = False

    def go_on(self) -> bool:
        """Plan the next path; say whether there is one."""
        path = self._taken
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        self._planned = [choice for choice, _ in path]
        self._taken = []
        self.met_continuous = False
        if not path:
            return False
        self._planned[-1] += 1
        return True

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Sample nothing together."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Sample nothing together."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        _param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Give the planned choice, or the first one behind the plan's end."""
        choices = _choices(param_distribution)
        if choices is None:
            self.met_continuous = True
            return getattr(param_distribution, "low")  # noqa: B009 - of a float range
        depth = len(self._taken)
        choice = self._planned[depth] if depth < len(self._planned) else 0
        self._taken.append((choice, len(choices)))
        return choices[choice]


def _choices(distribution: BaseDistribution) -> Sequence[Any] | None:
    """Return the values of a distribution; ``None`` for a continuous range."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices
        case IntDistribution(low=low, high=high, step=step):
            return range(low, high + 1, step)
        case FloatDistribution(low=low, high=high, step=float(step)):
            count = round((high - low) / step) + 1
            return [min(low + number * step, high) for number in range(count)]
    return None
