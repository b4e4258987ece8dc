"""What is asked of a running sweep from another terminal: stop, pause, go on, clone a trial."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray

from vibesweep.errors import StorageError, SweepError
from vibesweep.progress import Say
from vibesweep.sweep.record.events import CloneAsked
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.requests import Request, Wish
from vibesweep.sweep.repeating import repeated
from vibesweep.sweep.search.sweep_search import SweepSearch
from vibesweep.sweep.signals import Stopping

LISTEN_S = 1.0
"""How often a folder on a disk is looked at."""
LISTEN_TO_STORE_S = 5.0
BY_THE_USER, BY_THE_DISK = "by the user", "by the disk"
"""Why a sweep is paused; it goes on when neither holds."""


class Steering:
    """Does what is asked of a running sweep."""

    def __init__(
        self,
        log: SweepLog,
        dispatcher: Any,
        search: SweepSearch,
        stopping: Stopping,
        say: Say,
    ) -> None:
        """Steer the sweep of this log.

        Args:
            log: hears of it.
            dispatcher: holds the lanes back.
            search: suggests a clone as the next trial.
            stopping: ends the sweep, as on Ctrl-C.
            say: told in a line of each thing that is asked.
        """
        self._log = log
        self._dispatcher = dispatcher
        self._search = search
        self._stopping = stopping
        self.say = say
        self._pauses: set[str] = set()
        self._pausing = threading.Lock()

    def do(self, request: Request) -> None:
        """Do what one request asks; return at once."""
        if request.clone is not None:
            self._clone(request.clone)
        elif request.trial:
            self._stop_trial(request.trial)
        elif request.wish is Wish.STOP:
            self._stopping.ask()
        else:
            self.pause(BY_THE_USER, request.wish is Wish.PAUSE)
            self._tell_of_pause()

    def _stop_trial(self, trial_id: str) -> None:
        if self._log.stop_trial(trial_id):
            self.say(f"{trial_id} ends at its next report, as was asked")

    def _clone(self, clone: CloneAsked) -> None:
        """Have a clone be the next trial."""
        if not self._search.add_clone(clone, self._log.clone_asked):
            self.say(f"trial {clone.parent} is not cloned: the last trial has ended")
            return
        ray.get(self._dispatcher.expect_another_trial.remote())
        begins = f"trial {clone.parent}'s clone begins at step {clone.step}"
        self.say(f"{begins}, in the next place that is free")

    def pause(self, why: str, paused: bool) -> None:
        """Hold the lanes back for a reason, or no longer for that one."""
        with self._pausing:
            if paused:
                self._pauses.add(why)
            else:
                self._pauses.discard(why)
            # A disk that is nearly full is not filled with states
            saves = BY_THE_USER in self._pauses
            ray.get(self._dispatcher.set_paused.remote(bool(self._pauses), saves=saves))
            self._log.pause(bool(self._pauses))

    def _tell_of_pause(self) -> None:
        if BY_THE_USER in self._pauses:
            go_on = f"`vibesweep resume {self._log.record.name}` goes on"
            self.say(f"paused after what is in hand: {go_on}")
        elif self._pauses:
            self.say("still paused: its disk is nearly full")
        else:
            self.say("going on after a pause")


@contextmanager
def listening(folder: SweepFolder, steering: Steering) -> Iterator[None]:
    """Do what is asked in a sweep's folder, in a thread, until the block ends."""
    every_s = LISTEN_TO_STORE_S if folder.place.local is None else LISTEN_S
    listen = partial(_listen, folder, steering)
    with repeated(listen, every_s, "listening"):
        yield


def _listen(folder: SweepFolder, steering: Steering) -> None:
    try:
        for request in folder.requests.take():
            steering.do(request)
    except SweepError as error:  # a request that cannot be read
        steering.say(str(error))
    except (StorageError, OSError):  # it is away for a while, which the sweep itself tells
        return
