"""Search spaces: from what a space suggests to settings that a trial can be run with."""

from __future__ import annotations

import dataclasses
import difflib
import linecache
import re
import traceback
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import CombinationError, SpaceError, VibesweepError
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.branches import draw_whole_range
from vibesweep.sweep.search.fixed import OPTION, FixedValues
from vibesweep.sweep.search.guess_checks import check_guesses
from vibesweep.sweep.search.one_setting import suggest_one
from vibesweep.sweep.search.points import PointTrial

if TYPE_CHECKING:
    from vibesweep.config.sweep import Space

Drawn = TrialSettings | CombinationError
"""Settings that a space suggested, or why what it suggested does not go together."""


@dataclass(frozen=True)
class Rehearsal:
    """What a space suggests over its whole range, drawn before a sweep begins.

    Attributes:
        first: settings of ``try_first``.
        at_random: what was drawn at random.
        at_bounds: what was drawn with each choice and each end of a range that these missed.
    """

    first: tuple[TrialSettings, ...]
    at_random: tuple[Drawn, ...]
    at_bounds: tuple[Drawn, ...]

    @property
    def settings(self) -> list[TrialSettings]:
        """All settings that are sound in themselves."""
        drawn = (*self.first, *self.at_random, *self.at_bounds)
        return [found for found in drawn if isinstance(found, TrialSettings)]

    @property
    def refusals(self) -> list[CombinationError]:
        """Why some of what was drawn does not go together."""
        drawn = (*self.at_random, *self.at_bounds)
        return [found for found in drawn if isinstance(found, CombinationError)]


def check_space(sweep: Sweep, where: str = "space") -> Rehearsal:
    """Draw from the whole range of a space, and hold each of ``try_first`` against it.

    Returns:
        What was drawn. Some of it may not go together, as an optimizer and a schedule: a sweep
        draws such a trial again.

    Raises:
        SpaceError: a name that is no setting, a value that no trial can use, an exception in the
            space's function, settings that never go together, a point of ``try_first`` that the
            space cannot make, or a guess that it never suggests.
    """
    with quiet_optuna():
        check_fixed(sweep)
        first = []
        for number, point in enumerate(points_of(sweep, where)):
            first.append(_settings_of(sweep, point, f"{where}: try_first[{number}]"))
        met: dict[str, set[BaseDistribution]] = defaultdict(set)

        def draw(trial: optuna.Trial) -> Drawn:
            drawn = _drawn(sweep, trial, where)
            for name, distribution in trial.distributions.items():
                met[name].add(distribution)
            return drawn

        at_random, at_bounds = draw_whole_range(sweep.seed, draw)
        check_guesses(sweep, met, where)
    rehearsal = Rehearsal(tuple(first), tuple(at_random), tuple(at_bounds))
    if not rehearsal.settings:
        raise rehearsal.refusals[0]
    return rehearsal


def _drawn(sweep: Sweep, trial: optuna.Trial, where: str) -> Drawn:
    try:
        return suggest(sweep, trial, where)[1]
    except CombinationError as error:
        return error


def _settings_of(sweep: Sweep, point: Mapping[str, Any], where: str) -> TrialSettings:
    """Make the settings of a point of ``try_first``.

    Raises:
        SpaceError: the space cannot make them.
    """
    trial = PointTrial(point, where)
    try:
        _, settings = suggest(sweep, trial, where)
    except SpaceError as error:
        raise trial.problem or error from error
    trial.check_all_used()
    return settings


def suggest(
    sweep: Sweep, trial: optuna.trial.BaseTrial, where: str = "space"
) -> tuple[dict[str, Any], TrialSettings]:
    """Ask the space for one trial's settings.

    Returns:
        What was swept, by name, and the whole settings.

    Raises:
        CombinationError: the settings do not go together.
        SpaceError: another mistake, as :func:`check_space` has them.
    """
    asked = FixedValues(trial, sweep.fixed) if sweep.fixed else trial
    fixed = ask_space(sweep.space, asked, where)
    _refuse_broken_constraint(trial, where)
    swept = dict(trial.params)
    seed = sweep.settings.seed or sweep.seed
    settings = settings_with(sweep.settings, {"seed": seed, **swept, **fixed}, where)
    if not sweep.fixed:
        return swept, settings
    return swept, settings_with(settings, sweep.fixed, OPTION)


def _refuse_broken_constraint(trial: optuna.trial.BaseTrial, where: str) -> None:
    """Refuse what the space itself says does not go together: a constraint above 0.

    Raises:
        CombinationError: there is one, so that another trial is drawn.
    """
    for name, value in trial.constraints.items():
        if value > 0:
            found = f"breaks its constraint {name!r}, which is {value:g}"
            place = _line_of(where, name)
            fix = "suggest values that keep it at 0 or below"
            raise CombinationError(found, where=place, fix=fix)


def check_fixed(sweep: Sweep) -> None:
    """Refuse fixed values that no trial can use, whatever the space suggests beside them.

    Raises:
        SpaceError: there is one.
    """
    for name, value in sweep.fixed.items():
        try:
            settings_with(sweep.settings, {name: value}, OPTION)
        except CombinationError:
            continue  # the space may suggest what goes with it


def points_of(sweep: Sweep, where: str = "space") -> list[Mapping[str, Any]]:
    """Return the points of ``try_first`` without what is fixed, as far as they are tried.

    With fixed values a point may lack what the space now suggests, or have what it does not: such a
    point is left out.
    """
    if not sweep.fixed:
        return list(sweep.try_first)
    points: list[Mapping[str, Any]] = []
    for point in sweep.try_first:
        others = {name: value for name, value in point.items() if name not in sweep.fixed}
        try:
            _settings_of(sweep, others, where)
        except SpaceError:
            continue
        if others not in points:
            points.append(others)
    return points


def settings_with(
    base: TrialSettings, chosen: Mapping[str, Any], where: str = "space"
) -> TrialSettings:
    """Return the base settings with these values in their place.

    Raises:
        CombinationError: the values do not go together.
        SpaceError: an unknown name, or a value that no trial can use.
    """
    known = TrialSettings.names()
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        alike = difflib.get_close_matches(unknown[0], known, n=1)
        fix = f"known are {', '.join(known)}"
        if alike:
            fix = f"perhaps {alike[0]} is meant"
        verb = "fixes" if where == OPTION else "suggests"
        place = _line_of(where, unknown[0])
        raise SpaceError(f"{verb} {', '.join(unknown)}", where=place, fix=fix)
    try:
        return dataclasses.replace(base, **chosen)
    except SpaceError as error:
        _, _, name = error.where.partition(".")
        place = _line_of(where, name)
        raise type(error)(error.found, where=place, fix=error.fix) from error


def _line_of(where: str, name: str) -> str:
    """Add to a space file's path the first line that has a setting's name as text."""
    quoted = re.compile(rf"""["']{re.escape(name)}["']""")
    for number, line in enumerate(linecache.getlines(where), 1):
        if quoted.search(line):
            return f"{where}:{number}"
    return where


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


def ask_space(space: Space, trial: Any, where: str = "space") -> Mapping[str, Any]:
    """Have the space suggest, and return what it fixes besides.

    Raises:
        SpaceError: its function failed, or it is no space.
    """
    if not callable(space):
        for name, distribution in space.items():
            suggest_one(trial, name, distribution, where)
        return {}
    try:
        fixed = space(trial)
    except Exception as error:
        raise error_in(_source_of(space), error) from error
    if fixed is None:
        return {}
    if not isinstance(fixed, Mapping):
        found = f"the function returned a {type(fixed).__name__}"
        raise SpaceError(found, where=where, fix="return a dict or nothing")
    return fixed


def _source_of(space: Any) -> Path:
    """Name the file of a space's function, also of a partial one or an object's ``__call__``."""
    function = getattr(space, "func", space)
    if not hasattr(function, "__code__"):
        function = type(function).__call__
    return Path(function.__code__.co_filename)
