"""Syne Tune's multi-fidelity searches, where it is installed.

It is no dependency: versions up to 0.13 have MOBSTER and DyHPO (`pip install
"syne-tune[gpsearchers,kde]==0.13.0"` in an environment of its own).
"""

from __future__ import annotations

import datetime
import importlib
import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tests.benchmarks.learning_curves import CurveTable
from tests.benchmarks.replay import Replay, ReplayedTrial

LOSS, TIME = "loss", "evaluation"
NOT_FINITE = 1e3
"""What a loss that is not finite is told as: its models take no infinity."""


def why_not() -> str | None:
    """Say why Syne Tune's searches cannot be run here; ``None`` if they can."""
    if find_spec("syne_tune") is None:
        return "syne-tune is not installed"
    if not hasattr(importlib.import_module("syne_tune.optimizer.baselines"), "DyHPO"):
        return "this version of syne-tune has no DyHPO: install 0.13"
    return None


class SyneTuneMethod:
    """A scheduler of Syne Tune, which chooses configurations and what goes on."""

    def __init__(self, kind: str, table: CurveTable, seed: int, **options: Any) -> None:
        baselines = importlib.import_module("syne_tune.optimizer.baselines")
        self._trial_class = importlib.import_module("syne_tune.backend.trial_status").Trial
        self._space = importlib.import_module("syne_tune.config_space")
        self._evaluations = table.evaluations
        space = {name: self._domain(given) for name, given in table.space.items()}
        self._scheduler = getattr(baselines, kind)(
            {**space, "most": table.evaluations},
            metric=LOSS,
            mode="min",
            resource_attr=TIME,
            max_resource_attr="most",
            random_seed=seed,
            **options,
        )
        self._trials: dict[int, ReplayedTrial] = {}

    def next(self, replay: Replay) -> ReplayedTrial | None:
        """Ask which trial to begin or to go on with."""
        if replay.exhausted:
            return None
        number = len(self._trials)
        suggestion = self._scheduler.suggest(number)
        if suggestion is None:
            return None
        if not suggestion.spawn_new_trial_id:
            return self._trials[suggestion.checkpoint_trial_id]
        trial = replay.new_trial(str(number), suggestion.config)
        now = datetime.datetime.now(tz=datetime.UTC)
        trial.state = self._trial_class(number, suggestion.config, now)
        self._trials[number] = trial
        self._scheduler.on_trial_add(trial.state)
        return trial

    def report(self, trial: ReplayedTrial, loss: float) -> bool:
        """Report, and hear whether the trial goes on."""
        told = loss if math.isfinite(loss) else NOT_FINITE
        result = {LOSS: told, TIME: trial.evaluations}
        decision = self._scheduler.on_trial_result(trial.state, result)
        if trial.evaluations == self._evaluations or not math.isfinite(loss):
            self._scheduler.on_trial_complete(trial.state, result)
            return False
        return bool(decision == "CONTINUE")

    def _domain(self, distribution: BaseDistribution) -> Any:
        match distribution:
            case CategoricalDistribution(choices=choices):
                return self._space.choice(list(choices))
            case IntDistribution(low=low, high=high, log=log):
                return (self._space.lograndint if log else self._space.randint)(low, high)
            case FloatDistribution(low=low, high=high, log=log):
                return (self._space.loguniform if log else self._space.uniform)(low, high)
        raise TypeError(distribution)


def _made(kind: str, **options: Any) -> Callable[[CurveTable, int], SyneTuneMethod]:
    def make(table: CurveTable, seed: int) -> SyneTuneMethod:
        return SyneTuneMethod(kind, table, seed, **options)

    return make


SYNE_TUNE = {
    "Syne Tune's ASHA": _made("ASHA", type="promotion"),
    "Syne Tune's MOBSTER": _made("MOBSTER", type="promotion"),
    "Syne Tune's BOHB": _made("BOHB", type="promotion"),
    "Syne Tune's DyHPO": _made("DyHPO"),
}
