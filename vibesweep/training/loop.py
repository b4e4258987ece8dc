"""The training loop of one trial, in plain PyTorch: it runs on a lane, or alone in one process, to the same losses."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vibesweep.config import Report, StepRecord, TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.base import Sizes
from vibesweep.training.batches import endless_steps, micro_batches, share
from vibesweep.training.checkpoint import save_checkpoint
from vibesweep.training.optim import build_optimizer, build_schedule
from vibesweep.training.workbench import Workbench

EXPLODED_FACTOR = 5.0
"""A loss over so many times its running median has exploded: steps of a sound fine-tuning differ by far less than a factor of two."""
MEDIAN_STEPS = 20
"""Steps that the running median looks back on."""


class TrialRun:
    """One trial on this worker: its own model, optimizer and schedule over a workbench that others use too."""

    def __init__(self, bench: Workbench, settings: TrialSettings, max_steps: int) -> None:
        """Make everything that this trial changes.

        Args:
            bench: the base and the clips.
            settings: what to train with.
            max_steps: the whole budget, over which the learning rate falls.

        Raises:
            ModelError: the settings do not fit the model; on every worker alike.
        """
        torch.manual_seed(settings.seed * 1_000 + bench.world.rank)  # LoRA's first weights and dropout
        self.settings = settings
        self._bench = bench
        self.model = for_trial(bench.base, settings)
        self.model.train()
        self._network = _distributed(self.model, bench)
        self._optimizer = build_optimizer(self.model, settings)
        self._schedule = build_schedule(self._optimizer, max_steps, settings.warmup_fraction)
        self._steps = endless_steps([clip.length for clip in bench.clips], max(settings.batch_clips, bench.world.size), settings.seed)
        self._recent: deque[float] = deque(maxlen=MEDIAN_STEPS)
        self._last_val, self._best_val, self._reports_since_best = math.inf, math.inf, 0
        self._first_step_unix_s = 0.0
        self.step = 0

    def advance(self, until_step: int) -> Report:
        """Train to that step, or until the trial diverges, and validate. The report is the same on every worker."""
        began, curve, diverged = time.perf_counter(), [], None
        while self.step < until_step and diverged is None:
            curve.append(self._train_step())
            diverged = self._divergence(curve[-1])
        seconds = time.perf_counter() - began
        loss_val = math.inf if diverged else self.validate()
        if diverged is None and not math.isfinite(loss_val):
            loss_val, diverged = math.inf, f"the validation loss was not finite after step {self.step}"
        return Report(
            step=self.step,
            loss_val=loss_val,
            loss_train=statistics.fmean(record.loss for record in curve) if curve else math.nan,
            steps_per_s=len(curve) / seconds,
            curve=tuple(curve),
            diverged=diverged,
            early_stopped=self._patience_spent(loss_val),
            first_step_unix_s=self._first_step_unix_s,
        )

    def validate(self) -> float:
        """Validation loss of the trial's model as it stands."""
        self.model.eval()
        loss = self._bench.validate(self.model)
        self.model.train()
        return loss

    def save(self, folder: Path) -> None:
        """Write a checkpoint of what was trained so far (one worker does)."""
        save_checkpoint(self.model, self.settings, {"step": self.step, "loss_val": self._last_val}, folder)

    def _train_step(self) -> StepRecord:
        epoch, clips = next(self._steps)
        sizes = Sizes.of([self._bench.clips[i].patches for i in clips])
        loss = self._accumulate(epoch, clips, sizes)
        norm = nn.utils.clip_grad_norm_((p for p in self.model.parameters() if p.requires_grad), self.settings.grad_clip_norm)
        learning_rate = float(self._schedule.get_last_lr()[0])
        # A step with a gradient that is not finite would spoil the weights; the record alone tells that the trial diverged.
        if math.isfinite(norm_value := norm.item()):
            self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._first_step_unix_s = self._first_step_unix_s or time.time()
        return StepRecord(self.step, loss, learning_rate, norm_value)

    def _accumulate(self, epoch: int, clips: list[int], sizes: Sizes) -> float:
        """Add up the gradient of a whole step, as if it were one batch on one worker, and return the step's loss."""
        world, settings = self._bench.world, self.settings
        parts = micro_batches(share(clips, world.rank, world.size), settings.accumulation_steps)
        total = torch.zeros((), device=world.device)
        for number, part in enumerate(parts, 1):
            batch = self._bench.collator.training([self._bench.clips[i] for i in part], settings.seed, epoch).to(world.device)
            with self._syncing(number == len(parts)):
                loss = sizes.weigh(self._network(batch), settings.diffusion_weight, settings.stop_weight)
                torch.autograd.backward(loss * world.size)  # DDP averages over the workers; a sum is wanted
            total += loss.detach()
        return float(world.total(total).item())

    def _syncing(self, last: bool) -> AbstractContextManager[Any]:
        if last or not isinstance(self._network, DistributedDataParallel):
            return nullcontext()
        return self._network.no_sync()

    def _divergence(self, record: StepRecord) -> str | None:
        if not (math.isfinite(record.loss) and math.isfinite(record.grad_norm)):
            return f"the loss was {record.loss:g} and the gradient's norm {record.grad_norm:g} in step {record.step}"
        usual = statistics.median(self._recent) if self._recent else record.loss
        self._recent.append(record.loss)
        if record.loss > EXPLODED_FACTOR * usual:
            return f"the loss was {record.loss:.3g} in step {record.step}, over {EXPLODED_FACTOR:g} times its running median {usual:.3g}"
        return None

    def _patience_spent(self, loss_val: float) -> bool:
        self._last_val = loss_val
        if loss_val < self._best_val:
            self._best_val, self._reports_since_best = loss_val, 0
        else:
            self._reports_since_best += 1
        patience = self.settings.patience_reports
        return patience is not None and self._reports_since_best >= patience


def _distributed(model: nn.Module, bench: Workbench) -> nn.Module:
    if bench.world.size == 1:
        return model
    device = torch.device(bench.world.device)
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
