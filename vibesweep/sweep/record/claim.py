"""Whose a sweep's name is: taken by what has trained, held by what runs, and free otherwise.

A name whose owner died before anything was trained can be taken again; one under which something
was trained can be resumed, or extended. Who owns a sweep is known to
:mod:`vibesweep.sweep.record.owner`. No ray is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vibesweep.errors import SweepError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.owner import OwnedError, Owner
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.states import FINISHED, GOING, RESUMABLE, SweepState


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
        _refuse_owned(folder, folder.ownership.owner())
        _refuse_trained(folder)


def resumable_record(folder: SweepFolder, *, more: bool) -> SweepRecord:
    """Return the record of a sweep that has begun here and can go on.

    Args:
        folder: the sweep's folder.
        more: whether it may have ended, since more trials are asked for than it had.

    Raises:
        SweepError: there is none, it has ended, or it runs.
        StorageError: the store cannot be reached.
    """
    record = folder.read()
    if folder.ownership.owner() is Owner.LIVES:
        raise _owned(folder)
    if record.state == SweepState.DONE and not more:
        found = f"all {len(record.trials)} trials have ended"
        fix = "ask for more with --trials or --max-steps, or start another sweep with --name"
        raise SweepError(found, where=str(folder.place), fix=fix)
    if not folder.events.is_file():
        found = "its log of events is not there, from which a sweep is resumed"
        fix = "`run` with another --name"
        raise SweepError(found, where=str(folder.place), fix=fix)
    return record


@contextmanager
def claimed(
    folder: SweepFolder, space_file: Path | None, *, resume: bool = False
) -> Iterator[None]:
    """Hold a sweep's name until the block ends, and keep the space in its folder.

    Args:
        folder: the sweep's folder.
        space_file: the space, as a file.
        resume: whether what is there is gone on with. Otherwise what an untrained sweep of that
            name left is removed.

    Raises:
        SweepError: another sweep took the name meanwhile.
    """
    local = folder.place.local
    if not resume:
        refuse_taken(folder)
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        if not resume:
            _refuse_trained(folder)  # by whoever held it a moment ago
            _begin(folder, space_file)
        yield


@contextmanager
def _held(folder: SweepFolder) -> Iterator[None]:
    try:
        with folder.ownership.held():
            yield
    except OwnedError:
        raise _owned(folder) from None


def _begin(folder: SweepFolder, space_file: Path | None) -> None:
    for leftover in _contents(folder):
        if leftover not in (folder.owner, folder.heartbeat):
            leftover.remove()
    if space_file is not None:
        folder.space.write_bytes(space_file.read_bytes())


def _refuse_trained(folder: SweepFolder) -> None:
    names = tuple(place.name for place in _places_of(folder))
    foreign = [place for place in _contents(folder) if not place.name.startswith(names)]
    record = _record_in(folder)
    trained = record is not None and any(trial.step for trial in record.trials)
    if foreign or trained or folder.checkpoints.folders() or folder.best.is_dir():
        raise _taken(folder.place, record)


def _refuse_owned(folder: SweepFolder, owner: Owner) -> None:
    if owner is Owner.UNKNOWN:
        record = _record_in(folder)
        if record is None or record.state in GOING:
            raise _taken(folder.place)
    if owner is Owner.LIVES:
        raise _owned(folder)


def _owned(folder: SweepFolder) -> SweepError:
    who = folder.ownership.last_beat() or "another process"
    found = f"there is a sweep named {folder.place.name} already, which {who} is running"
    return SweepError(found, where=str(folder.place), fix="choose another with --name, or stop it")


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


def _taken(place: StoragePath, record: SweepRecord | None = None) -> SweepError:
    found = f"there is a sweep named {place.name} already"
    fix = f"choose another with --name, or remove {place}"
    if record is not None and record.state in RESUMABLE:
        found = f"{found}, which {_how_it_stands(record)}"
        fix = f"go on with it by --resume, or `vibesweep resume {place}`, or {fix}"
    return SweepError(found, where=str(place), fix=fix)


def _how_it_stands(record: SweepRecord) -> str:
    ended = sum(trial.state in FINISHED for trial in record.trials)
    total = record.trials_wanted
    verb = "was interrupted" if record.state == SweepState.INTERRUPTED else record.state.value
    return f"{verb} with {ended} of {total} trials ended"


def _places_of(folder: SweepFolder) -> list[StoragePath]:
    """List the files and folders that a sweep may leave; Optuna's lock begins as its journal."""
    places = [place for place in vars(folder).values() if isinstance(place, StoragePath)]
    return [place for place in places if place.parent == folder.place]


def _contents(folder: SweepFolder) -> list[StoragePath]:
    """List what is in a sweep's folder, without hidden drafts of files."""
    files = [folder.place / file.name for file in folder.place.files()]
    found = [*folder.place.folders(), *files]
    return [place for place in found if not place.name.startswith(".")]
