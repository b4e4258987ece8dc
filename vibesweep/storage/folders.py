"""Whole folders between this machine and a store: fetched, uploaded once, or mirrored for as long as they change."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath

RETRY_S = 20.0
"""A store that did not take a file is tried again after so long, or at the next change."""

Signature = tuple[int, int, int]


@contextmanager
def fetched_folder(place: StoragePath) -> Iterator[Path]:
    """A local path of a folder with all in it: its own, or that of a copy that goes when the block ends.

    Raises:
        StorageError: there is no such folder in the store, or it cannot be copied.
    """
    if place.local is not None:
        yield place.local
        return
    if not place.is_dir():
        raise StorageError("no such folder", where=str(place), fix="see that the address is right")
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        copy = Path(scratch) / place.name
        try:
            _fetch(place, copy)
        except OSError as error:
            fix = "see that there is room on this machine and the store can be reached"
            raise StorageError(
                f"it cannot be copied here: {error}", where=str(place), fix=fix
            ) from error
        yield copy


def _fetch(place: StoragePath, into: Path) -> None:
    into.mkdir()
    for file in place.files():
        (place / file.name).download(into / file.name)
    for folder in place.folders():
        _fetch(folder, into / folder.name)


def upload_folder(source: Path, place: StoragePath, last: str) -> None:
    """Copy a folder of this machine with all in it.

    Args:
        source: the folder.
        place: where what is in it goes.
        last: the file by which readers know that all is there, for it is written last.

    Raises:
        StorageError: the store did not take a file.
    """
    Mirror(source, place, last).copy()


class Mirror:
    """Keeps a folder of this machine, and what becomes of it, in a store too.

    :meth:`push` says that something may have changed and returns at once; a thread uploads what has. While one upload is under way the
    changes gather for the next, so a slow store holds nobody up: it is behind by what came in during one upload.
    """

    def __init__(
        self,
        source: Path,
        place: StoragePath,
        last: str,
        *,
        skip: Collection[str] = (),
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Mirror ``source`` to ``place``.

        Args:
            source: the folder.
            place: where what is in it goes.
            last: its file that is written last, and tells of the others.
            skip: folders right inside that stay here.
            tell: is told, once each time, that the store cannot be written to and that it can again.
        """
        self._source, self._place, self._last, self._skip, self._tell = (
            source,
            place,
            last,
            set(skip),
            tell,
        )
        self._done: dict[str, Signature] = {}
        self._changed, self._closing, self._failing = threading.Event(), False, False
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def push(self) -> None:
        """Have what has changed uploaded."""
        self._changed.set()

    def close(self) -> None:
        """Stop following and upload what is left.

        Raises:
            StorageError: the store did not take it.
        """
        self._closing = True
        self._changed.set()
        self._thread.join()
        self.copy()

    def copy(self) -> None:
        """Upload what has changed since the last time; used as it is where nobody follows.

        Raises:
            StorageError: the store did not take a file.
        """
        for name, signature in sorted(
            self._found(), key=lambda found: (found[0] == self._last, found[0])
        ):
            if self._done.get(name) != signature:
                (self._place / name).upload(self._source / name)
                self._done[name] = signature

    def _found(self) -> Iterator[tuple[str, Signature]]:
        """Each file's name, and what changes when its content does: taken before it is read, so that no change is missed."""
        for folder, inside, names in os.walk(self._source):
            if Path(folder) == self._source:
                inside[:] = [name for name in inside if name not in self._skip]
            for name in names:
                path = Path(folder) / name
                with suppress(
                    FileNotFoundError
                ):  # a draft that was moved into place, or Optuna's lock
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode) and not name.startswith("."):
                        yield (
                            path.relative_to(self._source).as_posix(),
                            (found.st_ino, found.st_size, found.st_mtime_ns),
                        )

    def _follow(self) -> None:
        while not self._closing:
            self._changed.wait(RETRY_S if self._failing else None)
            self._changed.clear()
            if not self._closing:
                self._try()

    def _try(self) -> None:
        try:
            self.copy()
        except StorageError as error:
            self._say(
                f"{error} It is tried again; meanwhile all is kept in {self._source}", failing=True
            )
        else:
            self._say(f"{self._place} can be written to again", failing=False)

    def _say(self, line: str, *, failing: bool) -> None:
        if self._tell is not None and failing != self._failing:
            self._tell(line)
        self._failing = failing
