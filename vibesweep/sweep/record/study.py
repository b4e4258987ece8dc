"""The sweep's study in Optuna: its name, and where it is kept."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from vibesweep.storage import StoragePath

STUDY_NAME = "vibesweep"


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's notices (a line a trial, experimental arguments) off the terminal.

    Errors stay errors.
    """
    level = optuna.logging.get_verbosity()
    if level == optuna.logging.ERROR:  # inside of another such block; each costs half a millisecond
        yield
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class _Journal(JournalFileBackend):
    """Optuna's journal in a file, without waiting for the disk at each line.

    A trial makes a dozen lines, and the disk takes milliseconds to confirm each. What a process has
    written outlives it all the same; a power failure may take what :func:`confirm` was not called
    for.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writing = JournalFileSymlinkLock(path)
        super().__init__(path, lock_obj=self._writing)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines under the lock that other processes take too."""
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        content = "".join(lines).encode()
        self._writing.acquire()
        try:
            with open(self._path, "ab") as file:
                file.write(content)
        finally:
            self._writing.release()


def study_storage(journal: Path | StoragePath) -> optuna.storages.BaseStorage:
    """Open Optuna's own journal in a file: appended to, locked, read by any Optuna."""
    return JournalStorage(_Journal(str(journal)))


def distributions_of(journal: Path | StoragePath) -> dict[str, BaseDistribution]:
    """Return where each setting of a study is drawn from, in the order of first appearance.

    Its lines are read, and no trial is made of them, which for ten thousand takes a second.
    """
    texts: dict[str, str] = {}
    for line in _Journal(str(journal)).read_logs(0):
        if "distribution" in line:
            texts[line["param_name"]] = line["distribution"]
        texts.update(line.get("distributions") or {})
    found = {}
    for name, text in texts.items():
        found[name] = json_to_distribution(text)
    return found


def confirm(journal: StoragePath) -> None:
    """Wait until the disk has what was written to a journal; there need not be one yet."""
    path = Path(str(journal))
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
