"""StoragePath: a file or folder, used in the same way on this machine and in a store."""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibesweep.errors import StorageError
from vibesweep.storage import listing
from vibesweep.storage.addresses import is_uri, join_path, path_of_file_uri, split_address
from vibesweep.storage.filesystems import local_filesystem, remote_filesystem, store_errors
from vibesweep.storage.listing import Stat
from vibesweep.storage.os_errors import disk_errors
from vibesweep.storage.secrets import has_secret, without_options
from vibesweep.storage.writing import COPY_BYTES, draft_name, upload_file, written_whole


@dataclass(frozen=True, order=True)
class StoragePath:
    """A file or folder.

    Every method that asks a store raises a ``StorageError`` if the store cannot be reached, or if
    nothing installed speaks the scheme of the address.

    Attributes:
        address: an absolute local path or a URI; paths are equal if their addresses are. Made
            by :meth:`of`, not by hand.
    """

    address: str

    @classmethod
    def of(cls, address: StorageAddress) -> StoragePath:
        """Make one of a path, a URI or a StoragePath.

        A relative path starts from the working folder.

        Raises:
            StorageError: a ``file://`` address that names a host, or one with a password in it.
        """
        if isinstance(address, StoragePath):
            return address
        text = os.fspath(address)
        if text.startswith("file://"):
            text = path_of_file_uri(text)
        if not is_uri(text):
            return cls(os.path.abspath(text))
        if has_secret(text):
            raise StorageError(
                "the address has a password or a key in it, and addresses are written into records",
                where=without_options(text),
                fix="take it out, and set it in the environment, as in AWS_SECRET_ACCESS_KEY",
            )
        parts = split_address(text)
        return cls(parts.with_path(parts.path.rstrip("/")))

    def __truediv__(self, name: str) -> StoragePath:
        """Return a path inside this folder; an absolute path or a URI stands for itself."""
        if name.startswith("/") or is_uri(name):
            return StoragePath.of(name)
        parts = split_address(self.address)
        path = join_path(parts.path, name)
        if parts.root:
            path = path.rstrip("/")  # a store's root has no slash
        return StoragePath(parts.with_path(path))

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address; the bucket's name if there is nothing below it."""
        parts = split_address(self.address)
        return posixpath.basename(parts.path) or posixpath.basename(parts.root)

    @property
    def parent(self) -> StoragePath:
        """The folder that contains it; the parent of a store's root is the root itself."""
        parts = split_address(self.address)
        folder = parts.path.rpartition("/")[0]
        if not folder and not parts.root:
            folder = "/"
        return StoragePath(parts.with_path(folder))

    @property
    def local(self) -> Path | None:
        """The path if this is on this machine's file system, or ``None``."""
        return None if is_uri(self.address) else Path(self.address)

    @property
    def filesystem(self) -> Any:
        """The ``pyarrow.fs.FileSystem`` that has it."""
        return self._resolve()[0]

    @property
    def path(self) -> str:
        """The path on :attr:`filesystem`."""
        return self._resolve()[1]

    def relative_to(self, folder: StoragePath) -> str:
        """Return the path inside a folder, or the whole address if it is not in that folder."""
        own = split_address(self.address)
        other = split_address(folder.address)
        prefix = other.path.rstrip("/") + "/"
        same_store = (own.root, own.query) == (other.root, other.query)
        if same_store and own.path.startswith(prefix):
            return own.path.removeprefix(prefix)
        return self.address

    def is_file(self) -> bool:
        """Tell whether it exists and is a file."""
        return self._type() == "File"

    def is_dir(self) -> bool:
        """Tell whether it exists and is a folder."""
        return self._type() == "Directory"

    def stat(self) -> Stat | None:
        """Look up size and time of change of a file; ``None`` if there is no such file."""
        if not is_uri(self.address):
            return listing.local_stat(self.address)
        with store_errors(self.address):
            return listing.remote_stat(self.filesystem, self.path)

    def files(self) -> list[Stat]:
        """List the files right inside this folder, by name; none if there is no such folder."""
        with store_errors(self.address):
            if self.local is not None:
                found = listing.local_files(self.local)
            else:
                found = listing.remote_files(self.filesystem, self.path)
        return sorted(found, key=lambda file: file.name)

    def folders(self) -> list[StoragePath]:
        """List the folders right inside this one, by name; none if there is no such folder."""
        with store_errors(self.address):
            if self.local is not None:
                names = listing.local_folders(self.local)
            else:
                names = listing.remote_folders(self.filesystem, self.path)
        return [self / name for name in sorted(names)]

    def read_bytes(self) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        local = self.local
        if local is not None:
            return local.read_bytes()
        with self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
        return content

    def write_bytes(self, content: bytes) -> None:
        """Write the whole file at once: a reader sees all of it, or what was there before."""
        with self.writing() as stream:
            stream.write(content)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Give a binary stream whose content becomes the file, whole, when the block ends.

        What was there before stays until then, and for good if the block fails or is killed.
        """
        with store_errors(self.address):
            filesystem = self.filesystem
        with written_whole(filesystem, self.path, self.address) as stream:
            yield stream

    @contextmanager
    def drafted(self) -> Iterator[Path]:
        """Give a local path to write to, for libraries that cannot write to a stream.

        What is there when the block ends becomes this file, whole.
        """
        if self.local is not None:
            with _local_draft(self.local, self.address) as draft:
                yield draft
            return
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / self.name
            yield draft
            self.upload(draft)

    def upload(self, source: Path) -> None:
        """Copy a file of this machine here; a reader sees all of it or nothing."""
        with store_errors(self.address):
            filesystem = self.filesystem
        upload_file(filesystem, self.path, self.address, source)

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Give a local path of the file: its own, or that of a copy for the block.

        Raises:
            FileNotFoundError: it is in a store and there is no such file.
            OSError: it cannot be copied.
        """
        local = self.local
        if local is not None:
            yield local
            return
        # Readers go by the extension. The whole name may have 255 bytes, with no room for a suffix.
        extension = posixpath.splitext(self.name)[1]
        with tempfile.NamedTemporaryFile(suffix=extension) as copy:
            self.download(Path(copy.name))
            yield Path(copy.name)

    def download(self, target: Path) -> None:
        """Copy the file to a path of this machine.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be copied.
        """
        with self.filesystem.open_input_stream(self.path) as stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy, COPY_BYTES)

    def remove(self) -> None:
        """Remove a file, or a folder with everything in it; do nothing if there is neither."""
        found = self._type()
        with store_errors(self.address):
            if found == "File":
                self.filesystem.delete_file(self.path)
            elif found == "Directory":
                self.filesystem.delete_dir(self.path)

    def _type(self) -> str:
        """Return pyarrow's name of what is here: ``File``, ``Directory`` or ``NotFound``."""
        with store_errors(self.address):
            if self.local is None:
                return listing.remote_type(self.filesystem, self.path)
            if self.local.is_dir():
                return "Directory"
            return "File" if self.local.is_file() else "NotFound"

    def _resolve(self) -> tuple[Any, str]:
        """Return the file system and the path on it."""
        parts = split_address(self.address)
        if not parts.root:
            return local_filesystem(), parts.path
        filesystem, base = remote_filesystem(parts.root, parts.query)
        if base:
            return filesystem, base + parts.path
        return filesystem, parts.path.removeprefix("/")


StorageAddress = str | os.PathLike[str] | StoragePath
"""Whatever names a file or folder: a path, a URI or a StoragePath."""


@contextmanager
def _local_draft(target: Path, address: str) -> Iterator[Path]:
    """Give a hidden path in the target's folder, and move it to the target when the block ends."""
    with store_errors(address):
        target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(draft_name())
    try:
        with disk_errors(address, draft):
            yield draft
            draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
