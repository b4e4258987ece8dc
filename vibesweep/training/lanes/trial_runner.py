"""The place at a lane's context where one trial sits, in each of its workers. Everything that it changed leaves with it."""

from __future__ import annotations

import gc
import math
import time

from vibesweep.errors import VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.dispatcher import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.loop import TrialRun
from vibesweep.training.state.checkpoint import saved_loss
from vibesweep.training.state.full_state import has_state
from vibesweep.training.worker_context import WorkerContext

STATE_EVERY_S, STATE_SHARE = 300.0, 0.05
"""A trial's whole state is written this often, at a report, or less often where that would take more than such a share of the time: what a
lost lane costs. A shorter trial starts over."""


class TrialRunner:
    """One worker's side of the trial in hand."""

    def __init__(self, spec: LaneSpec, context: WorkerContext, rank: int) -> None:
        self._spec, self._context, self._rank = spec, context, rank
        self._trial_id: str | None = None
        self._run: TrialRun | None = None
        self._best = math.inf
        self._state_due_s, self._has_state = math.inf, False

    def run(self, command: Command) -> Answer:
        """Train the command's trial to its step; a new trial takes the runner."""
        if command.trial_id != self._trial_id and (error := self._take_in(command)) is not None:
            return Answer(error=error)
        assert self._run is not None
        report = self._run.advance(command.until_step)
        if math.isfinite(report.loss_val) and report.loss_val < self._best:
            self._best = report.loss_val
            if self._rank == 0:
                self._run.save(self._spec.checkpoints / command.trial_id)
        if self._context.world.any(self._rank == 0 and time.monotonic() >= self._state_due_s):
            self._save_state(self._run, command.trial_id)
        return Answer(report=report)

    def _state_of(self, trial_id: str) -> StoragePath:
        return self._spec.states / trial_id

    def _save_state(self, run: TrialRun, trial_id: str) -> None:
        began = time.monotonic()
        run.save_state(self._state_of(trial_id))
        ended, self._has_state = time.monotonic(), True
        self._state_due_s = ended + max(STATE_EVERY_S, (ended - began) / STATE_SHARE)

    def _take_in(self, command: Command) -> VibesweepError | None:
        """Make a trial's run, or say why it cannot be made: on all workers or on none, for they compute together."""
        self._send_away()
        error = None
        try:
            run = self._run_of(command)
        except VibesweepError as raised:
            error = raised
        world = self._context.world
        if world.any(error is not None):
            return next(found for found in world.gathered(error) if found is not None)
        self._trial_id, self._run = command.trial_id, run
        # A trial whose lane was lost may have saved a better one than its last state knows
        self._best = min(run.best_val, saved_loss(self._spec.checkpoints / command.trial_id))
        self._state_due_s = time.monotonic() + STATE_EVERY_S
        return None

    def _send_away(self) -> None:
        """Let the last trial go, which has ended: nobody will ask for its state."""
        if self._run is not None:
            self._run.close()
        if self._has_state and self._trial_id is not None and self._rank == 0:
            self._state_of(self._trial_id).remove()
        self._trial_id, self._run, self._has_state = None, None, False
        gc.collect()  # the old model and its optimizer refer to each other; do not wait for the collector to notice

    def _run_of(self, command: Command) -> TrialRun:
        """From the beginning, or from the state that a lost lane has left."""
        run = TrialRun(self._context, command.settings, self._spec.max_steps)
        state = self._state_of(command.trial_id)
        self._has_state = self._context.world.any(self._rank == 0 and has_state(state))
        if self._has_state:
            run.restore(state)
        return run
