"""Whose a sweep's name is: taken by what has trained, held by what runs, and free otherwise.

While a sweep runs it holds a lock on a file in its folder, which the operating system lets go of
however the process ends. So a name whose owner died before anything was trained can be taken again.
In a store, and on a disk that knows no locks, nobody can tell whether the owner lives: there such a
name is free once its record says that the sweep has ended. No ray is imported here.
"""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from vibesweep.errors import SweepError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.states import SweepState


class _Owner(Enum):
    """What is known of the process that claimed a name."""

    LIVES = "lives"
    GONE = "gone"
    UNKNOWN = "unknown"


def refuse_taken(folder: SweepFolder) -> None:
    """Refuse a name under which something was trained or is running.

    Raises:
        SweepError: it is taken.
        StorageError: the store cannot be reached.
    """
    place = folder.place
    if place.is_file():
        raise _taken(place)
    if place.is_dir():
        _refuse_owned(folder, _owner_of(folder))
        _refuse_trained(folder)


@contextmanager
def claimed(folder: SweepFolder, space_file: Path | None) -> Iterator[None]:
    """Hold a sweep's name until the block ends, and keep the space in its folder.

    What an untrained sweep of that name left is removed.

    Raises:
        SweepError: another sweep took the name meanwhile.
    """
    refuse_taken(folder)
    local = folder.place.local
    if local is None:
        _begin(folder, space_file)
        yield
        return
    local.mkdir(parents=True, exist_ok=True)
    with _held(folder, Path(str(folder.owner))):
        _refuse_trained(folder)  # by whoever held it a moment ago
        _begin(folder, space_file)
        yield


def _begin(folder: SweepFolder, space_file: Path | None) -> None:
    for leftover in _contents(folder):
        if leftover != folder.owner:
            leftover.remove()
    if space_file is not None:
        folder.space.write_bytes(space_file.read_bytes())


def _refuse_trained(folder: SweepFolder) -> None:
    names = tuple(place.name for place in _places_of(folder))
    foreign = [place for place in _contents(folder) if not place.name.startswith(names)]
    if foreign or folder.checkpoints.folders() or folder.best.is_dir():
        raise _taken(folder.place)
    record = _record_in(folder)
    if record is not None and any(trial.step for trial in record.trials):
        raise _taken(folder.place)


def _refuse_owned(folder: SweepFolder, owner: _Owner) -> None:
    if owner is _Owner.GONE:
        return
    if owner is _Owner.UNKNOWN:
        record = _record_in(folder)
        if record is None or record.state == SweepState.RUNNING:
            raise _taken(folder.place)
        return
    who = folder.owner.read_bytes().decode(errors="replace").strip()
    found = f"there is a sweep named {folder.place.name} already, which {who} is running"
    raise SweepError(found, where=str(folder.place), fix="choose another with --name, or stop it")


def _record_in(folder: SweepFolder) -> SweepRecord | None:
    """Read the record, if there is one.

    Raises:
        SweepError: it cannot be read; so the name is taken.
    """
    if not folder.holds_sweep():
        return None
    try:
        return folder.read()
    except SweepError as error:
        raise _taken(folder.place) from error


def _taken(place: StoragePath) -> SweepError:
    found = f"there is a sweep named {place.name} already"
    fix = f"choose another with --name, or remove {place}"
    return SweepError(found, where=str(place), fix=fix)


def _places_of(folder: SweepFolder) -> list[StoragePath]:
    """List the files and folders that a sweep may leave; Optuna's lock begins as its journal."""
    places = [place for place in vars(folder).values() if isinstance(place, StoragePath)]
    return [place for place in places if place.parent == folder.place]


def _contents(folder: SweepFolder) -> list[StoragePath]:
    """List what is in a sweep's folder, without hidden drafts of files."""
    files = [folder.place / file.name for file in folder.place.files()]
    found = [*folder.place.folders(), *files]
    return [place for place in found if not place.name.startswith(".")]


def _owner_of(folder: SweepFolder) -> _Owner:
    """Find out whether the process that claimed a folder lives."""
    if folder.owner.local is None:
        return _Owner.UNKNOWN
    try:
        handle = os.open(folder.owner.local, os.O_RDWR)
    except FileNotFoundError:
        return _Owner.GONE  # it left, or died before it had locked anything
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Owner.LIVES
    except OSError:
        return _Owner.UNKNOWN
    finally:
        os.close(handle)
    return _Owner.GONE


@contextmanager
def _held(folder: SweepFolder, file: Path) -> Iterator[None]:
    """Hold the lock on a folder's file, which says who holds it."""
    handle = _locked(folder, file)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is locked: whoever opened it meanwhile looks again
        os.close(handle)


def _locked(folder: SweepFolder, file: Path) -> int:
    """Open and lock a file, unless the disk knows no locks; return its handle.

    Raises:
        SweepError: another process holds it.
    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            _refuse_owned(folder, _Owner.LIVES)
        except OSError:
            return handle
        if _is_at(handle, file):
            return handle
        os.close(handle)  # its holder has just removed it


def _is_at(handle: int, file: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        named = file.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), named)
