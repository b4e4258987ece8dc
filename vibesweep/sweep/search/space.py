"""Search spaces: reading a space file, and turning what a space suggests into settings that a trial can be run with."""

from __future__ import annotations

import linecache
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import SpaceError, VibesweepError
from vibesweep.sweep.search.limits import checked

if TYPE_CHECKING:
    import optuna

REHEARSALS = 16  # suggestions drawn before a sweep begins, so that a mistake in a branch is found before an hour is spent


def load_space(path: Path) -> Sweep:
    """Run a space file and return the sweep that it defines.

    Its functions stay usable in other processes: the file is not registered as a module, so cloudpickle sends them by value.

    Raises:
        SpaceError: the file is not there, fails, or defines no ``sweep``; or its space suggests what no trial can take.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(
            f"cannot be read: {_reason(error)}",
            where=str(path),
            fix="give the path of a space file",
        ) from error
    namespace = _execute(source, path)
    sweep = namespace.get("sweep")
    if not isinstance(sweep, Sweep):
        found = "defines no `sweep`" if sweep is None else f"`sweep` is a {type(sweep).__name__}"
        raise SpaceError(found, where=str(path), fix="end the file with sweep = Sweep(...)")
    check_space(sweep, where=str(path))
    return sweep


def _execute(source: str, path: Path) -> dict[str, Any]:
    name = str(path.resolve())
    module = types.ModuleType(f"space_file_{path.stem}")
    module.__file__ = name
    linecache.cache[name] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        name,
    )  # so that getsource finds functions
    try:
        exec(compile(source, name, "exec"), module.__dict__)
    except SyntaxError as error:
        found = f"SyntaxError: {error.msg}"
        raise SpaceError(found, where=f"{path}:{error.lineno}", fix="mend that line") from error
    except (Exception, SystemExit) as error:
        raise _space_error(error, path) from error
    return module.__dict__


def _space_error(error: BaseException, path: Path) -> SpaceError:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path.resolve())
    ]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    if isinstance(error, VibesweepError):
        return SpaceError(error.found, where=where, fix=error.fix)
    return SpaceError(
        f"{type(error).__name__}: {_reason(error)}", where=where, fix="mend that line"
    )


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


# What a space suggests


def check_space(sweep: Sweep, where: str = "space") -> None:
    """Draw a few suggestions and check them, and that each of ``try_first`` is one the space can make.

    Raises:
        SpaceError: a name that is no setting, a value that no trial can take, or an exception in the space's function.
    """
    import optuna

    from vibesweep.sweep.search.searcher import quiet_optuna

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=sweep.seed))
        for point in sweep.try_first:
            study.enqueue_trial(dict(point))
        for number in range(len(sweep.try_first) + REHEARSALS):
            trial = study.ask()
            swept, _ = suggest(sweep, trial, where)
            if number < len(sweep.try_first):
                _check_first(sweep.try_first[number], swept, f"{where}: try_first[{number}]")


def _check_first(point: Mapping[str, Any], swept: Mapping[str, Any], where: str) -> None:
    idle = sorted(set(point) - set(swept))
    if idle:
        fix = "suggest it in the space, or fix it in settings"
        raise SpaceError(
            f"the space does not suggest {', '.join(idle)} with these values", where=where, fix=fix
        )


def suggest(
    sweep: Sweep, trial: optuna.Trial, where: str = "space"
) -> tuple[dict[str, Any], TrialSettings]:
    """Ask the space for one trial's settings.

    Returns:
        What was swept, by name, and the whole settings.

    Raises:
        SpaceError: as :func:`check_space`.
    """
    fixed: Mapping[str, Any] | None = None
    if callable(sweep.space):
        try:
            fixed = sweep.space(trial)
        except Exception as error:
            raise _space_error(error, Path(sweep.space.__code__.co_filename)) from error
    else:
        for name, distribution in sweep.space.items():
            _suggest_one(trial, name, distribution, where)
    if fixed is not None and not isinstance(fixed, Mapping):
        raise SpaceError(
            f"the function returned a {type(fixed).__name__}",
            where=where,
            fix="return a dict or nothing",
        )
    swept = dict(trial.params)
    own_seed = {"seed": sweep.settings.seed or sweep.seed}
    return swept, settings_with(sweep.settings, {**own_seed, **swept, **(fixed or {})}, where)


def _suggest_one(trial: optuna.Trial, name: str, distribution: Any, where: str) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case _:
            found = f"{name} is a {type(distribution).__name__}"
            raise SpaceError(
                found,
                where=where,
                fix="give one of optuna.distributions, or write the space as a function",
            )


def settings_with(
    base: TrialSettings, chosen: Mapping[str, Any], where: str = "space"
) -> TrialSettings:
    """The base settings with these in their place, checked.

    Raises:
        SpaceError: an unknown name, or a value of the wrong type or outside what makes sense.
    """
    unknown = sorted(set(chosen) - set(TrialSettings.names()))
    if unknown:
        raise SpaceError(
            f"suggests {', '.join(unknown)}",
            where=where,
            fix=f"known are {', '.join(TrialSettings.names())}",
        )
    return checked({**vars(base), **chosen}, where)
