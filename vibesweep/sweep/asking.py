"""Asks a sweep that runs elsewhere to stop, to pause or to go on. No ray is imported here."""

from __future__ import annotations

import time

from vibesweep.errors import SweepError
from vibesweep.progress import Say
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.requests import Request, Wish
from vibesweep.sweep.record.states import ENDED

LOOK_S = 0.5
HEARD_S = 60.0
"""How long a running sweep may take to read a request: it looks every few seconds."""


def is_running(folder: SweepFolder) -> bool:
    """Tell whether the process that runs the sweep lives."""
    return folder.ownership.lives()


def ask(folder: SweepFolder, request: Request) -> None:
    """Ask a sweep that runs, and return once it has heard.

    Raises:
        SweepError: it does not run, or does not hear.
        StorageError: its folder cannot be written to.
    """
    record = folder.read()
    if not is_running(folder):
        found = f"it does not run: it is {record.state}"
        fix = f"`vibesweep resume {folder.place}` goes on with it"
        raise SweepError(found, where=str(folder.place), fix=fix)
    folder.requests.put(request)
    deadline_s = time.monotonic() + HEARD_S
    while folder.requests.waiting() and is_running(folder):
        if time.monotonic() > deadline_s:
            folder.requests.clear()
            found = f"it has not heard for {HEARD_S:.0f} s"
            fix = "Ctrl-C where it runs ends it, or a signal TERM to its process"
            raise SweepError(found, where=str(folder.place), fix=fix)
        time.sleep(LOOK_S)


def ask_to_stop(folder: SweepFolder, say: Say) -> SweepRecord:
    """Have a sweep end as on Ctrl-C, and return its record once it has.

    Raises:
        SweepError: it does not run, or does not hear.
        StorageError: its folder cannot be written to.
    """
    ask(folder, Request(Wish.STOP))
    say("it is told to stop; it ends within seconds and keeps everything")
    while is_running(folder):
        time.sleep(LOOK_S)
    return folder.read()


def ask_to_stop_trial(folder: SweepFolder, named: str) -> TrialRecord:
    """Have one trial end at its next report; return it as it stands.

    Raises:
        SweepError: there is no such trial, it has ended, or the sweep does not run or hear.
        StorageError: the sweep's folder cannot be written to.
    """
    record = folder.read()
    trial = record.trial_named(named)
    if trial.state in ENDED:
        fix = f"`vibesweep show {record.name}` shows those that run"
        raise SweepError(f"trial {named} is {trial.state}", where=record.name, fix=fix)
    ask(folder, Request(Wish.STOP, trial.id))
    return trial
