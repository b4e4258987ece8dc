"""Has a sweep wait while its disk is nearly full, before a trial is lost to a full one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.table import format_bytes
from vibesweep.sweep.repeating import repeated
from vibesweep.sweep.steering import BY_THE_DISK, Steering, listening

LOOK_S = 5.0
WRITTEN_AT_A_TIME = 6.0
"""Checkpoints' worth that a lane may write before it is held back: one beside the one that it
replaces, and a state, which is as large as four or five."""
ROOM_TO_GO_ON = 1.25
"""How many times the reserve must be free again: between the two, nothing changes."""


class Room(NamedTuple):
    """What a disk has and what is kept free on it, in bytes."""

    free: int
    total: int
    reserve: int

    @property
    def is_short(self) -> bool:
        """Whether less is free than the lanes may write next; a disk that never had it is not."""
        return self.free < self.reserve < self.total

    @property
    def is_enough(self) -> bool:
        """Whether there is room to go on after a pause."""
        return self.free >= ROOM_TO_GO_ON * self.reserve


def room_of(folder: SweepFolder, place: Path, lanes: int) -> Room:
    """Look at the disk of a sweep's folder; the largest checkpoint so far says what is written."""
    sizes = [_size_of(checkpoint) for checkpoint in folder.checkpoints.folders()]
    largest = max(sizes, default=0)
    reserve = WRITTEN_AT_A_TIME * lanes * largest
    usage = shutil.disk_usage(place)
    return Room(usage.free, usage.total, int(reserve))


class DiskGuard:
    """Holds a sweep back while its disk is nearly full."""

    def __init__(
        self,
        folder: SweepFolder,
        lanes: int,
        pause: Callable[[bool], None],
        say: Say,
    ) -> None:
        """Guard a sweep's folder.

        Args:
            folder: the sweep's folder; one in a store is not looked at.
            lanes: how many trials write at the same time.
            pause: holds the lanes back after their reports, or lets them go on.
            say: told in a line of either.
        """
        self._folder = folder
        self._place = folder.place.local
        self._lanes = lanes
        self._pause = pause
        self._say = say
        self._paused = False

    def look(self) -> None:
        """Look at the disk, and do what is to be done."""
        if self._place is None:
            return
        room = room_of(self._folder, self._place, self._lanes)
        if not self._paused and room.is_short:
            self._turn(True)
            left = f"{format_bytes(room.free)} are left on the disk of {self._place}"
            needed = f"the lanes may write {format_bytes(room.reserve)} next"
            to_do = "make room, and it goes on by itself"
            self._say(f"paused, as {left} and {needed}: {to_do}")
        elif self._paused and room.is_enough:
            self._turn(False)
            self._say(f"going on: {format_bytes(room.free)} are free on the disk")

    def _turn(self, paused: bool) -> None:
        self._paused = paused
        self._pause(paused)


@contextmanager
def steered(folder: SweepFolder, steering: Steering, lanes: int) -> Iterator[None]:
    """Do what the user asks of a sweep, and what its disk demands, until the block ends."""

    def pause(paused: bool) -> None:
        steering.pause(BY_THE_DISK, paused)

    guard = DiskGuard(folder, lanes, pause, steering.say)
    with listening(folder, steering), repeated(guard.look, LOOK_S, "disk"):
        yield


def _size_of(folder: StoragePath) -> int:
    return sum(file.size for file in folder.files())
