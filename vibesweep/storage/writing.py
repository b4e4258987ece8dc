"""Files that appear whole or not at all, on a file system and in an object store.

Each function takes a file system of pyarrow, the path on it, and the address that errors name.
"""

from __future__ import annotations

import posixpath
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vibesweep.storage.filesystems import is_object_store, store_errors
from vibesweep.storage.os_errors import disk_errors

COPY_BYTES = 1 << 20


def draft_name() -> str:
    """Make a hidden name for a file that is being written.

    It is random: another process, thread or host may be writing the same file.
    """
    return f".{secrets.token_hex(8)}.writing"


@contextmanager
def written_whole(filesystem: Any, path: str, address: str) -> Iterator[Any]:
    """Give a binary stream whose content becomes the file when the block ends without an error."""
    write = _uploaded_at_end if is_object_store(filesystem) else _moved_at_end
    with write(filesystem, path, address) as stream:
        yield stream


def upload_file(filesystem: Any, path: str, address: str, source: Path) -> None:
    """Copy a file of this machine to a path of the file system."""
    if is_object_store(filesystem):
        _upload_object(filesystem, path, address, source)
        return
    with source.open("rb") as content, _moved_at_end(filesystem, path, address) as stream:
        shutil.copyfileobj(content, stream, COPY_BYTES)


def _upload_object(filesystem: Any, path: str, address: str, source: Path) -> None:
    import pyarrow

    with (
        store_errors(address),
        pyarrow.memory_map(str(source)) as whole,
        filesystem.open_output_stream(path) as stream,
    ):
        stream.write(whole.read_buffer())


@contextmanager
def _uploaded_at_end(filesystem: Any, path: str, address: str) -> Iterator[Any]:
    """Write a temporary file on this machine, then upload it in one call.

    pyarrow has no way to abandon a stream to an object store: dropping it closes it and leaves half
    an object.
    """
    with tempfile.NamedTemporaryFile() as copy:
        with disk_errors(tempfile.gettempdir()):
            yield copy
            copy.flush()
        _upload_object(filesystem, path, address, Path(copy.name))


@contextmanager
def _moved_at_end(filesystem: Any, path: str, address: str) -> Iterator[Any]:
    """Write a draft beside the file, then move it into place."""
    folder = posixpath.dirname(path)
    draft = posixpath.join(folder, draft_name())
    with store_errors(address):
        filesystem.create_dir(folder, recursive=True)
        stream = filesystem.open_output_stream(draft)
    try:
        with disk_errors(address):
            yield stream
        with store_errors(address):
            stream.close()
            filesystem.move(draft, path)
    except BaseException:
        _abandon(filesystem, stream, draft)
        raise


def _abandon(filesystem: Any, stream: Any, draft: str) -> None:
    """Remove a draft; a full disk may refuse to close it, and it goes all the same."""
    try:
        with suppress(OSError):
            stream.close()
    finally:
        filesystem.delete_file(draft)
