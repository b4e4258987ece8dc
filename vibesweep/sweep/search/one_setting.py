"""Asks a trial for one setting, by its distribution."""

from __future__ import annotations

from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vibesweep.errors import SpaceError


def suggest_one(trial: Any, name: str, distribution: Any, where: str) -> None:
    """Have the trial suggest a setting.

    Raises:
        SpaceError: the distribution is none of Optuna's.
    """
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case _:
            found = f"{name} is a {type(distribution).__name__}"
            fix = "give one of optuna.distributions, or write the space as a function"
            raise SpaceError(found, where=where, fix=fix)
