"""A trial as Ray Tune sees it: a light actor that asks a lane for the next steps.

It asks through the dispatcher, and imports no torch.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ray
from ray import tune

from vibesweep.cluster.nodes import own_node
from vibesweep.config import Budget, Report, TrialSettings
from vibesweep.config.costs import COSTS
from vibesweep.sweep.record.states import TrialState, outcome_of
from vibesweep.training.lanes.messages import Answer, Command

LANES_LOST_AT_MOST = 2
"""A trial that loses more worker groups than this between two reports is what kills them, unless
their hosts have gone."""
NAMED_TRIALS = 500
"""Trials whose tasks have names of their own. Ray keeps what it counts for each name, some 10 kB in
the actor that asks and in the one that answers, for as long as these live."""
SHARE_OF_HOST = 0.001
"""Share of the driver's host that Ray Tune reserves for a trial."""


def beside_the_driver() -> dict[str, float]:
    """Return what Ray Tune reserves for a trial: next to nothing of the driver's own host.

    Tune must reserve something, but the lanes hold the CPUs and GPUs, and a trial only sends
    messages. On the driver's host it sees the folder that Tune keeps its files in, and it goes only
    when the driver goes.
    """
    resources = own_node()["Resources"]
    hosts = [name for name in resources if name.startswith("node:") and not name.endswith("__")]
    return {hosts[0]: SHARE_OF_HOST}


class LaneTrial(tune.Trainable):
    """Trains from report to report. Ray Tune reuses the actor for trial after trial.

    It never saves: the lane writes the checkpoints.
    """

    def setup(
        self,
        config: dict[str, Any],
        dispatcher: Any = None,
        budget: Budget | None = None,
        sweep: str = "",
    ) -> None:
        """Take what all trials share, and the first trial's config.

        Args:
            config: the first trial's config (:meth:`SweepSearch.suggest`).
            dispatcher: the sweep's dispatcher.
            budget: the sweep's budget.
            sweep: the sweep's name.
        """
        assert budget is not None
        self._dispatcher = dispatcher
        self._budget = budget
        self._sweep = sweep
        self.reset_config(config)

    def __repr__(self) -> str:
        """Name the actor in Ray's dashboard; its calls are named after the trial."""
        return f"LaneTrial({self._sweep})"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self._id = new_config["id"]
        self._number = int(new_config["number"])
        self._settings = TrialSettings(**new_config["settings"])
        clone = new_config["clone"]
        self._origin: str = clone.get("origin", "")
        # A clone's first report is of steps that are its own
        begins_at = clone.get("cloned_at_step", 0)
        self._reported_step = max(new_config["reported_step"] or 0, begins_at)
        self._lanes_lost = 0
        return True

    def step(self) -> dict[str, Any]:
        """Have a lane train to the next report and return it as Tune's result."""
        steps = self._budget.report_steps
        reached = sum(step <= self._reported_step for step in steps)
        losses: list[Answer] = []
        answer = self._advance(steps[: reached + 1], losses)
        errors = "".join(map(_error_text, losses))
        if answer.report is None:
            return {**_failure(answer), "errors": errors + _error_text(answer)}
        report = self._without_known_steps(answer.report)
        self._reported_step = report.step
        self._lanes_lost = 0
        return {**_result(report, self._budget), "errors": errors}

    def _advance(self, report_steps: tuple[int, ...], losses: list[Answer]) -> Answer:
        """Ask a lane to train to the last of these steps.

        If the lane's processes are lost, ask another one, which goes on from the last saved state.

        Args:
            report_steps: as in :class:`Command`.
            losses: is given each answer that a lost lane gave.
        """
        command = Command(self._id, self._settings, report_steps, self._origin)
        name = task_name(self._sweep, self._number, report_steps[-1])
        advance = self._dispatcher.advance.options(name=name)
        answer: Answer = ray.get(advance.remote(command))
        while answer.lost and self._lanes_lost < LANES_LOST_AT_MOST:
            self._lanes_lost += not (answer.leaving or answer.host_died or answer.crowded)
            losses.append(answer)
            ray.get(self._dispatcher.release.remote(self._id))
            answer = ray.get(advance.remote(command))
        return answer

    def _without_known_steps(self, report: Report) -> Report:
        """Leave out steps that an earlier report had: another lane may have trained them again."""
        new = tuple(record for record in report.curve if record.step > self._reported_step)
        return dataclasses.replace(report, curve=new)


def task_name(sweep: str, number: int, step: int) -> str:
    """Return what Ray's dashboard calls a trial's way to a report."""
    trial = f"{sweep}_{number}" if number < NAMED_TRIALS else sweep
    return f"{trial} to step {step}"


def _error_text(answer: Answer) -> str:
    """Return what a trial's file of errors is to hold of an answer without a report."""
    if answer.sweep_over:
        return ""
    return f"{answer.error}\n{answer.traceback}\n"


def _result(report: Report, budget: Budget) -> dict[str, Any]:
    outcome = outcome_of(report, budget)
    passed = [rung for rung in budget.rung_steps if report.step >= rung]
    return {
        "step": report.step,
        "loss_val": report.loss_val,
        "best_loss_val": report.best_loss_val,
        "heard": report.heard,
        "best_heard": report.best_heard,
        **{name: getattr(report, name) for name in COSTS},
        "rung": len(passed),
        "report": dataclasses.asdict(report),
        "outcome": outcome,
        "reason": report.diverged or "",
        "done": outcome is not None,
    }


def _failure(answer: Answer) -> dict[str, Any]:
    """End as a trial that says why, and whether the error was its own or its processes were lost.

    An exception would make Tune write its own files and try the actor again. A trial that only ends
    because no lane is left has not failed: it goes on when the sweep is resumed.
    """
    assert answer.error is not None
    outcome = TrialState.STOPPED if answer.sweep_over else TrialState.FAILED
    return {
        "step": 0,
        "loss_val": math.nan,
        "best_loss_val": math.inf,
        "rung": 0,
        "report": None,
        "outcome": outcome,
        "reason": str(answer.error),
        "by_settings": answer.by_settings,
        "done": True,
    }
