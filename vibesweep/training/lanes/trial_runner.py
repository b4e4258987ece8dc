"""Runs one trial after another on a worker of a lane, and saves what a lost lane would cost."""

from __future__ import annotations

import dataclasses
import gc
import time

from vibesweep.config import Report
from vibesweep.errors import TrialError, VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.storage.patience import patiently
from vibesweep.training.hearing import TrialListener
from vibesweep.training.lanes.messages import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.state.checkpoint import SavedBest, saved_best
from vibesweep.training.state.full_state import has_state
from vibesweep.training.trial_run import MustLeaveError, TrialRun
from vibesweep.training.worker_context import WorkerContext

STATE_EVERY_S = 5.0
"""Fewest seconds between two saves of a trial's full state, which is what a lost lane costs."""
STATE_SHARE = 0.02
"""Largest share of the time that saving may take: a slow save is made less often."""
STATE_OF_CHECKPOINT = 4.0
"""How many times longer than its checkpoint a state takes that was never saved here: it holds the
weights, an optimizer's two moments, and an average."""


class HearingError(Exception):
    """A trial cannot be heard, which is no fault of this worker's."""

    def __init__(self, cause: VibesweepError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class TrialRunner:
    """Holds the current trial of one worker: its run, its best report and its saved state."""

    def __init__(
        self,
        spec: LaneSpec,
        context: WorkerContext,
        rank: int,
        listener: TrialListener | None = None,
    ) -> None:
        """Run trials on one worker.

        Args:
            spec: the lane's.
            context: the base and the clips.
            rank: the worker's.
            listener: hears trials; the first worker's, in a sweep whose trials are heard.
        """
        self._spec = spec
        self._context = context
        self._rank = rank
        self._listener = listener
        self._trial_id: str | None = None
        self._run: TrialRun | None = None
        self._report: Report | None = None
        self._best = SavedBest()
        self._save_s = 0.0
        self._state_saved_s = 0.0
        self._has_state = False

    @property
    def progress(self) -> tuple[str | None, int]:
        """The trial in hand and its step: something that changes as long as training goes on."""
        step = 0 if self._run is None else self._run.step
        return self._trial_id, step

    def run(self, command: Command) -> Answer:
        """Train the command's trial to its next report; a new trial replaces the last one."""
        if not command.report_steps:
            if command.trial_id == self._trial_id:  # or another lane has it, or nothing is trained
                self._save_state(command.trial_id)
            return Answer()
        if command.trial_id != self._trial_id:
            refused = self._begin_trial(command)
            if refused is not None:
                return refused
        elif self._is_answered(command):
            return Answer(report=self._report)
        else:
            # Now, and not after a report: the sweep has written down what this state has behind it
            self._save_state_if_due(command.trial_id)
        try:
            return Answer(report=self._advance(command))
        except HearingError as error:
            return Answer(error=error.cause)
        except MustLeaveError:
            self._save_state(command.trial_id)
            self._context.world.any(False)  # no worker ends before the first has written it
            told = TrialError(f"a host of {self._spec.name} is about to be taken away")
            return Answer(error=told, lost=True, leaving=True)

    def _is_answered(self, command: Command) -> bool:
        """Tell whether the report is there already, for a new actor in place of a lost one."""
        last = self._report
        if last is None:
            return False
        ended = last.diverged is not None or last.early_stopped
        return ended or last.step == command.report_steps[-1]

    def _advance(self, command: Command) -> Report:
        """Train to each report that is still to come, and return the last."""
        run = self._run
        assert run is not None
        *earlier, last = command.report_steps
        to_come = [step for step in earlier if step > run.step]
        for step in (*to_come, last):
            report = self._heard(run, run.advance(step))
            self._save_if_best(run, report, command.trial_id)
            if report.diverged or report.early_stopped:
                break
        self._report = dataclasses.replace(
            report,
            best_loss_val=self._best.loss_val,
            best_step=self._best.step,
            best_heard=dict(self._best.heard),
            first_step_ago_s=run.first_step_ago_s,
            lane=self._spec.name,
            device=self._context.world.device_name,
        )
        return self._report

    def _heard(self, run: TrialRun, report: Report) -> Report:
        """Hear the trial where it is due; other workers than the first wait for its next step."""
        is_due = report.step in self._spec.heard_steps or report.early_stopped
        if self._listener is None or report.diverged or not is_due:
            return report
        began_s = time.monotonic()
        try:
            heard = self._listener.hear(run, self._context)
        except VibesweepError as error:
            raise HearingError(error) from error
        return dataclasses.replace(report, heard=heard, heard_s=time.monotonic() - began_s)

    def _save_if_best(self, run: TrialRun, report: Report, trial_id: str) -> None:
        """Write the trial's checkpoint after a report that is better than those before."""
        score = self._spec.aim.score(report.loss_val, report.heard)
        if score >= self._spec.aim.score(self._best.loss_val, self._best.heard):
            return
        self._best = SavedBest(report.loss_val, report.step, report.heard)
        if self._rank == 0:
            began_s = time.monotonic()
            run.save(self._spec.checkpoints / trial_id, report.heard)
            if not self._save_s:
                self._save_s = STATE_OF_CHECKPOINT * (time.monotonic() - began_s)

    def _save_state_if_due(self, trial_id: str) -> None:
        """Save the full state on every worker when the first worker's clock says so."""
        due_s = self._state_saved_s + max(STATE_EVERY_S, self._save_s / STATE_SHARE)
        due_here = self._rank == 0 and time.monotonic() >= due_s
        if self._context.world.any(due_here):
            self._save_state(trial_id)

    def _save_state(self, trial_id: str) -> None:
        """Save the full state on every worker."""
        assert self._run is not None
        began_s = time.monotonic()
        self._run.save_state(self._state_of(trial_id))
        self._state_saved_s = time.monotonic()
        self._save_s = self._state_saved_s - began_s
        self._has_state = True

    def _begin_trial(self, command: Command) -> Answer | None:
        """Make a trial's run, or say why it cannot be made, on every worker alike."""
        self._drop_finished_trial()
        try:
            origin = self._origin_of(command)
            run = TrialRun(self._context, command.settings, self._spec.max_steps, origin)
        except VibesweepError as error:
            return Answer(error=error, by_settings=True)
        try:
            self._resume(run, command.trial_id)
        except VibesweepError as error:
            run.close()  # or its seat would stay taken
            return Answer(error=error)
        self._trial_id = command.trial_id
        self._run = run
        # The checkpoint knows the best report: it is written before the state, which may be older
        checkpoint = self._spec.checkpoints / command.trial_id
        self._best = saved_best(checkpoint)
        self._state_saved_s = time.monotonic()
        return None

    def _origin_of(self, command: Command) -> StoragePath | None:
        """Return what a trial begins with: of a clone its own, else what all trials begin with."""
        if command.origin:
            return self._spec.clones / command.origin
        return self._spec.origin

    def _drop_finished_trial(self) -> None:
        """Free the finished trial's model and delete its saved state."""
        if self._run is not None:
            self._run.close()
        if self._has_state and self._trial_id is not None and self._rank == 0:
            state = self._state_of(self._trial_id)
            patiently(state, state.remove)
        self._trial_id = None
        self._run = None
        self._report = None
        self._has_state = False
        gc.collect()  # the old model and its optimizer refer to each other: free both at once

    def _resume(self, run: TrialRun, trial_id: str) -> None:
        """Restore the state that a lost lane left of this trial, where there is one."""
        world = self._context.world
        state = self._state_of(trial_id)
        with world.together():
            found_here = self._rank == 0 and has_state(state)
        self._has_state = world.any(found_here)
        if self._has_state:
            with world.together():
                run.restore(state)

    def _state_of(self, trial_id: str) -> StoragePath:
        return self._spec.states / trial_id
