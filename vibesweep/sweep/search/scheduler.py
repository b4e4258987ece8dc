"""Successive halving in optimizer steps: the place where it is decided whether a trial goes on.

At every validation from the grace on, a trial goes on while few enough others are better: of n
trials, the best ``n / reduction_factor`` at the grace, and at ``m`` times the grace an ``m``-th of
these, rounded up. At the rungs (:attr:`vibesweep.config.Budget.rung_steps`) that is
what ASHA lets through. Two trials are compared by their best losses up to the last step that both
have reached, so that a trial which came early is held against those that come later as well.
docs/design/search.md says what this brings over ASHA.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
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
class _Curve:
    """A trial's best scores so far, at the steps of its reports.

    Attributes:
        steps: rising.
        bests: the smallest score up to each step; never rising.
    """

    steps: list[int] = field(default_factory=list)
    bests: list[float] = field(default_factory=list)

    def add(self, step: int, score: float) -> None:
        self.bests.append(min([score, *self.bests[-1:]]))
        self.steps.append(step)


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
        self._grace = budget.report_steps[0]
        self._last_step = budget.last_step
        self._factor = budget.reduction_factor
        self._curves: dict[str, _Curve] = {}
        self._bests_at: dict[int, list[float]] = defaultdict(list)
        """By step: the best scores of all that have reported there, sorted."""
        self._bests_of_last: dict[int, list[float]] = defaultdict(list)
        """By step: the best scores of those whose last report that is, sorted."""
        self._counted = 0

    def replay(self, reports: Iterable[TrialReported]) -> set[str]:
        """Decide again about the reports of a sweep that is resumed, which brings its losses back.

        Returns:
            The ids of the trials that it stopped.
        """
        stopped = set()
        for report in reports:
            score = self._aim.score(report.loss_val, report.heard)
            if self._decide(report.trial, report.step, score) == TrialScheduler.STOP:
                stopped.add(report.trial)
        return stopped

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after a report whether the trial goes on."""
        return self._decide(_own_id(trial), result[TIME], self._score(result))

    def on_trial_complete(self, _controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Enter a trial's last report, if it is new."""
        curve = self._curves.get(_own_id(trial), _Curve())
        step = result.get(TIME, 0)
        if not curve.steps or step > curve.steps[-1]:
            self._decide(_own_id(trial), step, self._score(result))

    def _score(self, result: dict[str, Any]) -> float:
        return self._aim.score(result.get(METRIC, math.nan), result.get(HEARD, {}))

    def _decide(self, trial: str, step: int, score: float) -> str:
        """Enter a report, and say whether the trial goes on."""
        if not math.isfinite(score):
            self._leave(trial)
            return TrialScheduler.STOP
        curve = self._curves.setdefault(trial, _Curve())
        self._enter(curve, step, score)
        if not self._grace <= step < self._last_step:
            return TrialScheduler.CONTINUE
        if self._better_than(curve) < self._places_at(step):
            return TrialScheduler.CONTINUE
        return TrialScheduler.STOP

    def _places_at(self, step: int) -> int:
        """Return how many of the trials that have come to the grace may train beyond a step."""
        return math.ceil(self._counted * self._grace / (self._factor * step))

    def _enter(self, curve: _Curve, step: int, score: float) -> None:
        if curve.steps:
            _remove(self._bests_of_last[curve.steps[-1]], curve.bests[-1])
        before = bool(curve.steps) and curve.steps[-1] >= self._grace
        curve.add(step, score)
        insort(self._bests_of_last[step], curve.bests[-1])
        insort(self._bests_at[step], curve.bests[-1])
        self._counted += step >= self._grace and not before

    def _leave(self, trial: str) -> None:
        """Count a trial no more."""
        curve = self._curves.pop(trial, None)
        if curve is None:
            return
        _remove(self._bests_of_last[curve.steps[-1]], curve.bests[-1])
        for step, best in zip(curve.steps, curve.bests, strict=True):
            _remove(self._bests_at[step], best)
        self._counted -= curve.steps[-1] >= self._grace

    def _better_than(self, curve: _Curve) -> int:
        """Count the trials with a smaller score, each at the last step that both have reached."""
        *earlier, last = zip(curve.steps, curve.bests, strict=True)
        better = bisect_left(self._bests_at[last[0]], last[1])
        for step, best in earlier:
            if step >= self._grace:
                better += bisect_left(self._bests_of_last[step], best)
        return better


def _remove(ordered: list[float], value: float) -> None:
    del ordered[bisect_left(ordered, value)]


def _own_id(trial: Any) -> str:
    """Return what a trial is known by.

    A sweep's trial has an id in its config, since Ray Tune's own is another in each run of it.
    """
    return str(trial.config.get("id", trial.trial_id))
