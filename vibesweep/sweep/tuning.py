"""Runs a sweep's trials through Ray Tune, under Optuna and ASHA."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from vibesweep.config import Sweep
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.searcher import StepSearch
from vibesweep.sweep.trackers import Tracker
from vibesweep.sweep.trial import LaneTrial, beside_the_driver

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""Environment variables that keep Ray Tune's tables and files away, and its hands off Ctrl-C."""
ACTORS_LOST_AT_MOST = 3
"""A trial whose actor is lost more often has failed."""

WITHOUT_END = -1
"""Ray Tune's number for trials until the searcher has no more."""


def tune_trials(
    sweep: Sweep,
    dispatcher: Any,
    search: StepSearch,
    scheduler: StepAsha,
    log: SweepLog,
    trackers: Sequence[Tracker],
    scratch: Path,
) -> None:
    """Run the trials that are left until all have ended or the dispatcher is closed.

    Args:
        sweep: says how many trials there are, and their budget.
        dispatcher: gives each trial a lane.
        search: suggests the trials' settings.
        scheduler: decides at each rung who goes on.
        log: hears of everything that happens.
        trackers: hear of it after the log.
        scratch: folder for Tune's own files.
    """
    name = log.record.name

    def name_of(trial: Any) -> str:
        return f"{name}_{trial.config['number']}"

    trainable = tune.with_parameters(
        LaneTrial, dispatcher=dispatcher, budget=sweep.budget, sweep=name
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, beside_the_driver()),
        tune_config=tune.TuneConfig(
            num_samples=WITHOUT_END,  # the searcher says when it is over
            search_alg=search,
            scheduler=scheduler,
            max_concurrent_trials=sweep.trials_at_once(log.record.lanes),
            reuse_actors=True,
            trial_name_creator=name_of,
        ),
        run_config=_run_config(dispatcher, log, trackers, scratch),
    )
    with quiet_optuna():  # once, and not at each result
        tuner.fit()


def _run_config(
    dispatcher: Any, log: SweepLog, trackers: Sequence[Tracker], scratch: Path
) -> tune.RunConfig:
    return tune.RunConfig(
        name="tune",
        storage_path=str(scratch),
        callbacks=[log, *trackers],
        stop=_Stopper(dispatcher, log),
        failure_config=tune.FailureConfig(max_failures=ACTORS_LOST_AT_MOST),
        # Asked to save, an actor that is lost after the last report has its trial run again
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        verbose=0,
    )


class _Stopper(tune.Stopper):
    """Stops Tune when no lane can go on, or the user has stopped the sweep; or one trial."""

    def __init__(self, dispatcher: Any, log: SweepLog) -> None:
        self._dispatcher = dispatcher
        self._log = log

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._log.is_stopped_by_hand(result["config"]["id"])

    def stop_all(self) -> bool:
        return bool(ray.get(self._dispatcher.is_closed.remote()))


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Keep Ray Tune's and Ray Train's own tables and files away: the sweep has its own."""
    before = {name: os.environ.get(name) for name in QUIET}
    tune_log = logging.getLogger("ray.tune")
    level = tune_log.level
    os.environ.update(QUIET)
    tune_log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tune_log.setLevel(level)
        _restore(before)


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
