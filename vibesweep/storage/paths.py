"""Where files lie: a local path, an object store's address or any other that fsspec knows, spoken to through pyarrow.fs.

pyarrow has S3, GCS, Azure and HDFS built in, so that nothing more need be installed for them; every other scheme goes through fsspec.

A store on another server than Amazon's is named in the address, ``s3://bucket/folder?endpoint_override=host:port&scheme=http``, or
for all addresses by the variable ``AWS_ENDPOINT_URL``; credentials come from where Amazon's own tools look for them
(``AWS_ACCESS_KEY_ID`` and the rest). What follows the bucket is the key as it stands: ``%20``, ``#`` and ``?`` stand for themselves.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vibesweep.errors import StorageError


@dataclass(frozen=True)
class Stat:
    """A file's name in its folder, its size in bytes, and when it last changed (Unix time, ns; 0 where the store does not say)."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, order=True)
class StoragePath:
    """A file or folder. ``address`` is an absolute local path or a URI; two places are equal where their addresses are.

    Whatever asks a store raises a ``StorageError`` where it cannot be reached, or where nothing here speaks the address's scheme.
    """

    address: str

    @classmethod
    def of(cls, address: StorageAddress) -> StoragePath:
        """Make one of a path (a relative one is taken from the working folder), a URI or a StoragePath.

        Raises:
            StorageError: a ``file://`` address that names a host.
        """
        if isinstance(address, StoragePath):
            return address
        text = os.fspath(address)
        if text.startswith("file://"):
            text = _path_of_file_uri(text)
        if not _is_uri(text):
            return cls(os.path.abspath(text))
        root, path, query = _split(text)
        return cls(root + path.rstrip("/") + query)

    def __truediv__(self, name: str) -> StoragePath:
        """A place inside this folder; an absolute path or a URI stands for itself."""
        if name.startswith("/") or _is_uri(name):
            return StoragePath.of(name)
        root, path, query = _split(self.address)
        joined = f"{path}/{name}" if path != "/" else f"/{name}"
        if not _UNTIDY.search(joined):
            return StoragePath(root + joined + query)
        return StoragePath.of(
            root + posixpath.normpath(joined).replace("//", "/") + query
        )  # a store would take .. for a name

    def __str__(self) -> str:
        """The address."""
        return self.address

    @property
    def name(self) -> str:
        """The last part of the address; a bucket's where there is nothing below it."""
        root, path, _ = _split(self.address)
        return path.rpartition("/")[2] or root.rpartition("/")[2]

    @property
    def parent(self) -> StoragePath:
        """The folder it lies in; a store's root lies in itself."""
        root, path, query = _split(self.address)
        return StoragePath(root + (path.rpartition("/")[0] or ("" if root else "/")) + query)

    @property
    def local(self) -> Path | None:
        """The path, where the place is on this machine's file system."""
        return None if _is_uri(self.address) else Path(self.address)

    @property
    def filesystem(self) -> Any:
        """The ``pyarrow.fs.FileSystem`` it lies on."""
        return self._resolve()[0]

    @property
    def path(self) -> str:
        """Its path on that file system."""
        return self._resolve()[1]

    def relative_to(self, folder: StoragePath) -> str:
        """Its path inside a folder, or its whole address where it lies elsewhere."""
        root, path, query = _split(folder.address)
        own_root, own, own_query = _split(self.address)
        base = path.rstrip("/") + "/"
        return (
            own.removeprefix(base)
            if (own_root, own_query) == (root, query) and own.startswith(base)
            else self.address
        )

    def is_file(self) -> bool:
        """Whether it is there and a file."""
        return self._kind() == "File"

    def is_dir(self) -> bool:
        """Whether it is there and a folder."""
        return self._kind() == "Directory"

    def stat(self) -> Stat | None:
        """Size and time of change of a file; ``None`` where there is none."""
        if self.local is not None:
            return _local_stat(self.local)
        with _naming(self):
            info = self.filesystem.get_file_info(self.path)
        return (
            Stat(self.name, info.size or 0, info.mtime_ns or 0)
            if info.type.name == "File"
            else None
        )

    def files(self) -> list[Stat]:
        """The files right inside this folder, by name; none where there is no such folder."""
        with _naming(self):
            found = _local_files(self.local) if self.local is not None else self._remote_files()
        return sorted(found, key=lambda file: file.name)

    def folders(self) -> list[StoragePath]:
        """The folders right inside this one, by name; none where there is no such folder."""
        with _naming(self):
            found = _local_folders(self.local) if self.local is not None else self._remote_folders()
        return [self / name for name in sorted(found)]

    def read_bytes(self) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it cannot be read.
        """
        if self.local is not None:
            return self.local.read_bytes()
        with self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
        return content

    def write_bytes(self, content: bytes) -> None:
        """Write the whole file at once: a reader sees all of it or what was there before."""
        with self.writing() as stream:
            stream.write(content)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A binary stream to a file that is there, whole, when the block ends, and is not when the block fails or is killed.

        What was there before stays until then.
        """
        with _naming(self):
            filesystem = self.filesystem
        with _uploaded(self) if filesystem.type_name in _OBJECT_STORES else _moved(self) as stream:
            yield stream

    def upload(self, source: Path) -> None:
        """Copy a file of this machine here; it is whole or not there."""
        import pyarrow

        with _naming(self):
            filesystem = self.filesystem
        if filesystem.type_name in _OBJECT_STORES:
            with (
                _naming(self),
                pyarrow.memory_map(str(source)) as whole,
                filesystem.open_output_stream(self.path) as stream,
            ):
                stream.write(whole.read_buffer())
        else:
            with source.open("rb") as content, _moved(self) as stream:
                shutil.copyfileobj(content, stream, 1 << 20)

    @contextmanager
    def drafted(self) -> Iterator[Path]:
        """A local path to write to, for what writes to paths alone; what is there when the block ends becomes this file, whole."""
        if self.local is None:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder) / self.name
                self.upload(Path(folder) / self.name)
            return
        with _naming(self):
            self.local.parent.mkdir(parents=True, exist_ok=True)
        aside = self.local.with_name(f".{secrets.token_hex(8)}.writing")
        try:
            yield aside
            aside.replace(self.local)
        finally:
            aside.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove a file or a folder with all in it; nothing happens where there is none."""
        kind = self._kind()
        with _naming(self):
            if kind == "File":
                self.filesystem.delete_file(self.path)
            elif kind == "Directory":
                self.filesystem.delete_dir(self.path)

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """A local path of the file: its own, or that of a copy that goes when the block ends.

        Raises:
            FileNotFoundError: it lies elsewhere and is not there.
            OSError: it cannot be copied.
        """
        if self.local is not None:
            yield self.local
            return
        # The ending alone: readers go by it, and a whole name of 255 bytes would be too long
        with tempfile.NamedTemporaryFile(suffix=posixpath.splitext(self.name)[1]) as copy:
            self.download(Path(copy.name))
            yield Path(copy.name)

    def download(self, target: Path) -> None:
        """Copy the file to a path of this machine.

        Raises:
            FileNotFoundError: it is not there.
            OSError: it cannot be copied.
        """
        with self.filesystem.open_input_stream(self.path) as stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)

    def _kind(self) -> str:
        with _naming(self):
            if self.local is not None:
                return (
                    "Directory"
                    if self.local.is_dir()
                    else "File"
                    if self.local.is_file()
                    else "NotFound"
                )
            return str(self.filesystem.get_file_info(self.path).type.name)

    def _remote_files(self) -> list[Stat]:
        return [
            Stat(info.base_name, info.size or 0, info.mtime_ns or 0)
            for info in self._remote_entries()
            if info.type.name == "File"
        ]

    def _remote_folders(self) -> list[str]:
        return [info.base_name for info in self._remote_entries() if info.type.name == "Directory"]

    def _remote_entries(self) -> list[Any]:
        from pyarrow.fs import FileSelector

        entries: list[Any] = self.filesystem.get_file_info(
            FileSelector(self.path, allow_not_found=True)
        )
        return entries

    def _resolve(self) -> tuple[Any, str]:
        root, path, query = _split(self.address)
        if not root:
            return _local(), path
        filesystem, base = _remote(root, query)
        return filesystem, base + path if base else path.removeprefix("/")


StorageAddress = str | os.PathLike[str] | StoragePath
"""Whatever names a file or folder: a path, a URI or a StoragePath."""

_BUILT_IN = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_OBJECT_STORES = (
    "s3",
    "gcs",
    "abfs",
)  # pyarrow's names of their file systems: an object is seen when its upload is complete
_URI = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://[^/?]*)(.*?)(\?\w+=.*)?", re.DOTALL
)  # root, path, query
_UNTIDY = re.compile(r"//|/\.{0,2}(?:/|$)")  # an empty part, . or ..


def _is_uri(address: str) -> bool:
    return "://" in address and _URI.match(address) is not None


def _split(address: str) -> tuple[str, str, str]:
    """Root (scheme and host), path and query; a local path is all path. A ``?`` begins a query only before ``name=value``."""
    found = _URI.fullmatch(address) if "://" in address else None
    return (found[1], found[2], found[3] or "") if found else ("", address, "")


def _path_of_file_uri(uri: str) -> str:
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise StorageError(
            "it names a host, not a path",
            where=uri,
            fix="write three slashes, as in file:///data/corpus",
        )
    return unquote(slash + path)


def _local_stat(path: Path) -> Stat | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return (
        Stat(path.name, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
    )


def _local_files(folder: Path) -> list[Stat]:
    """By the operating system, not pyarrow, which stops at a name that is not UTF-8."""
    if not folder.exists():
        return []
    with os.scandir(folder) as entries:
        return [
            Stat(entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in entries
            if entry.is_file()
        ]


def _local_folders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


@contextmanager
def _uploaded(place: StoragePath) -> Iterator[Any]:
    """Write on this machine, then upload in one call.

    pyarrow offers no way to give up a stream to an object store: one that is dropped is closed, and half an object is there.
    """
    with tempfile.NamedTemporaryFile() as copy:
        yield copy
        copy.flush()
        place.upload(Path(copy.name))


@contextmanager
def _moved(place: StoragePath) -> Iterator[Any]:
    """Write beside it, then move into place."""
    filesystem, folder = place.filesystem, place.parent
    # Named at random: another process, thread or host may be writing the same file
    aside = (folder / f".{secrets.token_hex(8)}.writing").path
    with _naming(place):
        filesystem.create_dir(folder.path, recursive=True)
        stream = filesystem.open_output_stream(aside)
    try:
        yield stream
        with _naming(place):
            stream.close()
            filesystem.move(aside, place.path)
    except BaseException:
        stream.close()
        filesystem.delete_file(aside)
        raise


@contextmanager
def _naming(place: StoragePath) -> Iterator[None]:
    """Say which store it was that did not answer."""
    try:
        yield
    except (
        OSError,
        NotImplementedError,
    ) as error:  # NotImplementedError: writing to a store that is for reading alone
        message = " ".join(str(error).split()) or type(error).__name__
        fix = "see that the address is right, the store can be reached and its credentials are set"
        raise StorageError(message, where=place.address, fix=fix) from error


@functools.lru_cache(maxsize=1)
def _local() -> Any:
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()


@functools.lru_cache(maxsize=16)
def _remote(root: str, query: str) -> tuple[Any, str]:
    """The file system of a URI and the root's path on it; one for each store and process, since each opens connections of its own."""
    import pyarrow
    from pyarrow.fs import FileSystem

    if root.partition("://")[0].lower() not in _BUILT_IN:
        return _by_fsspec(root, query)
    try:
        filesystem, base = FileSystem.from_uri(f"{root}/{query}")
    except pyarrow.ArrowNotImplementedError:  # a pyarrow that was built without this store
        return _by_fsspec(root, query)
    except (OSError, ValueError) as error:
        fix = "see that the address is right and the store can be reached"
        raise StorageError(
            " ".join(str(error).split()), where=f"{root}/{query}", fix=fix
        ) from error
    return filesystem, base.rstrip("/")


def _by_fsspec(root: str, query: str) -> tuple[Any, str]:
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    try:
        filesystem, base = fsspec.core.url_to_fs(f"{root}/{query}")
    except (
        ImportError,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # TypeError: the address lacks what the store needs, such as a host
        fix = "see that the address is right, the store can be reached and the package that speaks this scheme is installed"
        raise StorageError(str(error), where=f"{root}/{query}", fix=fix) from error
    return PyFileSystem(FSSpecHandler(filesystem)), base.removesuffix(query).rstrip("/")
