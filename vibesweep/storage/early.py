"""Looks whether a path can be written to, before hours of work depend on it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage.os_errors import storage_error
from vibesweep.storage.paths import StorageAddress, StoragePath

PROBE_BYTES = 4_096
"""One block of most file systems: a disk that does not take it is full."""


def check_folder_writable(folder: StorageAddress, option: str) -> None:
    """Refuse a folder of this machine that cannot be made or written to; stores are not asked.

    Nothing is left behind, not even the folder.

    Args:
        folder: the folder; it need not be there.
        option: the option or argument that named it, for the error.

    Raises:
        StorageError: it cannot be written to; the message says why.
    """
    local = StoragePath.of(folder).local
    if local is not None:
        _check(local, local, option)


def check_file_writable(file: Path, option: str) -> None:
    """Refuse a file whose folder cannot be made or written to, or that is a folder.

    Raises:
        StorageError: it cannot be written; the message says why.
    """
    local = StoragePath.of(file).local
    assert local is not None
    _check(local, local.parent, option)
    if local.is_dir():
        raise _refused(IsADirectoryError(errno.EISDIR, ""), local, option)


def _check(path: Path, folder: Path, option: str) -> None:
    """Write a block into the nearest folder that is there, in a file without a name."""
    try:
        _look_up(path)
        parent = nearest_folder(folder)
        with tempfile.TemporaryFile(dir=parent, buffering=0) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise _refused(error, path, option) from error


def _look_up(path: Path) -> None:
    """Have the system read the whole path; raises what it finds wrong with it."""
    try:
        os.stat(path)
    except FileNotFoundError:
        # The system stops at the first folder that is missing: look at each name by itself
        for name in path.parts[1:]:
            if len(os.fsencode(name)) > os.pathconf("/", "PC_NAME_MAX"):
                raise OSError(errno.ENAMETOOLONG, "", str(path)) from None


def nearest_folder(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there.

    Raises:
        NotADirectoryError: a file stands where one of them is needed.
    """
    for candidate in (folder, *folder.parents):
        if candidate.is_dir():
            return candidate
        if os.path.lexists(candidate):
            raise NotADirectoryError(errno.ENOTDIR, "", str(candidate))
    return Path("/")


def _refused(error: OSError, path: Path, option: str) -> StorageError:
    told = storage_error(error, f"{option} {path}")
    if told is None:
        raise error
    return told
