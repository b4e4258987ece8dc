"""A sweep's guesses held against what its space suggests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from optuna.distributions import BaseDistribution

from vibesweep.config import Guess, Sweep
from vibesweep.errors import SpaceError
from vibesweep.sweep.search.one_setting import suggest_one
from vibesweep.sweep.search.points import PointTrial


def check_guesses(sweep: Sweep, met: Mapping[str, Iterable[BaseDistribution]], where: str) -> None:
    """Hold each guess against the ranges that its setting was met with, one in each branch.

    Raises:
        SpaceError: no branch suggests it.
    """
    for name, guess in sweep.guesses.items():
        if name in sweep.fixed:
            continue
        place = f"{where}: guesses"
        if name not in met:
            known = ", ".join(met)
            found = f"the space does not suggest {name}"
            raise SpaceError(found, where=place, fix=f"it suggests {known}")
        problems = [_problem_of(name, guess, among, place) for among in met[name]]
        if None not in problems:
            raise problems[0]  # type: ignore[misc] # none of them is None


def _problem_of(name: str, guess: Guess, among: BaseDistribution, where: str) -> SpaceError | None:
    """Say why a distribution cannot draw a guess; ``None`` where it can."""
    trial = PointTrial({name: guess.value}, where)
    try:
        suggest_one(trial, name, among, where)
    except SpaceError as error:
        return error
    return None
