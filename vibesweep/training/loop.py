"""The training loop of one trial, in plain PyTorch: it runs on a lane, or alone in one process, to the same losses."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from vibesweep.config import Report, StepRecord, TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial, trained_parameters
from vibesweep.models.family import Augmentation
from vibesweep.storage import StorageAddress
from vibesweep.training.compute import autocast, distributed, eagerly, fit_out, syncing
from vibesweep.training.data.batches import StepPlan
from vibesweep.training.data.feed import Step
from vibesweep.training.optim.averaging import build_averaging
from vibesweep.training.optim.divergence import DivergenceGuard
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import build_schedule
from vibesweep.training.state.checkpoint import save_checkpoint
from vibesweep.training.state.full_state import (
    load_state,
    random_states,
    save_state,
    take_random_state,
)
from vibesweep.training.worker_context import WorkerContext


class TrialRun:
    """One trial on this worker: its own model, optimizer and schedule over a workbench that others use too."""

    def __init__(self, context: WorkerContext, settings: TrialSettings, max_steps: int) -> None:
        """Make everything that this trial changes.

        Args:
            context: the base and the clips.
            settings: what to train with.
            max_steps: the whole budget, over which the learning rate falls.

        Raises:
            ModelError: the settings do not fit the model; on every worker alike.
        """
        torch.manual_seed(
            settings.seed * 1_000 + context.world.rank
        )  # LoRA's first weights and dropout
        self.settings = settings
        self._context = context
        self._autocast = autocast(settings, context.world.device)
        self._augmentation = Augmentation.of(settings)
        self.model = for_trial(context.base, settings)
        self.model.train()
        fit_out(self.model, settings)
        self._positions = context.positions(self.model, settings, self._autocast)
        self._network = distributed(self.model, context.world.size, context.world.device)
        self._optimizer = build_optimizer(self.model, settings)
        self._schedule = build_schedule(self._optimizer, max_steps, settings)
        self._averaging = build_averaging(self.model, self._optimizer, settings)
        self._guard = DivergenceGuard(self.model)
        self._max_steps = max_steps
        self._steps = self._feed(first_step=0)
        self._last_val, self._best_val, self._reports_since_best, self._reported_step = (
            math.inf,
            math.inf,
            0,
            0,
        )
        self._first_step_unix_s = 0.0
        self.step = 0

    @property
    def best_val(self) -> float:
        """The best validation loss so far; infinite before the first."""
        return self._best_val

    def close(self) -> None:
        """Let go of what the feed holds. A trial that is dropped does so too, when Python comes to it."""
        self._steps.close()

    def advance(self, until_step: int) -> Report:
        """Train to that step, or until the trial diverges, and validate. The report is the same on every worker."""
        began, curve, diverged = time.perf_counter(), [], None
        while self.step < until_step and diverged is None:
            record, diverged = self._train_step()
            curve.append(record)
        seconds = time.perf_counter() - began
        loss_val = math.inf if diverged else self.validate()
        if diverged is None and not math.isfinite(loss_val):
            loss_val, diverged = (
                math.inf,
                f"the validation loss was not finite after step {self.step}",
            )
        return Report(
            step=self.step,
            loss_val=loss_val,
            loss_train=statistics.fmean(record.loss for record in curve) if curve else math.nan,
            steps_per_s=len(curve) / seconds,
            curve=tuple(curve),
            diverged=diverged,
            early_stopped=self._patience_spent(loss_val),
            first_step_unix_s=self._first_step_unix_s,
            trained_parameters=trained_parameters(self.model)[0],
        )

    def validate(self) -> float:
        """Validation loss of the trial's model as it stands, in float32: of its averaged weights, where it averages any."""
        self.model.eval()
        with self._averaging.averaged(), eagerly(self.settings):
            loss = self._context.validate(self.model)
        self.model.train()
        return loss

    def save(self, folder: StorageAddress) -> None:
        """Write a checkpoint of what was validated (one worker does)."""
        with self._averaging.averaged():
            save_checkpoint(
                self.model, self.settings, {"step": self.step, "loss_val": self._last_val}, folder
            )

    def save_state(self, folder: StorageAddress) -> None:
        """Write all that :meth:`restore` needs. Every worker must call it; one writes."""
        world = self._context.world
        random = random_states(world.device, world.size)
        if world.rank == 0:
            save_state({"random": random, **self._state()}, folder)

    def restore(self, folder: StorageAddress) -> None:
        """Go on from a state, on any number of workers, as if the trial had never stopped.

        Raises:
            ModelError: the state cannot be read, or is another trial's.
        """
        state, world = load_state(folder), self._context.world
        live = self._live()
        if (
            state["settings"] != dataclasses.asdict(self.settings)
            or state["live"].keys() != live.keys()
        ):
            raise ModelError(
                "the state is of a trial with other settings",
                where=str(folder),
                fix="start the trial anew",
            )
        with torch.no_grad():
            for name, part in live.items():
                part.copy_(state["live"][name])
        for name, holder in self._holders().items():
            holder.load_state_dict(state[name])
        self.step, self._last_val, self._best_val, self._reports_since_best, self._reported_step = (
            state["progress"]
        )
        self._steps.close()
        self._steps = self._feed(self.step)
        take_random_state(state["random"], world.rank, world.device)

    def _state(self) -> dict[str, Any]:
        return {
            "settings": dataclasses.asdict(self.settings),
            "live": self._live(),
            "progress": [
                self.step,
                self._last_val,
                self._best_val,
                self._reports_since_best,
                self._reported_step,
            ],
            **{name: holder.state_dict() for name, holder in self._holders().items()},
        }

    def _live(self) -> dict[str, nn.Parameter]:
        return {name: part for name, part in self.model.named_parameters() if part.requires_grad}

    def _holders(self) -> dict[str, Any]:
        """What keeps a state of its own beside the weights. The data's place is the number of the step."""
        return {
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "averaging": self._averaging,
            "guard": self._guard,
        }

    def _train_step(self) -> tuple[StepRecord, str | None]:
        """Take one optimizer step; a step that has diverged is recorded, and not taken. Says why it has, or None."""
        loss = self._accumulate(next(self._steps))
        trained = [part for part in self.model.parameters() if part.requires_grad]
        norm = nn.utils.get_total_norm(part.grad for part in trained if part.grad is not None)
        self.step += 1
        record = StepRecord(self.step, loss, float(self._schedule.get_last_lr()[0]), norm.item())
        diverged = self._guard.check(self.step, loss, record.grad_norm)
        if diverged is None:
            self._update(trained, norm)
        self._optimizer.zero_grad(set_to_none=True)
        self._first_step_unix_s = self._first_step_unix_s or time.time()
        return record, diverged

    def _update(self, trained: list[nn.Parameter], norm: Tensor) -> None:
        nn.utils.clip_grads_with_norm_(trained, self.settings.grad_clip_norm, norm)
        self._optimizer.step()
        self._schedule.step()
        self._averaging.update()

    def _feed(self, first_step: int) -> Generator[Step, None, None]:
        """The plan's steps from this one on; beyond the budget too, for whoever asks for them."""
        plan = StepPlan.of(self._context.feed.index, self.settings)
        past = max(self._max_steps, first_step + 1)
        while True:
            yield from self._context.feed.steps(plan, first_step, past, self._positions)
            first_step, past = past, past + self._max_steps

    def _accumulate(self, step: Step) -> float:
        """Add up the gradient of a whole step, as if it were one batch on one worker, and return the step's loss."""
        world, settings = self._context.world, self.settings
        total = torch.zeros((), device=world.device)
        sizes = step.sizes.with_more_patches(
            self._augmentation.silence_patches * len(step.clips), self._context.base.stop_weights
        )
        for number, clips in enumerate(step.micro_batches, 1):
            batch = self._context.collator.training(
                clips, settings.seed, step.epoch, self._augmentation
            ).to(world.device)
            with syncing(self._network, last=number == len(step.micro_batches)):
                with self._autocast:
                    losses = self._network(batch)
                loss = (
                    sizes.weighted_loss(losses, settings.diffusion_weight, settings.stop_weight)
                    * step.counts
                )
                torch.autograd.backward(
                    loss * world.size
                )  # DDP averages over the workers; a sum is wanted
            total += loss.detach()
        return float(world.total(total).item())

    def _patience_spent(self, loss_val: float) -> bool:
        self._last_val = loss_val
        if loss_val < self._best_val:
            self._best_val, self._reports_since_best = loss_val, 0
        elif (
            self.step > self._reported_step
        ):  # a report that was lost with its lane is asked for again
            self._reports_since_best += 1
        self._reported_step = self.step
        patience = self.settings.patience_reports
        return patience is not None and self._reports_since_best >= patience
