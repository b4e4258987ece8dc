"""ASHA in optimizer steps. docs/design/search.md says where it differs from Ray's."""

from __future__ import annotations

import math
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from vibesweep.config import Budget

METRIC, TIME = "loss_val", "step"


class StepAsha(AsyncHyperBandScheduler):
    """Stops a trial at a rung unless it is among the best 1/factor that have come there. A loss that is not finite stops at once.

    Ray's own lets NaN live (``nan < cutoff`` is false) and lets an infinite loss into the rung, where the percentile of the
    others becomes NaN and nothing is stopped there any more. Here such a trial never enters a rung.
    """

    def __init__(self, budget: Budget) -> None:
        super().__init__(
            time_attr=TIME,
            metric=METRIC,
            mode="min",
            max_t=budget.max_steps,
            grace_period=budget.grace_steps,
            reduction_factor=budget.reduction_factor,
            stop_last_trials=False,  # a trial that reached the maximum is complete, and says so itself
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after a report."""
        if not math.isfinite(result[METRIC]):
            return str(TrialScheduler.STOP)
        return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Enter a trial's last report in its rung."""
        if math.isfinite(result.get(METRIC, math.nan)):
            super().on_trial_complete(tune_controller, trial, result)
        else:
            self._trial_info.pop(trial.trial_id, None)
