"""Who runs a sweep, and whether that process lives: a lock, and a heartbeat where locks do not go.

The operating system lets go of a lock (flock) however its process ends, so a lock that is held is a
process that lives. But a store has no locks, and on some disks that several hosts share a lock is
known to its own host alone. So the owner also writes a heartbeat into the sweep's folder, which
names its process and host: on that host the process is looked up. On any other the heartbeat's age
says whether it lives; but the clocks of two hosts may differ by an hour. So whoever claims the
sweep, or asks something of it, waits for the next beat where the last one is old, and goes by its
own clock alone from then on. No ray is imported here.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json

BEAT_S = 10.0
"""How often an owner says that it lives."""
SILENT_S = 60.0
"""An owner on another host that has said nothing for so long is taken to be dead."""
WATCH_S = 2.5 * BEAT_S
"""How long a process that claims a sweep waits for another beat of an owner on another host."""
LOOK_S = 1.0
"""How often it looks."""
SAME_START_S = 2.0
"""Fewest seconds between the starts of two processes: the host's own start is known to a second."""
SETTLE_S = 2.0
"""How long two processes that claim a sweep in a store at once wait to see who came last."""


class Owner(Enum):
    """What is known of the process that owns a sweep."""

    LIVES = "lives"
    GONE = "gone"
    UNKNOWN = "unknown"


class OwnedError(Exception):
    """Another process that lives owns the sweep."""


@dataclass(frozen=True)
class Heartbeat:
    """What an owner says of itself.

    Attributes:
        token: told apart from every other owner by it.
        process: number of its process.
        process_started_unix_s: when that process started, since numbers are given anew.
        host: name of its host.
        processes_of: what its process number counts in: a boot of a host, and a container on it.
        beat_unix_s: when this was written.
        booted_unix_s: when the host started. Both starts move where the host's clock is set, and
            their difference stays. 0 in what older versions wrote.
    """

    token: str
    process: int
    process_started_unix_s: float
    host: str
    processes_of: str
    beat_unix_s: float
    booted_unix_s: float = 0.0

    def __str__(self) -> str:
        """Name the process."""
        return f"process {self.process} on {self.host}"


class _Watched:
    """When an owner's beats came, by this process's own clock.

    Attributes:
        silent_s: seconds since the last beat that was seen to come; ``None`` where none was.
    """

    def __init__(self) -> None:
        self._beat: Heartbeat | None = None
        self._looked_s = 0.0
        self._came_s: float | None = None

    @property
    def silent_s(self) -> float | None:
        if self._came_s is None:
            return None
        return time.monotonic() - self._came_s

    def note(self, beat: Heartbeat) -> None:
        """Note what is there now. A beat that may have come long before now tells nothing."""
        now_s = time.monotonic()
        if self._beat is not None and beat != self._beat:
            looked_lately = now_s - self._looked_s < SILENT_S
            self._came_s = now_s if looked_lately else None
        self._beat = beat
        self._looked_s = now_s


class Ownership:
    """The lock and the heartbeat of one sweep."""

    def __init__(self, lock: StoragePath, heartbeat: StoragePath) -> None:
        """Look at these two files of the sweep's folder; neither need be there."""
        self._lock = lock
        self._heartbeat = heartbeat
        self._watched = _Watched()

    def owner(self) -> Owner:
        """Find out whether the process that owns the sweep lives."""
        lock = self._lock.local
        locked = Owner.UNKNOWN if lock is None else _holder_of(lock)
        return locked if locked is Owner.LIVES else self._by_heartbeat(locked)

    def lives(self) -> bool:
        """Tell whether the process that owns the sweep lives, for as long as that takes.

        One on another host that seems dead is given time for another beat.
        """
        return self.owner() is Owner.LIVES or self._beats_elsewhere()

    def last_beat(self) -> Heartbeat | None:
        """Return what the owner last said of itself; ``None`` where there is nothing to read."""
        try:
            found = parse_json(self._heartbeat.read_bytes())
            beat = Heartbeat(**found)
        except (OSError, ValueError, TypeError):
            return None
        self._watched.note(beat)
        return beat

    @contextmanager
    def held(self) -> Iterator[None]:
        """Own the sweep until the block ends.

        Raises:
            OwnedError: another process does.
            StorageError: the store cannot be written to.
        """
        handle = self._locked()
        locked = Owner.UNKNOWN if handle is None else Owner.GONE
        try:
            if self._by_heartbeat(locked) is Owner.LIVES or self._beats_elsewhere():
                raise OwnedError
            with self._beating(may_meet_others=handle is None):
                yield
        finally:
            if handle is not None:
                self._lock.remove()  # while it is locked: whoever opened it meanwhile looks again
                os.close(handle)

    def _by_heartbeat(self, locked: Owner) -> Owner:
        """Find out whether an owner lives whose lock is free, or cannot be asked for."""
        beat = self.last_beat()
        if beat is None:
            return locked
        if _is_elsewhere(beat):  # whose locks this host may not see
            return Owner.LIVES if self._silent_s(beat) < SILENT_S else Owner.GONE
        if locked is Owner.GONE:
            return locked
        return Owner.LIVES if _process_lives(beat) else Owner.GONE

    def _silent_s(self, beat: Heartbeat) -> float:
        """Return how long an owner on another host has said nothing.

        Where its beats have not been seen to come, their time counts, or that of their file, by the
        clock of the disk or the store: whichever is nearer.
        """
        silent_s = self._watched.silent_s
        if silent_s is not None:
            return silent_s
        file = self._heartbeat.stat()
        times = [beat.beat_unix_s]
        if file is not None:
            times.append(file.mtime_ns / 1e9)
        now_unix_s = time.time()
        return min(abs(now_unix_s - written) for written in times)  # a clock may be ahead

    def _beats_elsewhere(self) -> bool:
        """Wait for another beat of an owner on another host; return whether there was one."""
        beat = self.last_beat()
        if beat is None or not _is_elsewhere(beat):
            return False
        began_s = time.monotonic()
        while self.last_beat() == beat:
            if time.monotonic() - began_s > WATCH_S:
                return False
            time.sleep(LOOK_S)
        return self.last_beat() is not None

    @contextmanager
    def _beating(self, *, may_meet_others: bool) -> Iterator[None]:
        """Say every few seconds that this process lives, in a thread."""
        own = _own_heartbeat()
        self._beat(own)
        if may_meet_others:
            time.sleep(SETTLE_S)
            last = self.last_beat()
            if last is not None and last.token != own.token:
                raise OwnedError
        ended = threading.Event()
        thread = threading.Thread(
            target=self._beat_until, args=(own, ended), name="heartbeat", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with suppress(StorageError):
                self._heartbeat.remove()

    def _beat_until(self, own: Heartbeat, ended: threading.Event) -> None:
        while not ended.wait(BEAT_S):
            # A store that is away for a while, or a full disk: the sweep itself says so
            with suppress(StorageError):
                self._beat(own)

    def _beat(self, own: Heartbeat) -> None:
        now = dataclasses.replace(own, beat_unix_s=time.time())
        self._heartbeat.write_bytes(json.dumps(dataclasses.asdict(now)).encode())

    def _locked(self) -> int | None:
        """Open and lock the file; ``None`` in a store, and on a disk that knows no locks.

        Raises:
            OwnedError: another process holds it.
        """
        file = self._lock.local
        while file is not None:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise OwnedError from None
            except OSError:
                os.close(handle)
                return None
            if _is_at(handle, file):
                return handle
            os.close(handle)  # its holder has just removed it
        return None


def _holder_of(file: Path) -> Owner:
    """Tell whether a process holds the lock on a file."""
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return Owner.GONE  # it left, or died before it had locked anything
    except OSError:
        return Owner.UNKNOWN  # a disk that can only be read
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Owner.LIVES
    except OSError:
        return Owner.UNKNOWN
    finally:
        os.close(handle)
    return Owner.GONE


def _is_at(handle: int, file: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        named = file.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), named)


def _own_heartbeat() -> Heartbeat:
    process = psutil.Process()
    return Heartbeat(
        token=secrets.token_hex(8),
        process=process.pid,
        process_started_unix_s=process.create_time(),
        host=platform.node(),
        processes_of=_processes_of(),
        beat_unix_s=time.time(),
        booted_unix_s=psutil.boot_time(),
    )


def _processes_of() -> str:
    """Name what this process's number counts in: this boot of the host, and the container."""
    parts = [platform.node()]
    with suppress(OSError):  # they are Linux's
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _is_elsewhere(beat: Heartbeat) -> bool:
    return beat.processes_of != _processes_of()


def _process_lives(beat: Heartbeat) -> bool:
    """Tell whether the process of a heartbeat of this host lives; its number may be another's."""
    try:
        process = psutil.Process(beat.process)
        after_boot_s = process.create_time() - psutil.boot_time()
        told_s = beat.process_started_unix_s - beat.booted_unix_s
        if abs(after_boot_s - told_s) >= SAME_START_S:
            return False
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
