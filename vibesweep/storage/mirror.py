"""Keep a copy of a folder of this machine in a store while the folder changes."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from vibesweep.errors import StorageError
from vibesweep.storage.paths import StoragePath

RETRY_S = 20.0
"""How long to wait before a failed upload is tried again, unless something changes sooner."""

Signature = tuple[int, int, int]
"""Inode, size and time of change of a file; a new one means new content."""


class Mirror:
    """Uploads what changes in a folder, in a thread.

    :meth:`push` says that something may have changed, and returns at once. Changes that come while
    an upload is under way are gathered for the next one. So a slow store delays nobody; its copy
    lacks what changed during one upload.
    """

    def __init__(
        self,
        source: Path,
        target: StoragePath,
        last: str,
        *,
        skip: Collection[str] = (),
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Mirror ``source`` to ``target``.

        Args:
            source: the folder.
            target: the folder in the store.
            last: the file that is uploaded last, since it tells of the others.
            skip: folders right inside ``source`` that are not uploaded.
            tell: called with a line when the store cannot be written to, and once more when it
                can again.
        """
        self._source = source
        self._target = target
        self._last = last
        self._skip = set(skip)
        self._tell = tell
        self._uploaded: dict[str, Signature] = {}
        self._changed = threading.Event()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def push(self) -> None:
        """Have the thread upload what has changed."""
        self._changed.set()

    def close(self) -> None:
        """Stop the thread and upload what is left.

        Raises:
            StorageError: the store did not take it.
        """
        self._closing = True
        self._changed.set()
        self._thread.join()
        self.copy()

    def copy(self) -> None:
        """Upload what has changed since the last time. This works without the thread too.

        Raises:
            StorageError: the store did not take a file.
        """
        signatures = dict(self._found())
        names = sorted(signatures, key=lambda name: (name == self._last, name))
        for name in names:
            if self._uploaded.get(name) == signatures[name]:
                continue
            (self._target / name).upload(self._source / name)
            self._uploaded[name] = signatures[name]

    def _found(self) -> Iterator[tuple[str, Signature]]:
        """List the files to mirror: their paths in the folder and their signatures.

        Signatures are taken before the files are read, so that no change is missed. Hidden files,
        which are drafts, and links are left out.
        """
        for folder, subfolders, names in os.walk(self._source):
            if Path(folder) == self._source:
                subfolders[:] = [name for name in subfolders if name not in self._skip]
            for name in names:
                path = Path(folder) / name
                # A draft may be moved into place meanwhile, and Optuna's lock comes and goes
                with suppress(FileNotFoundError):
                    facts = path.lstat()
                    if stat.S_ISREG(facts.st_mode) and not name.startswith("."):
                        inside = path.relative_to(self._source).as_posix()
                        yield inside, (facts.st_ino, facts.st_size, facts.st_mtime_ns)

    def _follow(self) -> None:
        while not self._closing:
            self._changed.wait(RETRY_S if self._failing else None)
            self._changed.clear()
            if not self._closing:
                self._try_to_copy()

    def _try_to_copy(self) -> None:
        try:
            self.copy()
        except StorageError as error:
            kept = f"It is tried again; meanwhile all is kept in {self._source}"
            self._report(f"{error} {kept}", failing=True)
        else:
            self._report(f"{self._target} can be written to again", failing=False)

    def _report(self, line: str, *, failing: bool) -> None:
        """Tell when the store begins to fail, and when it works again."""
        if self._tell is not None and failing != self._failing:
            self._tell(line)
        self._failing = failing
