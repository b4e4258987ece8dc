"""The sweep's study in Optuna: its name, and where it is kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from vibesweep.storage import StoragePath

STUDY_NAME = "vibesweep"


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's notices (a line a trial, experimental arguments) off the terminal.

    Errors stay errors.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def study_storage(journal: Path | StoragePath) -> optuna.storages.BaseStorage:
    """Open Optuna's own journal in a file: appended to, locked, read by any Optuna."""
    return JournalStorage(JournalFileBackend(str(journal)))
