"""One trial on one worker: its own model, trained over clips that other trials use too."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch

from vibesweep.config import Report, StepRecord, TrialSettings
from vibesweep.errors import ModelError, VibesweepError
from vibesweep.models.clips import Augmentation
from vibesweep.storage import StorageAddress
from vibesweep.training.data.feed import Step, Steps, endless_steps
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.loop import StepBatches, TrainingLoop
from vibesweep.training.optim.early_stopping import EarlyStopping
from vibesweep.training.parameters import trained_by_name, trained_numbers
from vibesweep.training.peak import watch_peak
from vibesweep.training.state.checkpoint import Origin, begin_with, save_checkpoint
from vibesweep.training.state.full_state import (
    gather_random_states,
    load_state,
    save_state,
    set_random_state,
)
from vibesweep.training.tally import StepSize
from vibesweep.training.worker_context import WorkerContext

MS = 1_000
MB = 1e6


@dataclass
class _SinceReport:
    """What a trial has behind it since its last report: the next report tells it.

    Attributes:
        curve: its steps.
        tokens: of this worker's rows.
        row_tokens: the same with what these rows were filled up with.
    """

    curve: list[StepRecord] = field(default_factory=list)
    tokens: int = 0
    row_tokens: int = 0

    @classmethod
    def of(cls, saved: Mapping[str, Any] | None) -> _SinceReport:
        """Make it of what a state holds; states of older versions were saved after a report."""
        if saved is None:
            return cls()
        curve = [StepRecord(**record) for record in saved["curve"]]
        return cls(curve, saved["tokens"], saved["row_tokens"])


class MustLeaveError(Exception):
    """A host of the trial's workers is about to go: its state has to be saved now."""


class TrialRun:
    """One trial on this worker.

    Every worker must call each method at the same point, except :meth:`save`.

    Attributes:
        settings: what the trial trains with.
        model: the trial's own model.
        micro_batch_tokens: most tokens of a micro-batch.
    """

    def __init__(
        self,
        context: WorkerContext,
        settings: TrialSettings,
        max_steps: int,
        origin: StorageAddress | None = None,
    ) -> None:
        """Make everything that belongs to this trial alone.

        Args:
            context: the base and the clips.
            settings: what to train with.
            max_steps: the whole budget, over which the learning rate falls.
            origin: folder of a checkpoint, or of another trial's state, whose weights and number
                of steps the trial begins with.

        Raises:
            ModelError: the model does not support the settings, or the checkpoint does not fit
                them; on every worker alike.
        """
        world = context.world
        self._context = context
        self._max_steps = max_steps
        self._augmentation = Augmentation.of(settings)
        self.settings = settings
        self._seat = context.seat(settings)
        self.model = self._seat.model
        self.micro_batch_tokens = self._seat.limits.tokens
        try:
            begun = self._begun_as(origin)
            self._loop = TrainingLoop(
                self.model,
                settings,
                max_steps,
                world,
                self._seat.flat,
                self._seat.rows,
                begun.step,
            )
        except VibesweepError:
            self._seat.taken = False
            raise
        if begun.state is not None:
            before = TrialSettings(**begun.state["settings"])
            self._loop.take_over(begun.state, before)
        self._early_stopping = EarlyStopping()
        self._since_report = _SinceReport()
        self._plan = StepPlan.of(context.feed.index, settings)
        self._batches = self._batches_from(begun.step)

    def _begun_as(self, origin: StorageAddress | None) -> Origin:
        """Take the origin's weights, where there is one."""
        if origin is None:
            return Origin()
        with self._context.world.together():
            return begin_with(self.model, origin)

    @property
    def step(self) -> int:
        """Optimizer steps taken so far."""
        return self._loop.step

    @property
    def first_step_ago_s(self) -> float | None:
        """Seconds since the first step that was taken here; ``None`` before that."""
        first_s = self._loop.first_step_s
        return None if first_s is None else time.monotonic() - first_s

    def close(self) -> None:
        """Stop reading clips ahead, and leave the seat to another trial."""
        self._batches.close()
        self._seat.taken = False

    def advance(self, until_step: int) -> Report:
        """Train to this step, or until the trial diverges, and validate.

        The report is the same on every worker.

        Raises:
            MustLeaveError: a host of the workers is about to go; on every worker alike.
        """
        peak = watch_peak(self._context.world.device)
        began_s = time.perf_counter()
        steps_before = self.step
        diverged = self._train_on(until_step)
        seconds = time.perf_counter() - began_s
        steps = self.step - steps_before
        self._seat.note_peak(peak())
        since = self._since_report
        self._since_report = _SinceReport()
        loss_val = math.inf if diverged else self.validate()
        if diverged is None and not math.isfinite(loss_val):
            loss_val = math.inf
            diverged = f"the validation loss was not finite after step {self.step}"
        self._early_stopping.add(self.step, loss_val)
        losses = [record.loss for record in since.curve]
        return Report(
            step=self.step,
            loss_val=loss_val,
            loss_train=statistics.fmean(losses) if losses else math.nan,
            steps_per_s=steps / seconds,
            curve=tuple(since.curve),
            diverged=diverged,
            early_stopped=self._early_stopping.is_due(self.settings.patience_reports),
            trained_parameters=trained_numbers(self.model),
            step_ms=MS * self._loop.tally.step_s,
            peak_memory_mb=self._seat.peak_bytes / MB,
            tokens=since.tokens,
            row_tokens=since.row_tokens,
        )

    def _train_on(self, until_step: int) -> str | None:
        """Train to this step, and return why the trial has diverged, if it has."""
        tally = self._loop.tally
        tokens_before = tally.tokens
        row_tokens_before = tally.row_tokens
        must_leave = self._context.must_leave
        records, diverged = self._loop.train(self._batches, until_step, must_leave)
        since = self._since_report
        since.curve += records
        since.tokens += tally.tokens - tokens_before
        since.row_tokens += tally.row_tokens - row_tokens_before
        if diverged is None and self.step < until_step:
            raise MustLeaveError
        return diverged

    def train(self, until_step: int) -> tuple[list[StepRecord], str | None]:
        """Train to this step, or until the trial diverges: records, and why it has diverged."""
        return self._loop.train(self._batches, until_step)

    def validate(self) -> float:
        """Compute the validation loss of the model, or of its averaged weights.

        It is computed as for all trials of the base, whatever the trial's own precision.
        """
        self.model.eval()
        with self._loop.averaging.averaged(), self._seat.eager():
            loss = self._context.validate(self.model)
        self.model.train()
        return loss

    def save(self, folder: StorageAddress, heard: Mapping[str, float] | None = None) -> None:
        """Write a checkpoint of what was validated. Only one worker calls this.

        Args:
            folder: a folder for this checkpoint alone.
            heard: what was measured in its speech, where it was heard.
        """
        facts = {
            "step": self.step,
            "loss_val": self._early_stopping.last_loss,
            "heard": dict(heard or {}),
        }
        with self._loop.averaging.averaged():
            save_checkpoint(self.model, self.settings, facts, folder)

    def save_state(self, folder: StorageAddress) -> None:
        """Write all that :meth:`restore` needs. Rank 0 writes."""
        world = self._context.world
        random_states = gather_random_states(world)
        if world.rank == 0:
            save_state({"random": random_states, **self._state()}, folder)

    def restore(self, folder: StorageAddress) -> None:
        """Resume from a state, on any number of workers, as if the trial had never stopped.

        Raises:
            ModelError: the state cannot be read, or is another trial's.
        """
        state = load_state(folder)
        self._check_same_trial(state, folder)
        with torch.no_grad():
            for name, part in trained_by_name(self.model).items():
                part.copy_(state["live"][name])
        self._loop.load_state_dict(state)
        step, *early_stopping = state["progress"]
        self._loop.step = step
        self._since_report = _SinceReport.of(state.get("since_report"))
        self._early_stopping = EarlyStopping(*early_stopping)
        self._batches.close()
        self._batches = self._batches_from(first_step=step)
        set_random_state(state["random"], self._context.world)

    def _state(self) -> dict[str, Any]:
        """Collect the state of this trial. The place in the data is the number of the step."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "live": trained_by_name(self.model),
            "progress": [self.step, *dataclasses.astuple(self._early_stopping)],
            "since_report": dataclasses.asdict(self._since_report),
            **self._loop.state_dict(),
        }

    def _check_same_trial(self, state: dict[str, Any], folder: StorageAddress) -> None:
        trained = trained_by_name(self.model)
        same_settings = state["settings"] == dataclasses.asdict(self.settings)
        same_parameters = state["live"].keys() == trained.keys()
        if not (same_settings and same_parameters):
            raise ModelError(
                "the state is of a trial with other settings",
                where=str(folder),
                fix="start the trial anew",
            )

    def _read_steps(self, first_step: int) -> Steps:
        """Read the plan's steps from this one on, without end."""
        return endless_steps(self._context.feed, self._plan, first_step, self._max_steps)

    def _batches_from(self, first_step: int) -> Generator[StepBatches, None, None]:
        """Make the rows of each step while other trials of the worker have their turns."""
        turns = self._context.turns
        with closing(self._collated(first_step)) as source:
            while True:
                with turns.let_others():
                    batches = next(source, None)
                if batches is None:
                    return
                yield batches

    def _collated(self, first_step: int) -> Generator[StepBatches, None, None]:
        with closing(self._read_steps(first_step)) as steps:
            for step in steps:
                yield self._collate(step)

    def _collate(self, step: Step) -> StepBatches:
        """Make a step's rows, each for this worker's device."""
        context = self._context
        augmentation = self._augmentation
        added = context.collator.added_patches(augmentation) * len(step.clips)
        normalizer = step.normalizer.with_more_patches(added, context.base.stop_weights)
        rows = context.collator.rows(
            step.own_clips, self.settings.seed, step.epoch, self._seat.limits, augmentation
        )
        batches = []
        tokens = 0
        for row in rows:
            tokens += row.tokens
            batches.append(self._seat.prepared(row, context.world.device))
        row_tokens = sum(batch.tokens for batch in batches)
        size = StepSize(self._plan.share_of(step.clips), tokens, row_tokens)
        return StepBatches(batches, normalizer, size)
