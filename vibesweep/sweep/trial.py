"""A trial as Tune sees it: a light actor that asks a lane, through the dispatcher, for the next steps. It imports no torch."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ray
from ray import tune

from vibesweep.cluster.nodes import own_node
from vibesweep.config import Budget, Report, TrialSettings
from vibesweep.sweep.record.states import COMPLETE, DIVERGED, FAILED
from vibesweep.training.lanes.dispatcher import Answer, Command

LANES_LOST_AT_MOST = 2
"""A trial that has lost more worker groups than this is taken to be what kills them."""


def beside_the_driver() -> dict[str, float]:
    """What Tune reserves for a trial, which must reserve something: next to nothing of the host that the driver runs on.

    The lanes hold the CPUs and GPUs, and a trial only writes letters. On this host it sees the folder that Tune keeps its files in, and
    goes only when the driver goes.
    """
    names = [
        name
        for name in own_node()["Resources"]
        if name.startswith("node:") and not name.endswith("__")
    ]
    return {names[0]: 0.001}


class LaneTrial(tune.Trainable):
    """Trains from report to report. Tune reuses the actor for trial after trial, as a lane is reused."""

    def setup(
        self,
        config: dict[str, Any],
        dispatcher: Any = None,
        budget: Budget | None = None,
        sweep: str = "",
    ) -> None:
        """Take the post, the budget and the sweep's name (``tune.with_parameters``) and the first trial's config."""
        assert budget is not None
        self._dispatcher, self._budget, self._sweep = dispatcher, budget, sweep
        self.reset_config(config)

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor for as long as it lives; its calls to the dispatcher are named after the trial in hand."""
        return f"LaneTrial({self._sweep})"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self._settings = TrialSettings(**new_config["settings"])
        self._next_report, self._told_step, self._lanes_lost = 0, 0, 0
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the lane writes a trial's checkpoint, and Tune asks for one whenever it stops a trial."""

    def step(self) -> dict[str, Any]:
        """Have a lane train to the next report and say what came of it."""
        until = self._budget.report_steps[self._next_report]
        self._next_report += 1
        answer = self._advance(until)
        if answer.report is None:
            return _failure(answer)
        news = tuple(
            record for record in answer.report.curve if record.step > self._told_step
        )  # another lane may have gone back
        self._told_step = answer.report.step
        return _metrics(dataclasses.replace(answer.report, curve=news), self._budget)

    def _advance(self, until_step: int) -> Answer:
        """Ask a lane; where its processes are lost under the trial, ask another one, which goes on from the trial's last state."""
        command = Command(self.trial_id, self._settings, until_step)
        advance = self._dispatcher.advance.options(name=f"{self.trial_name} to step {until_step}")
        answer: Answer = ray.get(advance.remote(command))
        while answer.lost and self._lanes_lost < LANES_LOST_AT_MOST:
            self._lanes_lost += 1
            ray.get(self._dispatcher.leave.remote(self.trial_id))
            answer = ray.get(advance.remote(command))
        return answer


def _metrics(report: Report, budget: Budget) -> dict[str, Any]:
    outcome = None
    if report.diverged:
        outcome = DIVERGED
    elif report.early_stopped or report.step >= budget.max_steps:
        outcome = COMPLETE
    return {
        "step": report.step,
        "loss_val": report.loss_val,
        "rung": sum(report.step >= rung for rung in budget.rung_steps),
        "report": dataclasses.asdict(report),
        "outcome": outcome,
        "reason": report.diverged or "",
        "done": outcome is not None,
    }


def _failure(answer: Answer) -> dict[str, Any]:
    """End as a trial that says why, not as an exception: Tune would write its own files and try the actor again."""
    assert answer.error is not None
    facts = {"step": 0, "loss_val": math.nan, "rung": 0, "report": None}
    return {
        **facts,
        "outcome": FAILED,
        "reason": str(answer.error),
        "traceback": answer.traceback,
        "done": True,
    }
