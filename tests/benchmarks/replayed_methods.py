"""The searches that a replay compares: vibesweep's own, and its peers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState as OptunaState
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks.learning_curves import CurveTable
from tests.benchmarks.replay import Replay, ReplayedTrial
from vibesweep.config import Budget, Guess
from vibesweep.config.guess import FAIRLY
from vibesweep.config.sweep import FITS_THE_CORPUS
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.search.sampler import NO_GUESSES
from vibesweep.sweep.search.scheduler import METRIC, TIME, StepAsha
from vibesweep.sweep.search.searcher import StepSearch


class TunedTrial:
    """What a scheduler of Ray Tune asks of a trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.config: dict[str, Any] = {}
        self.status = Trial.RUNNING


class TuneMethod:
    """A searcher and a scheduler of Ray Tune, asked and told in the order in which Tune does."""

    def __init__(self, table: CurveTable, search: Searcher, scheduler: TrialScheduler) -> None:
        self._evaluations = table.evaluations
        self._search = search
        self._scheduler: Any = scheduler
        self._count = 0

    def next(self, replay: Replay) -> ReplayedTrial | None:
        """Ask for a new trial."""
        if replay.exhausted:
            return None
        trial_id = str(self._count)
        params = self._search.suggest(trial_id)
        if params is None:
            return None
        self._count += 1
        trial = replay.new_trial(trial_id, params)
        trial.state = TunedTrial(trial_id)
        self._scheduler.on_trial_add(None, trial.state)
        return trial

    def report(self, trial: ReplayedTrial, loss: float) -> bool:
        """Tell both of a report."""
        result = self._result(trial, loss)
        decision = TrialScheduler.STOP
        if not result["done"]:
            decision = self._scheduler.on_trial_result(None, trial.state, result)
        if decision == TrialScheduler.STOP:
            self._scheduler.on_trial_complete(None, trial.state, result)
            self._search.on_trial_complete(trial.id, result)
            return False
        self._search.on_trial_result(trial.id, result)
        return True

    def _result(self, trial: ReplayedTrial, loss: float) -> dict[str, Any]:
        """Say what a lane's trial says: it ends when it diverges, and at the budget's end."""
        outcome = TrialState.COMPLETE if trial.evaluations == self._evaluations else None
        if not math.isfinite(loss):
            outcome = TrialState.DIVERGED
        return {
            METRIC: loss,
            TIME: trial.evaluations,
            "training_iteration": trial.evaluations,
            "outcome": outcome,
            "done": outcome is not None,
        }


SEES_TRAINING = 2
"""A table's first loss may be that of the untouched weights, which ranks nothing. A sweep validates
the base apart, and a trial for the first time after it has trained."""


def vibesweep_defaults(
    table: CurveTable, seed: int, guesses: Mapping[str, Guess] = NO_GUESSES
) -> TuneMethod:
    """Return what a sweep uses, with rungs at the shares of a trial that a sweep has unasked."""
    usual = FITS_THE_CORPUS
    assert usual.grace_epochs is not None
    assert usual.max_epochs is not None
    most = table.evaluations
    grace = math.ceil(most * usual.grace_epochs / usual.max_epochs)
    grace = min(max(grace, SEES_TRAINING), most)
    budget = Budget(most, grace, usual.reduction_factor)
    search = StepSearch(table.space, max_steps=most, trials=table.rows, seed=seed, guesses=guesses)
    return TuneMethod(table, search, StepAsha(budget))


def vibesweep_guessing(
    table: CurveTable, seed: int, *, good: bool, sure: str = FAIRLY
) -> TuneMethod:
    """Return the same with guesses: a row of the best tenth, or of the worse half that trains."""
    finite = np.isfinite(table.losses).all(axis=1)
    trained = np.flatnonzero(finite)
    best_losses = table.losses[trained].min(axis=1)
    ranked = trained[np.argsort(best_losses)]
    tenth, half = table.rows // 10, len(ranked) // 2
    among = ranked[:tenth] if good else ranked[half:]
    row = np.random.default_rng(seed).choice(among)
    values = table.params(int(row))
    guesses = {name: Guess(value, sure) for name, value in values.items()}
    return vibesweep_defaults(table, seed, guesses)


def random_search(table: CurveTable, seed: int) -> TuneMethod:
    """Train random configurations to their end."""
    return TuneMethod(table, _ray_search(table, _random(seed)), FIFOScheduler())


def ray_asha_random(table: CurveTable, seed: int) -> TuneMethod:
    """Ray's own ASHA over random configurations."""
    return TuneMethod(table, _ray_search(table, _random(seed)), _ray_asha(table))


def ray_asha_tpe(table: CurveTable, seed: int) -> TuneMethod:
    """Ray's own ASHA over its OptunaSearch with multivariate TPE."""
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)
    return TuneMethod(table, _ray_search(table, sampler), _ray_asha(table))


class OptunaHyperband:
    """Optuna's TPE with its own defaults, under its Hyperband pruner."""

    def __init__(self, table: CurveTable, seed: int) -> None:
        self._table = table
        pruner = optuna.pruners.HyperbandPruner(max_resource=table.evaluations)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(sampler=sampler, pruner=pruner)

    def next(self, replay: Replay) -> ReplayedTrial | None:
        """Ask for a new trial."""
        if replay.exhausted:
            return None
        asked = self._study.ask(self._table.space)
        trial = replay.new_trial(str(asked.number), asked.params)
        trial.state = asked
        return trial

    def report(self, trial: ReplayedTrial, loss: float) -> bool:
        """Report, and ask the pruner."""
        asked = trial.state
        asked.report(loss, trial.evaluations)
        if not math.isfinite(loss) or asked.should_prune():
            self._study.tell(asked, state=OptunaState.PRUNED)
            return False
        if trial.evaluations == self._table.evaluations:
            self._study.tell(asked, loss)
            return False
        return True


RAY_GRACE, RAY_FACTOR = 3, 3
"""The first rung is at 3 evaluations, where Ray's ASHA does better than at 1 or at 6."""


def _ray_asha(table: CurveTable) -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        max_t=table.evaluations,
        grace_period=RAY_GRACE,
        reduction_factor=RAY_FACTOR,
    )


def _ray_search(table: CurveTable, sampler: optuna.samplers.BaseSampler) -> OptunaSearch:
    return OptunaSearch(table.space, metric=METRIC, mode="min", sampler=sampler)


def _random(seed: int) -> optuna.samplers.RandomSampler:
    return optuna.samplers.RandomSampler(seed=seed)
