"""A trial's clone inside of the sweep that runs: asked for from another process. No ray is used.

What the clone begins with is copied first, then the sweep is asked. It writes the clone down before
anything else, so that it is trained even if the sweep is killed and resumed in between.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from vibesweep.config import Budget
from vibesweep.errors import ModelError, SweepError, VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.sweep.asking import HEARD_S, LOOK_S, ask, is_running
from vibesweep.sweep.clone import FIX, settings_of_clone
from vibesweep.sweep.record.events import CloneAsked
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.requests import Request, Wish
from vibesweep.training.state.checkpoint import copy_checkpoint, saved_best
from vibesweep.training.state.full_state import copy_state, has_state, saved_step

AS_A_SWEEP = "with --name it becomes a sweep of its own"
TRIES = 3
"""The trial replaces its state while it trains, at most every few seconds."""


def clone_inside(folder: SweepFolder, named: str, changes: Mapping[str, Any]) -> CloneAsked:
    """Have a running sweep train a clone of a trial; return once it has written that down.

    Args:
        folder: the sweep's.
        named: the trial's number or id.
        changes: settings that are to be others.

    Raises:
        SweepError: there is no such trial, nothing is saved of it, its steps are all done, the
            sweep's last trial has ended, or the sweep does not run or hear.
        SpaceError: the settings are none.
        ModelError: what is saved cannot be read.
    """
    record = folder.read()
    trial = record.trial_named(named)
    if not record.trials_left:
        raise SweepError("its last trial has ended", where=record.name, fix=AS_A_SWEEP)
    settings = settings_of_clone(folder, record, trial, changes)
    name = f"of_{trial.id}_{time.time_ns()}"
    begins = folder.clones / name
    try:
        step = _copy_newest(folder, trial, begins)
        _check_steps_are_left(record, trial, step)
        swept = {key: getattr(settings, key, value) for key, value in trial.swept.items()}
        clone = CloneAsked(name, trial.number, step, swept, dataclasses.asdict(settings))
        ask(folder, Request(Wish.CLONE, trial.id, clone))
    except VibesweepError:
        begins.remove()
        raise
    _wait_until_written(folder, clone)
    return clone


def _copy_newest(folder: SweepFolder, trial: TrialRecord, copy: StoragePath) -> int:
    """Copy a trial's state, or its best weights where there is none; return their step.

    Best weights may be some seconds newer, but without the optimizer's moments training is worse
    for longer than that.
    """
    for _ in range(TRIES - 1):
        try:
            return _copy_now(folder, trial, copy)
        except ModelError:  # it was replaced, or taken away as the trial ended
            time.sleep(LOOK_S)
    return _copy_now(folder, trial, copy)


def _copy_now(folder: SweepFolder, trial: TrialRecord, copy: StoragePath) -> int:
    state = folder.states / trial.id
    checkpoint = folder.checkpoints / trial.id
    if has_state(state):
        copy_state(state, copy)
        return saved_step(copy)
    if not saved_best(checkpoint).step:
        found = f"nothing is saved of trial {trial.number} yet"
        raise SweepError(found, where=str(folder.place), fix=FIX)
    copy_checkpoint(checkpoint, copy)
    return saved_best(copy).step


def _check_steps_are_left(record: SweepRecord, trial: TrialRecord, step: int) -> None:
    last_step = Budget(**record.sweep["budget"]).last_step
    if step < last_step:
        return
    found = f"trial {trial.number} has all of its {last_step} steps behind it"
    raise SweepError(found, where=record.name, fix=f"{AS_A_SWEEP}, longer with --max-steps")


def _wait_until_written(folder: SweepFolder, clone: CloneAsked) -> None:
    """Wait until the sweep's log has the clone.

    Raises:
        SweepError: it has not: the sweep came to its end, or was killed.
    """
    deadline_s = time.monotonic() + HEARD_S
    while time.monotonic() < deadline_s:
        runs = is_running(folder)
        names = [known["origin"] for known in folder.read().clones]
        if clone.origin in names:
            return
        if not runs:  # whoever goes on with it knows nothing of the clone
            (folder.clones / clone.origin).remove()
            break
        time.sleep(LOOK_S)
    found = "it came to its end before it took the clone"
    raise SweepError(found, where=str(folder.place), fix=AS_A_SWEEP)
