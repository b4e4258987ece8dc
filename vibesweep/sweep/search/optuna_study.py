"""The sweep's study in Optuna: where it is kept, and which sampler draws its trials."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from vibesweep.config import Sweep
from vibesweep.storage import StoragePath

STUDY_NAME = "vibesweep"
FEWEST_RANDOM, MOST_RANDOM = 4, 10
"""How many trials the sampler draws at random first; Optuna's default is 10."""


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


def make_sampler(sweep: Sweep) -> optuna.samplers.BaseSampler:
    """Return a TPE sampler over all settings together.

    It has a model of its own for each branch of a conditional space (group), and takes trials that
    still run into account (constant liar). A third of the trials is drawn at random first.
    """
    third = sweep.trials // 3
    return optuna.samplers.TPESampler(
        multivariate=True,
        group=True,
        constant_liar=True,
        seed=sweep.seed,
        n_startup_trials=max(FEWEST_RANDOM, min(MOST_RANDOM, third)),
    )


def study_storage(journal: Path | StoragePath) -> optuna.storages.BaseStorage:
    """Open Optuna's own journal in a file: appended to, locked, read by any Optuna."""
    return JournalStorage(JournalFileBackend(str(journal)))
