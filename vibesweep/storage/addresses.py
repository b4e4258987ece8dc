"""How the address of a file or folder is written: an absolute local path, or a URI.

The address of a store may end in options,
``s3://bucket/folder?endpoint_override=host:port&scheme=http``. Everything else after the bucket is
the key, unescaped: ``%20``, ``#`` and ``?`` stand for themselves.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple
from urllib.parse import unquote

from vibesweep.errors import StorageError

_URI = re.compile(
    r"(?P<root>[A-Za-z][A-Za-z0-9+.-]*://[^/?]*)(?P<path>.*?)(?P<query>\?\w+=.*)?", re.DOTALL
)
_UNTIDY = re.compile(r"//|/\.{0,2}(?:/|$)")  # an empty part, . or ..


class AddressParts(NamedTuple):
    """The parts of an address.

    Attributes:
        root: scheme and host or bucket; empty for a local path.
        path: the path on that host or in that bucket.
        query: the store's options, with the ``?``; a ``?`` begins them only before ``name=value``.
    """

    root: str
    path: str
    query: str

    def with_path(self, path: str) -> str:
        """Return the address of another path in the same store."""
        return f"{self.root}{path}{self.query}"


def is_uri(address: str) -> bool:
    """Tell whether an address is a URI and not a local path."""
    return "://" in address and _URI.match(address) is not None


def split_address(address: str) -> AddressParts:
    """Split an address into its parts; a local path is all path."""
    found = None
    if "://" in address:
        found = _URI.fullmatch(address)
    if found is None:
        return AddressParts("", address, "")
    return AddressParts(found["root"], found["path"], found["query"] or "")


def join_path(folder: str, name: str) -> str:
    """Append a name to the path of a folder; ``.``, ``..`` and empty parts are resolved."""
    joined = f"/{name}" if folder == "/" else f"{folder}/{name}"
    if not _UNTIDY.search(joined):
        return joined
    return posixpath.normpath(joined).replace("//", "/")  # a store would take .. for a name


def path_of_file_uri(uri: str) -> str:
    """Convert a ``file://`` URI to a path.

    Raises:
        StorageError: it names a host.
    """
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise StorageError(
            "it names a host, not a path",
            where=uri,
            fix="write three slashes, as in file:///data/corpus",
        )
    return unquote(slash + path)
