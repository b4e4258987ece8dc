"""What is in a folder: on this machine by the operating system, elsewhere by pyarrow.

pyarrow is not asked about this machine's files, since it stops at a name that is not UTF-8.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stat:
    """What a folder says of one of its files.

    Attributes:
        name: the name in its folder.
        size: bytes.
        mtime_ns: when it last changed, Unix time in ns; 0 if the store does not say.
    """

    name: str
    size: int
    mtime_ns: int


def local_stat(path: str) -> Stat | None:
    """Look up a file; ``None`` if there is no regular file at the path.

    A corpus has a hundred thousand of them, and a ``Path`` takes longer to make than to look at.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Stat(os.path.basename(path), found.st_size, found.st_mtime_ns)


def local_files(folder: Path) -> list[Stat]:
    """List the files right inside a folder; none if it does not exist."""
    if not folder.exists():
        return []
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            # A link that leads nowhere, or back to itself, is no file
            facts = local_stat(entry.path)
            if facts is not None:
                found.append(facts)
    return found


def local_folders(folder: Path) -> list[str]:
    """Name the folders right inside a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.is_dir()]


def remote_type(filesystem: Any, path: str) -> str:
    """Return pyarrow's name of what is at a path: ``File``, ``Directory`` or ``NotFound``."""
    return str(filesystem.get_file_info(path).type.name)


def remote_stat(filesystem: Any, path: str) -> Stat | None:
    """Look up a file; ``None`` if there is no file at the path."""
    info = filesystem.get_file_info(path)
    if info.type.name != "File":
        return None
    return _to_stat(info)


def remote_files(filesystem: Any, path: str) -> list[Stat]:
    """List the files right inside a folder; none if it does not exist."""
    entries = _remote_entries(filesystem, path)
    return [_to_stat(info) for info in entries if info.type.name == "File"]


def remote_folders(filesystem: Any, path: str) -> list[str]:
    """Name the folders right inside a folder; none if it does not exist."""
    entries = _remote_entries(filesystem, path)
    return [info.base_name for info in entries if info.type.name == "Directory"]


def _remote_entries(filesystem: Any, path: str) -> list[Any]:
    from pyarrow.fs import FileSelector

    selector = FileSelector(path, allow_not_found=True)
    entries: list[Any] = filesystem.get_file_info(selector)
    return entries


def _to_stat(info: Any) -> Stat:
    return Stat(info.base_name, info.size or 0, info.mtime_ns or 0)
