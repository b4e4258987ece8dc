"""Going on with a sweep: what must be as it was, and what may have changed.

The record says what was searched. A sweep that is resumed is given its space anew, since a space is
code; its corpus is the shards that it began with. No ray is imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

from vibesweep.config import Budget, Sweep
from vibesweep.errors import SweepError
from vibesweep.sweep.record.claim import resumable_record
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, sweep_as_json
from vibesweep.sweep.record.states import SweepState

MAY_CHANGE = (
    "trials",
    "lanes",
    "trials_per_lane",
    "resources",
    "budget",
    "max_failed_fraction",
    "step_timeout_s",
    "repeat_best",
    "keep_checkpoints",
)
"""What a sweep may have another of when it goes on, but for the budget, which is looked at once it
is one in steps."""
KEPT = {
    "corpus": "corpus",
    "model": "model",
    "trials": "trials",
    "fixed": "set",
    "repeat_best": "repeat-best",
}
"""What the command line may have changed of a space file's sweep, and need not say again; and by
which option."""


def as_it_began(
    sweep: Sweep, folder: SweepFolder, given: Collection[str], max_steps: int | None = None
) -> Sweep:
    """Return a space file's sweep with what the command line said when the sweep began.

    Its budget is the one in steps that the sweep has by now.

    Args:
        sweep: the space file's, with the options that are given now.
        folder: the folder of the sweep that is to go on.
        given: names of these options.
        max_steps: steps of a whole trial from now on, where they are to be more.

    Raises:
        SweepError: there is no sweep that can go on.
        SpaceError: a whole trial cannot have so few steps.
    """
    began = resumable_record(folder, more=True).sweep
    kept = {}
    for name, option in KEPT.items():
        if option not in given and name in began:
            kept[name] = began[name]
    budget = Budget(**began["budget"])
    if max_steps is not None:
        budget = dataclasses.replace(budget, max_steps=max_steps)
    return dataclasses.replace(sweep, budget=budget, **kept)


def only_delivery_is_left(sweep: Sweep, folder: SweepFolder) -> bool:
    """Tell whether every trial has ended, but not what `run` does after it: the report is last."""
    if folder.report.is_file() or not folder.holds_sweep():
        return False
    record = folder.read()
    if record.state != SweepState.DONE or record.best is None:
        return False
    return not _asks_for_more(sweep, record)


def check_resumable(sweep: Sweep, folder: SweepFolder, space_file: Path | None) -> None:
    """Refuse to go on with a sweep that runs, has ended, or searched something else.

    Raises:
        SweepError: it cannot go on; the message says why.
    """
    more = _asks_for_more(sweep, folder.read())
    record = resumable_record(folder, more=more)
    begun = len(record.own_trials)
    if sweep.trials < begun:
        found = f"trials is {sweep.trials}, and {begun} have begun"
        raise _another(found, folder)
    _check_same_sweep(sweep, record, folder)
    if space_file is not None and folder.space.is_file():
        _check_same_space(folder, space_file)


def is_longer(budget: Budget, record: SweepRecord) -> bool:
    """Tell whether a budget in steps differs from a sweep's only by a larger maximum."""
    began = Budget(**record.sweep["budget"])
    most = budget.max_steps
    if most is None or most <= began.last_step:
        return False
    as_long = dataclasses.replace(budget, max_steps=began.max_steps)
    return as_long == began


def _asks_for_more(sweep: Sweep, record: SweepRecord) -> bool:
    more_trials = sweep.trials > len(record.own_trials)
    return more_trials or is_longer(sweep.budget, record)


def check_same_budget(budget: Budget, folder: SweepFolder) -> None:
    """Refuse to go on with another budget, in steps, than the sweep began with, but a longer one.

    Raises:
        SweepError: it is another.
    """
    record = folder.read()
    began = record.sweep["budget"]
    now = dataclasses.asdict(budget)
    if now != began and not is_longer(budget, record):
        raise _another(f"budget is {now}, and was {began} when the sweep began", folder)


def _check_same_sweep(sweep: Sweep, record: SweepRecord, folder: SweepFolder) -> None:
    now = sweep_as_json(sweep)
    for name, began in record.sweep.items():
        same = now[name] == began
        if not same and name not in MAY_CHANGE:
            found = f"{name} is {now[name]!r}, and was {began!r} when the sweep began"
            raise _another(found, folder)


def _check_same_space(folder: SweepFolder, space_file: Path) -> None:
    began = folder.space.read_bytes()
    if space_file.read_bytes() == began:
        return
    found = "the space has changed since the sweep began"
    fix = f"take it as it was, {folder.space}, or start another sweep with --name"
    raise SweepError(found, where=str(space_file), fix=fix)


def _another(found: str, folder: SweepFolder) -> SweepError:
    fix = "leave it as it was, or start another sweep with --name"
    return SweepError(found, where=str(folder.place), fix=fix)
