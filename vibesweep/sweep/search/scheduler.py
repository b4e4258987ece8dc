"""Successive halving in optimizer steps: the place where it is decided whether a trial goes on.

At every validation from the first rung on, a trial is held against all that have come to the rung
which it passed last (:attr:`vibesweep.config.Budget.rung_steps`), by their best losses up to there:
it goes on while it is among the best ``1 / reduction_factor`` of them, rounded up. ASHA decides
once at a rung, so that those who come first go on uncompared; here they are held against those that
come later as well. The best of those that came furthest always goes on. docs/design/search.md says
what this brings.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from vibesweep.config import Budget
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.events import TrialReported

METRIC = "loss_val"
TIME = "step"
HEARD = "heard"
"""What was measured in a trial's speech, by name, in a trainable's results."""


@dataclass
class _Standing:
    """How a trial stands.

    Attributes:
        last_step: of its last report.
        best: its smallest score so far.
        at_rungs: the smallest score up to each rung that it has come to.
    """

    last_step: int = 0
    best: float = math.inf
    at_rungs: list[float] = field(default_factory=list)


class StepAsha(FIFOScheduler):
    """Asynchronous successive halving that decides at every validation.

    A trial whose loss is not finite is stopped at once and is not counted: NaN compares with
    nothing, and a share of trials that diverge would let worse ones through.

    A trainable reports ``loss_val`` and ``step``, at the same steps in every trial. It says itself
    when it is complete: at the budget's last step nothing is stopped.
    """

    def __init__(self, budget: Budget, aim: Aim | None = None) -> None:
        """Decide by the rungs of a budget in steps; the aim, which is the loss, ranks trials."""
        super().__init__()
        self._aim = aim or Aim()
        self.set_search_properties(METRIC, "min")
        self._rung_steps = budget.rung_steps
        self._last_step = budget.last_step
        self._factor = budget.reduction_factor
        self._trials: dict[str, _Standing] = {}
        self._rungs: list[list[float]] = [[] for _ in self._rung_steps]
        """The scores of those that have come to each rung, sorted."""

    def replay(self, reports: Iterable[TrialReported]) -> set[str]:
        """Decide again about the reports of a sweep that is resumed, which brings its losses back.

        Returns:
            The ids of the trials that it stopped.
        """
        stopped = set()
        for report in reports:
            score = self._aim.score(report.loss_val, report.heard)
            decision = self._decide(report.trial, report.step, score)
            if decision == TrialScheduler.STOP:
                stopped.add(report.trial)
        return stopped

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after a report whether the trial goes on."""
        own_id = _own_id(trial)
        score = self._score(result)
        return self._decide(own_id, result[TIME], score)

    def on_trial_complete(self, _controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Enter a trial's last report, if it is new."""
        own_id = _own_id(trial)
        known = self._trials.get(own_id, _Standing())
        step = result.get(TIME, 0)
        if step > known.last_step:
            score = self._score(result)
            self._decide(own_id, step, score)

    def _score(self, result: dict[str, Any]) -> float:
        loss = result.get(METRIC, math.nan)
        heard = result.get(HEARD, {})
        return self._aim.score(loss, heard)

    def _decide(self, trial: str, step: int, score: float) -> str:
        """Enter a report, and say whether the trial goes on."""
        if not math.isfinite(score):
            self._leave(trial)
            return TrialScheduler.STOP
        trial_now = self._trials.setdefault(trial, _Standing())
        self._enter(trial_now, step, score)
        if not trial_now.at_rungs or step >= self._last_step:
            return TrialScheduler.CONTINUE
        rung = len(trial_now.at_rungs) - 1
        own = trial_now.at_rungs[rung]
        rivals = self._rungs[rung]
        better = bisect_left(rivals, own)
        places = math.ceil(len(rivals) / self._factor)
        return TrialScheduler.CONTINUE if better < places else TrialScheduler.STOP

    def _enter(self, trial: _Standing, step: int, score: float) -> None:
        """Add a report, and the trial to the rungs that it has come to."""
        trial.last_step = step
        trial.best = min(trial.best, score)
        entered = len(trial.at_rungs)
        passed = bisect_right(self._rung_steps, step)
        for rung in self._rungs[entered:passed]:
            insort(rung, trial.best)
            trial.at_rungs.append(trial.best)

    def _leave(self, trial: str) -> None:
        """Count a trial no more."""
        left = self._trials.pop(trial, _Standing())
        for rung, score in zip(self._rungs, left.at_rungs, strict=False):
            _remove(rung, score)


def _remove(ordered: list[float], value: float) -> None:
    place = bisect_left(ordered, value)
    del ordered[place]


def _own_id(trial: Any) -> str:
    """Return what a trial is known by.

    A sweep's trial has an id in its config, since Ray Tune's own is another in each run of it.
    """
    own_id: str = trial.config.get("id", trial.trial_id)
    return own_id
