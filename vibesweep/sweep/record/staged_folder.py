"""Where the driver writes a sweep as it goes on: in the sweep's own folder, or, where that is in a store, in a copy that follows to it.

Optuna appends to its journal and tensorboardX to its events, which no object store lets them do; so they have a disk, as has all else
that the driver writes. docs/design/storage.md says what lies where.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import Mirror
from vibesweep.sweep.record.record import RECORD, SCRATCH, SweepFolder


@dataclass(frozen=True)
class StagedFolder:
    """What the driver writes at.

    Attributes:
        folder: the sweep's files, on this machine's disk.
        push: says that something has been written; returns at once.
    """

    folder: SweepFolder
    push: Callable[[], None]

    @property
    def scratch(self) -> Path:
        """For what Tune and Train keep for themselves, on this host alone."""
        return Path(str(self.folder.scratch))


@contextmanager
def staged_folder_for(sweep: SweepFolder, tell: Callable[[str], None]) -> Iterator[StagedFolder]:
    """Give the driver a staged, and see at the end that the sweep's folder has all that was written there.

    Raises:
        StorageError: the store does not take it; the message says where all of it lies on this machine.
    """
    if sweep.place.local is not None:
        yield StagedFolder(sweep, lambda: None)
        return
    copy = Path(tempfile.mkdtemp(prefix=f"vibesweep-{sweep.place.name}-"))
    mirror = Mirror(copy, sweep.place, RECORD, skip={SCRATCH}, tell=tell)
    mirror.start()
    try:
        yield StagedFolder(SweepFolder(StoragePath.of(copy)), mirror.push)
    finally:
        _close(mirror, copy)
        shutil.rmtree(copy, ignore_errors=True)  # Tune may still be writing its own files there


def _close(mirror: Mirror, copy: Path) -> None:
    try:
        mirror.close()
    except StorageError as error:
        fix = f"all but the checkpoints is in {copy}: copy it there when the store can be reached"
        raise StorageError(error.found, where=error.where, fix=fix) from error
