"""How events become a record, in the running sweep and in any process that reads its log."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from vibesweep.sweep.record.events import (
    BaseValidated,
    BestRepeated,
    CloneAsked,
    Event,
    SweepEnded,
    SweepPaused,
    SweepPlanned,
    SweepResumed,
    SweepStarted,
    TrialEnded,
    TrialEvent,
    TrialReported,
    TrialResumed,
    TrialStarted,
    events_in,
)
from vibesweep.sweep.record.record import (
    SweepRecord,
    TrialRecord,
    check_types,
    record_from_json,
)
from vibesweep.sweep.record.states import FINISHED, SweepState, TrialState


class Replay:
    """A sweep's record and its table of reports, as far as the events have come.

    Attributes:
        record: the sweep as it stands.
        reports: every report so far, in order.
    """

    def __init__(self, started: SweepStarted) -> None:
        self.record: SweepRecord = record_from_json({**started.record, "trials": []})
        self.reports: list[TrialReported] = []
        self._trials: dict[str, TrialRecord] = {}

    def apply(self, event: Event) -> None:
        """Enter what has happened; takes the same time however much has happened before."""
        match event:
            case BaseValidated():
                self.record.base_loss_val = _finite_or_none(event.base_loss_val)
            case SweepPlanned():
                self.record.plan = event.plan
            case SweepResumed():
                self._resume_sweep(event)
            case SweepPaused():
                self.record.state = SweepState.PAUSED if event.paused else SweepState.RUNNING
            case BestRepeated():
                self.record.repeats.append(dataclasses.asdict(event))
            case CloneAsked():
                self.record.clones.append(dataclasses.asdict(event))
            case SweepEnded():
                self.record.state = event.state
                self.record.ended_unix_s = event.ended_unix_s
                self.record.reached = event.reached
            case SweepStarted():
                raise ValueError("the sweep has started already")
            case _:
                self._apply_to_trial(event)

    def _apply_to_trial(self, event: TrialEvent) -> None:
        match event:
            case TrialStarted():
                self._start_trial(event)
            case TrialResumed():
                self._trials[event.trial].state = TrialState.RUNNING
            case TrialReported():
                self._enter_report(event)
            case TrialEnded():
                self._end_trial(event)

    def has(self, trial_id: str) -> bool:
        """Return whether the log tells of this trial."""
        return trial_id in self._trials

    def trial(self, trial_id: str) -> TrialRecord:
        """Return the trial of this id."""
        return self._trials[trial_id]

    def rows(self) -> list[dict[str, Any]]:
        """Return the table of reports, each with its trial's settings and state."""
        return [self._row(report) for report in self.reports]

    def _resume_sweep(self, event: SweepResumed) -> None:
        record = self.record
        record.state = SweepState.RUNNING
        record.resumed = True
        record.ended_unix_s = None
        record.reached = ""
        record.sweep["trials"] = event.trials
        record.lanes = event.lanes
        record.versions = event.versions
        record.hosts = event.hosts
        goes_on_from = record.sweep["budget"].get("max_steps")
        is_longer = event.budget not in ({}, record.sweep["budget"])
        if is_longer:
            record.sweep["budget"] = event.budget
        for trial in record.trials:
            came_to_the_end = trial.state == TrialState.COMPLETE and trial.step == goes_on_from
            if trial.state not in FINISHED or (is_longer and came_to_the_end):
                trial.state = TrialState.WAITING
                trial.reason = ""
                trial.ended_unix_s = None

    def _start_trial(self, event: TrialStarted) -> None:
        trial = TrialRecord(
            id=event.trial,
            number=event.number,
            swept=event.swept,
            settings=event.settings,
            started_unix_s=event.started_unix_s,
            cloned_from=event.cloned_from,
            cloned_at_step=event.cloned_at_step,
            origin=event.origin,
        )
        self._trials[trial.id] = trial
        self.record.trials.append(trial)

    def _enter_report(self, event: TrialReported) -> None:
        trial = self._trials[event.trial]
        trial.state = event.state
        trial.reason = event.reason
        trial.step = event.step
        trial.rung = event.rung
        trial.steps_per_s = event.steps_per_s
        trial.trained_parameters = event.trained_parameters
        trial.step_ms = event.step_ms
        trial.peak_memory_mb = max(trial.peak_memory_mb, event.peak_memory_mb)
        trial.tokens += event.tokens
        trial.row_tokens += event.row_tokens
        trial.loss_val = _finite_or_none(event.loss_val)
        trial.loss_train = _finite_or_none(event.loss_train)
        trial.best_loss_val = _finite_or_none(event.best_loss_val)
        trial.best_step = event.best_step
        trial.best_heard = event.best_heard
        trial.lane = event.lane
        trial.device = event.device
        trial.first_step_unix_s = trial.first_step_unix_s or event.first_step_unix_s
        self.reports.append(event)

    def _end_trial(self, event: TrialEnded) -> None:
        trial = self._trials[event.trial]
        trial.state = event.state
        trial.reason = event.reason
        trial.ended_unix_s = event.ended_unix_s

    def _row(self, report: TrialReported) -> dict[str, Any]:
        trial = self._trials[report.trial]
        return {
            "trial": trial.id,
            "number": trial.number,
            "step": report.step,
            "rung": report.rung,
            "loss_val": report.loss_val,
            "loss_train": report.loss_train,
            "learning_rate_now": report.learning_rate_now,
            "grad_norm": report.grad_norm,
            "steps_per_s": report.steps_per_s,
            "step_ms": report.step_ms,
            "peak_memory_mb": report.peak_memory_mb,
            "tokens": report.tokens,
            "row_tokens": report.row_tokens,
            "reported_unix_s": report.reported_unix_s,
            "lane": report.lane,
            **report.heard,
            **trial.settings,
            "state": trial.state.value,
        }


def replayed(content: bytes) -> Replay:
    """Make the record that a log tells of.

    Raises:
        KeyError, TypeError, ValueError: it is no log of a sweep, or one of another version.
    """
    events = events_in(content)
    started = next(events, None)
    if not isinstance(started, SweepStarted):
        raise ValueError("the log does not begin with the start of a sweep")
    replay = Replay(started)
    for event in events:
        replay.apply(event)
    for trial in replay.record.trials:
        check_types(trial)
    return replay


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
