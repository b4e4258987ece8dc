"""Optuna behind Ray Tune, told what happened as it happened. docs/design/search.md says where it differs from Ray's searcher."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from vibesweep.config import Sweep
from vibesweep.errors import SpaceError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.record import SweepFolder
from vibesweep.sweep.record.states import COMPLETE, DIVERGED, FAILED, PRUNED, STOPPED
from vibesweep.sweep.search.scheduler import METRIC, TIME

STUDY_NAME = "vibesweep"


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's notices (a line a trial, experimental arguments) off the terminal; errors stay errors."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def make_sampler(sweep: Sweep) -> optuna.samplers.BaseSampler:
    """TPE over all settings together (multivariate), over each branch of a conditional space (group), and among running trials.

    It draws the first few trials at random: a third of them, four at least and ten (Optuna's default) at most.
    """
    startup = max(4, min(10, sweep.trials // 3))
    return optuna.samplers.TPESampler(
        multivariate=True, group=True, constant_liar=True, seed=sweep.seed, n_startup_trials=startup
    )


def study_storage(journal: Path | StoragePath) -> optuna.storages.BaseStorage:
    """Optuna's own journal in a file: appended to, locked, read by any Optuna."""
    return JournalStorage(JournalFileBackend(str(journal)))


def load_study(folder: SweepFolder) -> optuna.Study:
    """The sweep's study, as plain Optuna reads it."""
    with quiet_optuna():
        return optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))


class StepSearch(OptunaSearch):
    """Ray's OptunaSearch, with three differences.

    A trial that the scheduler stopped is PRUNED with its intermediate values (Ray: COMPLETE with its last value). One that
    diverged is PRUNED too and breaks a constraint, which puts it behind all others. A complete one is told its best validation
    loss, because the best checkpoint is what is kept. Values lie at optimizer steps, not at report numbers.
    """

    def __init__(self, sweep: Sweep, storage: optuna.storages.BaseStorage | None = None) -> None:
        self._sweep = sweep
        with quiet_optuna():
            super().__init__(
                space=sweep.space if callable(sweep.space) else dict(sweep.space),  # type: ignore[arg-type]  # it is never called there
                metric=METRIC,
                mode="min",
                points_to_evaluate=[dict(point) for point in sweep.try_first],
                sampler=make_sampler(sweep),
                study_name=STUDY_NAME,
                storage=storage,
            )
        self._best: dict[str, float] = {}
        self.error: SpaceError | None = None

    @property
    def study(self) -> optuna.Study:
        """The study as it stands."""
        return cast(optuna.Study, self._ot_study)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next trial's config: its number, what is swept, and its whole settings."""
        from vibesweep.sweep.search.space import suggest

        with quiet_optuna():
            trial = self._ot_trials.get(trial_id) or self.study.ask()
            self._ot_trials[trial_id] = trial
            try:
                swept, settings = suggest(self._sweep, trial)
            except SpaceError as error:
                self.error = error
                self._finish(trial_id, TrialState.FAIL, FAILED, str(error))
                raise
        return {"number": trial.number, "swept": swept, "settings": asdict(settings)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Enter a report at its step. Tune does not call this for a trial's last report."""
        loss = float(result[METRIC])
        with quiet_optuna():
            self._ot_trials[trial_id].report(loss, int(result[TIME]))
        if math.isfinite(loss):
            self._best[trial_id] = min(loss, self._best.get(trial_id, math.inf))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; ``result`` is its last report."""
        if trial_id in self._completed_trials:
            return
        outcome = FAILED if error or not result else str(result.get("outcome") or PRUNED)
        if result and outcome != FAILED:
            self.on_trial_result(trial_id, result)
        why = str((result or {}).get("reason", ""))
        states = {
            COMPLETE: TrialState.COMPLETE,
            PRUNED: TrialState.PRUNED,
            DIVERGED: TrialState.PRUNED,
        }
        self._finish(trial_id, states.get(outcome, TrialState.FAIL), outcome, why)

    def close(self) -> None:
        """Tell Optuna that whatever still runs was stopped by the user (FAIL: it says nothing about the settings)."""
        for trial_id in set(self._ot_trials) - self._completed_trials:
            self._finish(trial_id, TrialState.FAIL, STOPPED, "")

    def _finish(self, trial_id: str, state: TrialState, outcome: str, reason: str) -> None:
        trial = self._ot_trials[trial_id]
        self._completed_trials.add(trial_id)
        with quiet_optuna():
            trial.set_user_attr("outcome", outcome)
            if outcome == DIVERGED:
                trial.set_user_attr("diverged", reason)
                trial.set_constraint("diverged", 1.0)
            elif reason:
                trial.set_user_attr("reason", reason)
            value = self._best[trial_id] if state == TrialState.COMPLETE else None
            self.study.tell(trial, value, state=state)

    def save(self, checkpoint_path: str) -> None:
        """Only which trial is which: the study itself is durable."""
        state = {
            "trials": {tune_id: trial.number for tune_id, trial in self._ot_trials.items()},
            "completed": sorted(self._completed_trials),
            "best": self._best,
        }
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Find the trials again in the durable study."""
        state = json.loads(Path(checkpoint_path).read_text())
        ids = {trial.number: trial._trial_id for trial in self.study.get_trials(deepcopy=False)}
        self._ot_trials = {
            tune_id: optuna.Trial(self.study, ids[number])
            for tune_id, number in state["trials"].items()
        }
        self._completed_trials, self._best = set(state["completed"]), state["best"]
