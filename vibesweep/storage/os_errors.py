"""What the operating system refuses, in a user's words: what happened, where, what to do.

Only errors that come from outside are translated: a full disk, a path that cannot be used, a limit.
Any other OSError stays what it is, and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vibesweep.errors import DiskFullError, StorageError


class Refusal(NamedTuple):
    """What an error number means, as a clause, and what to do about it."""

    found: str
    fix: str


_READ_FIX = "see that the path is right"
_ANOTHER_FOLDER = "name a folder that you may write to"
REFUSALS = {
    errno.ENOSPC: Refusal("the disk is full", "make room, or name a folder on another disk"),
    errno.EDQUOT: Refusal(
        "your quota of the disk is used up", "make room, or name a folder on another disk"
    ),
    errno.EFBIG: Refusal(
        "the file would be larger than allowed", "raise the limit (ulimit -f), or use another disk"
    ),
    errno.EROFS: Refusal("the file system is read-only", _ANOTHER_FOLDER),
    errno.EACCES: Refusal("permission denied", "change its permissions, or name another path"),
    errno.EPERM: Refusal("the system does not permit it", "name another path"),
    errno.ENOENT: Refusal("no such file or folder", _READ_FIX),
    errno.ENOTDIR: Refusal("a file stands where a folder is needed", "name another path"),
    errno.EISDIR: Refusal("it is a folder, and a file is needed", "name a file"),
    errno.EEXIST: Refusal("it is there already", "name another path, or remove it"),
    errno.ENOTEMPTY: Refusal("the folder is not empty", "name another folder"),
    errno.ENAMETOOLONG: Refusal("the name is too long", "choose a shorter one"),
    errno.ELOOP: Refusal("a symbolic link leads back to itself", "remove the link"),
    errno.EMFILE: Refusal(
        "this process has too many files open", "raise the limit, as in `ulimit -n 65536`"
    ),
    errno.ENFILE: Refusal("the machine has too many files open", "end other programs"),
    errno.EIO: Refusal("the disk reports an error", "see the system's log, and use another disk"),
    errno.ESTALE: Refusal("the network disk has lost the file", "mount it again"),
    errno.EBUSY: Refusal("it is in use", "end the program that uses it, or name another path"),
    errno.ETXTBSY: Refusal("it is in use", "end the program that uses it, or name another path"),
    errno.ENXIO: Refusal("no device answers there", _READ_FIX),
    errno.ENODEV: Refusal("no device answers there", _READ_FIX),
}
"""The error numbers that a user can do something about."""

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
WRITING = FULL | {errno.EROFS, errno.EIO}
"""Numbers that only writing gives; the system does not say then which file it was."""

_QUOTED_PATH = re.compile(r"'([^']+)'")  # pyarrow has the path in its message alone
_RUST_NUMBER = re.compile(r"\(os error (\d+)\)")  # safetensors has the number there too


def storage_error(error: BaseException, where: str = "", fix: str = "") -> StorageError | None:
    """Translate an error of the operating system; ``None`` for any other exception.

    Args:
        error: an OSError, or Ray's error of a task that met one.
        where: the path to name, where the user would not know the one in the error.
        fix: what to do, where that is not the usual thing.
    """
    cause = getattr(error, "cause", None) or error  # of a Ray task
    if not isinstance(cause, OSError) or cause.errno not in REFUSALS:
        return None
    refusal = REFUSALS[cause.errno]
    kind = DiskFullError if cause.errno in FULL else StorageError
    return kind(refusal.found, where=where or _path_in(cause), fix=fix or refusal.fix)


def os_error_in(error: Exception) -> OSError | None:
    """Return the OSError that a library written in Rust has put into words, if there is one."""
    number = _RUST_NUMBER.search(str(error))
    if number is None:
        return None
    code = int(number[1])
    return OSError(code, os.strerror(code))


@contextmanager
def disk_errors(where: str, draft: Path | None = None) -> Iterator[None]:
    """Turn errors in writing a file or folder into a StorageError that names it.

    Errors about other files pass: they name their own path.

    Args:
        where: the file or folder that is written, as the user knows it.
        draft: the hidden path that it is written at first.
    """
    try:
        yield
    except Exception as error:
        told = _told_of(error, where, draft)
        if told is None:
            raise
        raise told from error


def is_writing_error(error: BaseException) -> bool:
    """Tell whether the disk did not take what was written."""
    return isinstance(error, OSError) and error.errno in WRITING


def _told_of(error: Exception, where: str, draft: Path | None) -> StorageError | None:
    """Translate an error about the file that is written; ``None`` for any other."""
    refused = error if isinstance(error, OSError) else os_error_in(error)
    if refused is None or not _is_about(refused, draft):
        return None
    return storage_error(refused, where)


def _is_about(error: OSError, draft: Path | None) -> bool:
    path = _path_in(error)
    if not path:
        return error.errno in WRITING
    return draft is not None and Path(path).is_relative_to(draft)


def _path_in(error: OSError) -> str:
    """Return the path that the error names, or nothing."""
    if error.filename is not None:
        return os.fsdecode(error.filename) if not isinstance(error.filename, int) else ""
    quoted = _QUOTED_PATH.search(str(error.strerror or ""))
    return quoted[1] if quoted else ""
