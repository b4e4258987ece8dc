"""Copy whole folders between this machine and a store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage.filesystems import local_filesystem
from vibesweep.storage.mirror import Mirror
from vibesweep.storage.paths import StoragePath


@contextmanager
def fetched_folder(folder: StoragePath) -> Iterator[Path]:
    """Give a local path of a folder: its own, or that of a copy that lasts as long as the block.

    Raises:
        StorageError: there is no such folder in the store, or it cannot be copied.
    """
    if folder.local is not None:
        yield folder.local
        return
    if not folder.is_dir():
        raise StorageError("no such folder", where=str(folder), fix="see that the address is right")
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        copy = Path(scratch) / folder.name
        try:
            _copy_here(folder, copy)
        except OSError as error:
            raise StorageError(
                f"it cannot be copied here: {error}",
                where=str(folder),
                fix="see that there is room on this machine and the store can be reached",
            ) from error
        yield copy


def _copy_here(folder: StoragePath, target: Path) -> None:
    """Copy a folder of a store with everything in it.

    In an object store ``..`` is a name like any other, and ``copy_files`` would write it to the
    folder above.
    """
    from pyarrow.fs import FileSelector, copy_files

    entries = folder.filesystem.get_file_info(FileSelector(folder.path, recursive=True))
    for entry in entries:
        if ".." in entry.path.split("/"):
            raise OSError(f"{entry.path} leads out of the folder")
    target.mkdir()
    copy_files(
        folder.path,
        str(target),
        source_filesystem=folder.filesystem,
        destination_filesystem=local_filesystem(),
    )


def upload_folder(source: Path, target: StoragePath, last: str) -> None:
    """Copy a folder of this machine with everything in it.

    Args:
        source: the folder.
        target: the folder that its content goes to.
        last: the file that is uploaded last; readers take its presence to mean that all is there.

    Raises:
        StorageError: the store did not take a file.
    """
    Mirror(source, target, last).copy()


@contextmanager
def appended_folder(folder: StoragePath) -> Iterator[Path]:
    """Give a local folder to write further files into; those of a store are uploaded at the end.

    Raises:
        StorageError: the store did not take a file.
    """
    if folder.local is not None:
        folder.local.mkdir(parents=True, exist_ok=True)
        yield folder.local
        return
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        yield Path(scratch)
        upload_folder(Path(scratch), folder, "")
