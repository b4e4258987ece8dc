"""ASHA in optimizer steps: the place where it is decided at a rung whether a trial goes on.

A rung is a number of steps at which trials are compared
(:attr:`vibesweep.config.Budget.rung_steps`). A trial that comes to a rung goes on if its validation
loss is among the best 1/factor of all that have come there; the first to come always goes on.
Between rungs no trial is stopped.
docs/design/search.md says where this differs from Ray's own ASHA.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from vibesweep.config import Budget
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.events import TrialReported

METRIC = "loss_val"
TIME = "step"
HEARD = "heard"
"""What was measured in a trial's speech, by name, in a trainable's results."""


class StepAsha(AsyncHyperBandScheduler):
    """ASHA that stops a trial at once when its loss is not finite.

    Ray's own lets NaN live (``nan < cutoff`` is false) and lets an infinite loss into the rung,
    where the percentile of the others becomes NaN and nothing is stopped there any more. Here such
    a trial never enters a rung.
    """

    def __init__(self, budget: Budget, aim: Aim | None = None) -> None:
        """Lay out the rungs of a budget in steps; the aim, which is the loss, ranks trials."""
        self._aim = aim or Aim()
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="min",
            max_t=budget.last_step,
            grace_period=budget.report_steps[0],
            reduction_factor=budget.reduction_factor,
            stop_last_trials=False,  # a trial at the maximum is complete, and says so itself
        )

    def replay(self, reports: Iterable[TrialReported]) -> set[str]:
        """Decide again about the reports of a sweep that is resumed, which fills the rungs.

        Returns:
            The ids of the trials that it stopped.
        """
        stopped = set()
        for report in reports:
            trial = SimpleNamespace(trial_id=report.trial, config={})
            if report.trial not in self._trial_info:
                self.on_trial_add(None, trial)
            result = {METRIC: report.loss_val, TIME: report.step, HEARD: report.heard}
            if self.on_trial_result(None, trial, result) == TrialScheduler.STOP:
                stopped.add(report.trial)
        return stopped

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take a trial in, by the name that it keeps when the sweep is resumed."""
        super().on_trial_add(tune_controller, _by_own_id(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after a report whether the trial goes on."""
        if not math.isfinite(result[METRIC]):
            return str(TrialScheduler.STOP)
        scored = self._scored(result)
        return str(super().on_trial_result(tune_controller, _by_own_id(trial), scored))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Enter a trial's last report in its rung, if it is finite."""
        if math.isfinite(result.get(METRIC, math.nan)):
            scored = self._scored(result)
            super().on_trial_complete(tune_controller, _by_own_id(trial), scored)
        else:
            self._trial_info.pop(_by_own_id(trial).trial_id, None)

    def _scored(self, result: dict[str, Any]) -> dict[str, Any]:
        """Put the score in the place of the loss."""
        score = self._aim.score(result[METRIC], result.get(HEARD, {}))
        return {**result, METRIC: score}

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Let a trial go that could not be started."""
        super().on_trial_remove(tune_controller, _by_own_id(trial))


def _by_own_id(trial: Any) -> Any:
    """Return what Ray's ASHA knows a trial by.

    A sweep's trial has an id in its config, since Ray Tune's own is another in each run of it.
    """
    return SimpleNamespace(trial_id=trial.config.get("id", trial.trial_id))
