"""Search spaces: from what a space suggests to settings that a trial can be run with."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import SpaceError, VibesweepError
from vibesweep.sweep.search.optuna_study import quiet_optuna

REHEARSALS = 16
"""Suggestions drawn before a sweep begins, so that a mistake in a branch is found at once."""


def check_space(sweep: Sweep, where: str = "space") -> None:
    """Draw a few suggestions and check them, and that the space can make each of ``try_first``.

    Raises:
        SpaceError: a name that is no setting, a value that no trial can use, or an exception in the
            space's function.
    """
    with quiet_optuna():
        sampler = optuna.samplers.RandomSampler(seed=sweep.seed)
        study = optuna.create_study(sampler=sampler)
        for point in sweep.try_first:
            study.enqueue_trial(dict(point))
        for number, point in enumerate(sweep.try_first):
            swept, _ = suggest(sweep, study.ask(), where)
            _check_first(point, swept, f"{where}: try_first[{number}]")
        for _ in range(REHEARSALS):
            suggest(sweep, study.ask(), where)


def suggest(
    sweep: Sweep, trial: optuna.Trial, where: str = "space"
) -> tuple[dict[str, Any], TrialSettings]:
    """Ask the space for one trial's settings.

    Returns:
        What was swept, by name, and the whole settings.

    Raises:
        SpaceError: as :func:`check_space`.
    """
    fixed = _ask_space(sweep, trial, where)
    swept = dict(trial.params)
    seed = sweep.settings.seed or sweep.seed
    return swept, settings_with(sweep.settings, {"seed": seed, **swept, **fixed}, where)


def settings_with(
    base: TrialSettings, chosen: Mapping[str, Any], where: str = "space"
) -> TrialSettings:
    """Return the base settings with these values in their place.

    Raises:
        SpaceError: an unknown name, or a value that no trial can use.
    """
    known = TrialSettings.names()
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        fix = f"known are {', '.join(known)}"
        raise SpaceError(f"suggests {', '.join(unknown)}", where=where, fix=fix)
    try:
        return dataclasses.replace(base, **chosen)
    except SpaceError as error:
        raise SpaceError(error.found, where=where, fix=error.fix) from error


def error_in(path: Path, error: BaseException) -> SpaceError:
    """Make the user's error of an exception in a space file, with the line in that file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    if isinstance(error, VibesweepError):
        return SpaceError(error.found, where=where, fix=error.fix)
    found = f"{type(error).__name__}: {one_line(error)}"
    return SpaceError(found, where=where, fix="mend that line")


def one_line(error: BaseException) -> str:
    """Return what an exception says, in one line."""
    reason = error.strerror if isinstance(error, OSError) else None
    return " ".join((reason or str(error)).split())


def _ask_space(sweep: Sweep, trial: optuna.Trial, where: str) -> Mapping[str, Any]:
    """Have the space suggest, and return what it fixes besides."""
    if not callable(sweep.space):
        for name, distribution in sweep.space.items():
            _suggest_one(trial, name, distribution, where)
        return {}
    try:
        fixed = sweep.space(trial)
    except Exception as error:
        raise error_in(Path(sweep.space.__code__.co_filename), error) from error
    if fixed is None:
        return {}
    if not isinstance(fixed, Mapping):
        found = f"the function returned a {type(fixed).__name__}"
        raise SpaceError(found, where=where, fix="return a dict or nothing")
    return fixed


def _suggest_one(trial: optuna.Trial, name: str, distribution: Any, where: str) -> None:
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


def _check_first(point: Mapping[str, Any], swept: Mapping[str, Any], where: str) -> None:
    """Refuse a point of ``try_first`` with a value that the space never asked for."""
    unused = sorted(set(point) - set(swept))
    if unused:
        found = f"the space does not suggest {', '.join(unused)} with these values"
        raise SpaceError(found, where=where, fix="suggest it in the space, or fix it in settings")
