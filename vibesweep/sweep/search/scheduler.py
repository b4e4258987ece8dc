"""Successive halving in optimizer steps: the place where it is decided whether a trial goes on.

At every validation from the grace on, a trial is held against all that have come to this step, by
their best losses up to there. Of n trials that have come to the grace, the best
``n / reduction_factor`` go on there, and at ``m`` times the grace an ``m``-th of these, rounded up:
at the rungs (:attr:`vibesweep.config.Budget.rung_steps`) that is what ASHA lets through. It is held
against the running trials behind it too, those past the rung before, at the last step of each.
Where a second objective is sought, those are ahead whom fewer trials beat in both.
docs/design/search.md says what this brings.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from vibesweep.config import Budget
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.events import TrialReported
from vibesweep.sweep.search.ranks import Ranks

METRIC = "loss_val"
TIME = "step"
HEARD = "heard"
"""What was measured in a trial's speech, by name, in a trainable's results."""


@dataclass
class _Curve:
    """What a trial is ranked by, at the steps of its reports.

    Attributes:
        steps: rising.
        bests: the smallest score up to each step; never rising.
        prices: what it has of the second objective at each.
    """

    steps: list[int] = field(default_factory=list)
    bests: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)

    @property
    def last_step(self) -> int:
        """The step of its last report; 0 before there is one."""
        return self.steps[-1] if self.steps else 0

    def add(self, step: int, score: float, price: float) -> float:
        """Enter a report; return the best score so far."""
        best = score
        if self.bests:
            best = min(best, self.bests[-1])
        self.steps.append(step)
        self.bests.append(best)
        self.prices.append(price)
        return best

    def is_beaten_by(self, other: _Curve) -> bool:
        """Whether another trial, which has not come as far, was better at its last step."""
        reports = bisect_right(self.steps, other.last_step)
        if not reports:  # a clone, whose first report is of a later step
            return False
        latest = reports - 1
        no_dearer = other.prices[-1] <= self.prices[latest]
        return no_dearer and other.bests[-1] < self.bests[latest]


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
        self._ranks_at: dict[int, Ranks] = defaultdict(Ranks)
        """By step: how all that have reported there stand."""
        self._counted = 0
        """How many have come to the grace."""
        self._running: set[str] = set()

    def replay(self, reports: Sequence[TrialReported], ended: Iterable[str] = ()) -> set[str]:
        """Decide again about the reports of a sweep that is resumed, which brings its losses back.

        Args:
            reports: in their order.
            ended: ids of the trials that ended otherwise, with their last reports.

        Returns:
            The ids of the trials that it stopped.
        """
        stopped = set()
        last = {report.trial: number for number, report in enumerate(reports)}
        ends = {last[trial] for trial in ended if trial in last}
        for number, report in enumerate(reports):
            score = self._aim.score(report.loss_val, report.heard)
            price = self._aim.ranked_price(vars(report))
            decision = self._decide(report.trial, report.step, score, price)
            if decision == TrialScheduler.STOP:
                stopped.add(report.trial)
            if number in ends:
                self._running.discard(report.trial)
        return stopped

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide after a report whether the trial goes on."""
        own_id = _own_id(trial)
        score = self._score(result)
        return self._decide(own_id, result[TIME], score, self._aim.ranked_price(result))

    def on_trial_complete(self, _controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Enter a trial's last report, if it is new."""
        own_id = _own_id(trial)
        known = self._curves.get(own_id, _Curve())
        step = result.get(TIME, 0)
        if step > known.last_step:
            score = self._score(result)
            self._decide(own_id, step, score, self._aim.ranked_price(result))
        self._running.discard(own_id)

    def on_trial_error(self, _controller: Any, trial: Any) -> None:
        """Hold no trial against one that has failed."""
        own_id = _own_id(trial)
        self._running.discard(own_id)

    def on_trial_remove(self, _controller: Any, trial: Any) -> None:
        """Hold no trial against one that is taken away."""
        own_id = _own_id(trial)
        self._running.discard(own_id)

    def _score(self, result: dict[str, Any]) -> float:
        loss = result.get(METRIC, math.nan)
        heard = result.get(HEARD, {})
        return self._aim.score(loss, heard)

    def _decide(self, trial: str, step: int, score: float, price: float) -> str:
        """Enter a report, and say whether the trial goes on."""
        if not math.isfinite(score):
            self._leave(trial)
            return TrialScheduler.STOP
        self._running.add(trial)
        curve = self._curves.setdefault(trial, _Curve())
        ahead = self._enter(curve, step, score, price)
        if step < self._grace or step >= self._last_step:
            return TrialScheduler.CONTINUE
        rivals = self._better_behind(curve)
        places = self._places_at(step)
        if ahead + len(rivals) < places:
            return TrialScheduler.CONTINUE
        self._running.discard(trial)
        if ahead < places:
            self._make_way(curve, rivals)
        return TrialScheduler.STOP

    def _better_behind(self, curve: _Curve) -> list[int]:
        """Return where the running trials are that were better there, from the rung before on."""
        step = curve.last_step
        rung_before = max(self._grace, step / self._factor)
        found = []
        for other in self._running:
            rival = self._curves[other]
            near = rung_before <= rival.last_step < step
            if near and curve.is_beaten_by(rival):
                found.append(rival.last_step)
        return found

    def _make_way(self, curve: _Curve, rivals: list[int]) -> None:
        """Let nobody be stopped for what a trial reached after rivals had been better.

        Else a newcomer's good start would end the trial before it, and that one's later losses the
        newcomer.
        """
        kept = bisect_right(curve.steps, min(rivals))
        reports = zip(curve.steps, curve.bests, curve.prices, strict=True)
        for step, best, price in islice(reports, kept, None):
            self._ranks_at[step].remove(best, price)

    def _places_at(self, step: int) -> int:
        """Return how many of the trials that have come to the grace may train beyond a step."""
        counted = self._counted * self._grace
        share = self._factor * step
        return math.ceil(counted / share)

    def _enter(self, curve: _Curve, step: int, score: float, price: float) -> int:
        """Add a report to its trial's curve and sort it in; return how many are ahead."""
        if curve.last_step < self._grace <= step:
            self._counted += 1
        best = curve.add(step, score, price)
        return self._ranks_at[step].enter(best, price)

    def _leave(self, trial: str) -> None:
        """Count a trial no more."""
        self._running.discard(trial)
        curve = self._curves.pop(trial, _Curve())
        for step, best, price in zip(curve.steps, curve.bests, curve.prices, strict=True):
            self._ranks_at[step].remove(best, price)
        if curve.last_step >= self._grace:
            self._counted -= 1


def _own_id(trial: Any) -> str:
    """Return what a trial is known by.

    A sweep's trial has an id in its config, since Ray Tune's own is another in each run of it.
    """
    own_id: str = trial.config.get("id", trial.trial_id)
    return own_id
