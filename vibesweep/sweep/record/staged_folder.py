"""Where the driver writes a sweep as it runs: in the sweep's own folder, or in a copy on its disk.

Optuna appends to its journal, tensorboardX to its event files and the sweep to its log, which no
object store allows. For a sweep whose folder is in a store the driver writes to a local copy, and a
thread uploads what has changed. docs/design/storage.md says what lies where.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage import Mirror
from vibesweep.sweep.record.folder import EVENTS, SCRATCH, SweepFolder


@dataclass(frozen=True)
class StagedFolder:
    """Where the driver writes.

    Attributes:
        folder: the sweep's files, on this machine's disk.
        push: says that something has been written; returns at once.
    """

    folder: SweepFolder
    push: Callable[[], None]

    @property
    def scratch(self) -> Path:
        """The folder for what Ray Tune and Ray Train keep for themselves, on this host alone."""
        return Path(str(self.folder.scratch))


@contextmanager
def staged_folder_for(
    sweep: SweepFolder, tell: Callable[[str], None], *, resume: bool = False
) -> Iterator[StagedFolder]:
    """Give the driver a folder on its disk to write in; when the block ends, the sweep has it all.

    Args:
        sweep: the sweep's folder.
        tell: told in a line when the store cannot be written to, and when it can be again.
        resume: whether the files that are appended to are there already.

    Raises:
        StorageError: the store does not take the files; the message says where they are on this
            machine.
    """
    if sweep.place.local is not None:
        if resume:
            _mend(sweep)
            sweep.reopen()
        yield StagedFolder(sweep, _nothing_to_push)
        return
    copy = Path(tempfile.mkdtemp(prefix=f"vibesweep-{sweep.place.name}-"))
    staged = SweepFolder(copy)
    if resume:
        _fetch(sweep, copy)
        _mend(staged)
        sweep.reopen()
    # The log goes last: whoever reads it finds all that it tells of
    mirror = Mirror(copy, sweep.place, EVENTS, skip={SCRATCH}, tell=tell)
    mirror.start()
    try:
        yield StagedFolder(staged, mirror.push)
    finally:
        _close(mirror, copy)
        shutil.rmtree(copy, ignore_errors=True)  # Ray Tune may still be writing its own files there


def _nothing_to_push() -> None:
    """Do nothing: what is written is where it belongs."""


def _fetch(sweep: SweepFolder, copy: Path) -> None:
    """Bring the files that a sweep appends to from its store."""
    for file in (sweep.events, sweep.journal):
        if file.is_file():
            file.download(copy / file.name)


def _mend(folder: SweepFolder) -> None:
    """Clear away what a process that died in the middle of a line has left.

    Only the sweep's owner calls this, so nobody holds Optuna's lock on its journal.
    """
    for file in (folder.events, folder.journal):
        path = Path(str(file))
        if path.is_file():
            _cut_unfinished_line(path)
    journal = Path(str(folder.journal))
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    folder.scratch.remove()


def _cut_unfinished_line(file: Path) -> None:
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(file, whole)


def _close(mirror: Mirror, copy: Path) -> None:
    try:
        mirror.close()
    except StorageError as error:
        fix = f"all but the checkpoints is in {copy}: copy it there when the store can be reached"
        raise StorageError(error.found, where=error.where, fix=fix) from error
