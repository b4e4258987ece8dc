"""Which file system of pyarrow speaks the scheme of an address.

pyarrow has S3, GCS, Azure and HDFS built in, so that nothing more need be installed for them. Every
other scheme goes through fsspec. The server of an S3 store is named in the address or by
``AWS_ENDPOINT_URL``; credentials are found where Amazon's own tools look for them
(``AWS_ACCESS_KEY_ID`` and the rest).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vibesweep.errors import StorageError
from vibesweep.storage.addresses import is_uri
from vibesweep.storage.os_errors import storage_error

_BUILT_IN = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_OBJECT_STORES = ("s3", "gcs", "abfs")  # as pyarrow names its file systems


def is_object_store(filesystem: Any) -> bool:
    """Tell whether files appear whole: an object is seen once its upload is complete."""
    return filesystem.type_name in _OBJECT_STORES


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turn an error of a store, or of this machine's disk, into one that names the address."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        # NotImplementedError: writing to a store that can only be read
        told = None if is_uri(address) else storage_error(error, address)
        if told is not None:
            raise told from error
        message = _one_line(error) or type(error).__name__
        fix = "see that the address is right, the store can be reached and its credentials are set"
        raise StorageError(message, where=address, fix=fix) from error


@functools.lru_cache(maxsize=1)
def local_filesystem() -> Any:
    """Return pyarrow's file system of this machine."""
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem()


@functools.lru_cache(maxsize=16)
def remote_filesystem(root: str, query: str) -> tuple[Any, str]:
    """Find the file system of a URI and the path of the URI's root on it.

    There is one for each store and process, since each opens connections of its own.

    Raises:
        StorageError: the address is wrong, or no installed package speaks its scheme.
    """
    import pyarrow
    from pyarrow.fs import FileSystem

    scheme = root.partition("://")[0].lower()
    if scheme not in _BUILT_IN:
        return _fsspec_filesystem(root, query)
    uri = f"{root}/{query}"
    try:
        filesystem, base = FileSystem.from_uri(uri)
    except pyarrow.ArrowNotImplementedError:  # a pyarrow that was built without this store
        return _fsspec_filesystem(root, query)
    except (OSError, ValueError) as error:
        fix = "see that the address is right and the store can be reached"
        raise StorageError(_one_line(error), where=uri, fix=fix) from error
    return filesystem, base.rstrip("/")


def _fsspec_filesystem(root: str, query: str) -> tuple[Any, str]:
    import fsspec
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    uri = f"{root}/{query}"
    try:
        filesystem, base = fsspec.core.url_to_fs(uri)
    except (ImportError, OSError, TypeError, ValueError) as error:
        # TypeError: the address lacks what the store needs, such as a host
        fix = (
            "see that the address is right, the store can be reached "
            "and the package that speaks this scheme is installed"
        )
        raise StorageError(str(error), where=uri, fix=fix) from error
    root_path = base.removesuffix(query).rstrip("/")
    return PyFileSystem(FSSpecHandler(filesystem)), root_path


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
