"""Writes each event of a sweep to its log as it happens, and shows the record to watchers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ray import tune

from vibesweep.config import Report
from vibesweep.storage.os_errors import disk_errors
from vibesweep.storage.secrets import without_secrets
from vibesweep.sweep.record.curves import Curves
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
    TrialReported,
    TrialResumed,
    TrialStarted,
    line_of,
)
from vibesweep.sweep.record.plan import SweepPlan
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.staged_folder import StagedFolder
from vibesweep.sweep.record.states import ENDED, SweepState, TrialState, end_state
from vibesweep.sweep.record.study import confirm

ACTOR_LOST = "the trial's actor was lost; see Ray's logs"
BY_HAND = "stopped by hand"


class SweepLog(tune.Callback):
    """Hears of each event from Ray Tune and appends it to the sweep's log.

    An event costs one appended line, however long the sweep has run. The record is what the events
    make of it (:class:`vibesweep.sweep.record.replay.Replay`), here as for whoever reads the log.
    """

    def __init__(
        self,
        staged: StagedFolder,
        record: SweepRecord,
        watch: Iterable[Callable[[SweepRecord], None]],
        release: Callable[[str], None],
        former: Replay | None = None,
    ) -> None:
        """Start the log, or go on with it.

        Args:
            staged: where the driver writes.
            record: the sweep as it starts.
            watch: called with the record after each event.
            release: frees a trial's lane once Ray Tune is done with the trial.
            former: what has happened before, where the sweep is resumed.
        """
        self._staged = staged
        self._folder = staged.folder
        self._watch = tuple(watch)
        self._release = release
        self._stopped_by_hand: set[str] = set()
        self._begun: set[str] = set()
        self._curves = Curves(staged.folder.tensorboard)
        self._file = Path(str(staged.folder.events)).open("ab")
        if former is None:
            started = SweepStarted(dataclasses.asdict(record))
            self._replay = Replay(started)
            self._append(started)
        else:
            self._replay = former
            resumed = SweepResumed(
                trials=record.sweep["trials"],
                lanes=record.lanes,
                versions=record.versions,
                hosts=record.hosts,
                budget=record.sweep["budget"],
            )
            self._enter(resumed)

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the Tuner that Ray Tune pickles.

        Open files and a terminal do not pickle, and the record is on disk.
        """
        return {}

    @property
    def record(self) -> SweepRecord:
        """The sweep as it stands."""
        return self._replay.record

    @property
    def heard_s(self) -> float:
        """Seconds in which trials were heard, in all."""
        return sum(report.heard_s for report in self._replay.reports)

    def base_validated(self, loss_val: float) -> None:
        """Enter the validation loss of the untouched base, unless it is known."""
        if self.record.base_loss_val is None:
            self._enter(BaseValidated(loss_val))

    def planned(self, plan: SweepPlan) -> None:
        """Enter what the sweep is expected to take, unless it is known."""
        if not self.record.plan:
            self._enter(SweepPlanned(dataclasses.asdict(plan)))

    def repeated(self, trial: TrialRecord, seed: int, best_loss_val: float) -> None:
        """Enter a run of one of the best trials with another seed."""
        self._enter(BestRepeated(trial.number, seed, best_loss_val))

    def clone_asked(self, clone: CloneAsked) -> None:
        """Enter that a further trial is wanted; a resumed sweep trains it too."""
        self._enter(clone)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Start the trial's record, or go on with it."""
        config = trial.config
        self._begun.add(config["id"])
        if config["reported_step"] is not None:
            self._resume(config["id"])
            return
        started = TrialStarted(
            trial=config["id"],
            number=config["number"],
            swept=config["swept"],
            settings=config["settings"],
            started_unix_s=time.time(),
            **config["clone"],
        )
        # A sweep is not resumed whose study lacks a trial that its log has
        confirm(self._folder.journal)
        self._replay.apply(started)
        self._curves.start(self._replay.trial(started.trial))
        self._append(started)

    def _resume(self, trial_id: str) -> None:
        resumed = TrialResumed(trial_id)
        self._replay.apply(resumed)
        self._curves.start(self._replay.trial(trial_id))
        self._append(resumed)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Enter a report, and the trial's end where the trial says that it has ended."""
        record = self._replay.trial(trial.config["id"])
        outcome = result["outcome"]
        reason = without_secrets(result["reason"])
        if result["report"] is not None:
            self._enter_report(record, result, reason)
        if result["errors"]:
            self._note_errors(record, result["errors"])
        if outcome is not None:
            self._end(record, end_state(outcome), reason)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free the trial's lane, and end a trial that ASHA stopped."""
        record = self._replay.trial(trial.config["id"])
        self._release(record.id)
        if record.state not in ENDED:
            reason = BY_HAND if self.is_stopped_by_hand(record.id) else ""
            self._end(record, end_state(None), reason)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Have the next actor of a trial whose actor was lost go on after its last report.

        The trial keeps its lane, which has its model. One that was lost before it took a lane
        begins.
        """
        own_id = trial.config["id"]
        if self._replay.has(own_id):
            trial.config["reported_step"] = self._replay.trial(own_id).step

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Free the lane of a trial whose actor was lost too often, and end the trial."""
        own_id = trial.config["id"]
        if not self.has_begun(own_id):
            return  # it has no lane, and is suggested again
        self._release(own_id)
        record = self._replay.trial(own_id)
        if record.state not in ENDED:
            self._end(record, end_state(None, lost=True), ACTOR_LOST)

    def has_begun(self, trial_id: str) -> bool:
        """Tell whether a trial has begun, or gone on, since this log was opened."""
        return trial_id in self._begun

    def stop_trial(self, trial_id: str) -> bool:
        """Have a trial end at its next report, if it runs; return whether it does."""
        running = any(trial.id == trial_id for trial in self.record.trials)
        running = running and self._replay.trial(trial_id).state not in ENDED
        if running:
            self._stopped_by_hand.add(trial_id)
        return running

    def is_stopped_by_hand(self, trial_id: str) -> bool:
        """Tell whether a trial is to end at its next report."""
        return trial_id in self._stopped_by_hand

    def pause(self, paused: bool) -> None:
        """Enter that the sweep is paused, or goes on; unless it is so already."""
        if paused != (self.record.state == SweepState.PAUSED):
            self._enter(SweepPaused(paused))

    def end_pruned(self, trial_ids: Iterable[str]) -> None:
        """End trials that ASHA had stopped when the sweep was interrupted."""
        for trial_id in trial_ids:
            record = self._replay.trial(trial_id)
            if record.state not in ENDED:
                self._end(record, TrialState.PRUNED)

    def close(self, state: SweepState, reached: str = "") -> None:
        """End the sweep in this state, end what still runs as stopped, and compact the log.

        Args:
            state: how it ends.
            reached: which end of its allowance was reached, in words.
        """
        for trial in self.record.trials:
            if trial.state not in ENDED:
                self._end(trial, TrialState.STOPPED)
        self._enter(SweepEnded(state, time.time(), reached))
        self._file.close()
        self._curves.close()
        self._folder.compact(self._replay)
        self._staged.push()

    def _enter_report(self, record: TrialRecord, result: dict[str, Any], reason: str) -> None:
        report = Report.from_dict(result["report"])
        last_step = report.curve[-1] if report.curve else None
        now_unix_s = time.time()
        ago_s = report.first_step_ago_s
        event = TrialReported(
            trial=record.id,
            number=record.number,
            state=TrialState(result["outcome"] or TrialState.RUNNING),
            reason=reason,
            step=report.step,
            rung=result["rung"],
            loss_val=report.loss_val,
            loss_train=report.loss_train,
            best_loss_val=report.best_loss_val,
            best_step=report.best_step,
            learning_rate_now=None if last_step is None else last_step.learning_rate,
            grad_norm=None if last_step is None else last_step.grad_norm,
            steps_per_s=report.steps_per_s,
            trained_parameters=report.trained_parameters,
            reported_unix_s=now_unix_s,
            lane=report.lane,
            device=report.device,
            first_step_unix_s=0.0 if ago_s is None else now_unix_s - ago_s,
            step_ms=report.step_ms,
            peak_memory_mb=report.peak_memory_mb,
            tokens=report.tokens,
            row_tokens=report.row_tokens,
            heard=report.heard,
            best_heard=report.best_heard,
            heard_s=report.heard_s,
        )
        self._replay.apply(event)
        self._curves.add_report(record, report)
        self._append(event)

    def _end(self, record: TrialRecord, state: TrialState, reason: str = "") -> None:
        event = TrialEnded(record.id, state, reason, time.time())
        self._replay.apply(event)
        self._curves.end(record)
        self._append(event)

    def _enter(self, event: Event) -> None:
        self._replay.apply(event)
        self._append(event)

    def _append(self, event: Event) -> None:
        """Append the event to the log, and show the record that it has made."""
        with disk_errors(str(self._folder.events)):
            self._file.write(line_of(event))
            self._file.flush()
        self._staged.push()
        for show in self._watch:
            show(self.record)

    def _note_errors(self, record: TrialRecord, errors: str) -> None:
        """Append to the trial's own file of errors."""
        place = Path(str(self._folder.errors_of(record.id)))
        with disk_errors(str(place)):
            place.parent.mkdir(exist_ok=True)
            with place.open("a", encoding="utf-8") as file:
                file.write(without_secrets(errors))
