"""The training loop in plain PyTorch: for each step loss, backward, clip and update.

It knows neither Ray nor shards. Any model whose ``forward`` returns :class:`Losses` and any
iterator of :class:`StepBatches` will do, so a list of batches trains a model in one process. On a
lane every worker runs this loop, and the losses are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from vibesweep.config import StepRecord, TrialSettings
from vibesweep.models.losses import LossNormalizer
from vibesweep.training.optim.averaging import build_averaging
from vibesweep.training.optim.divergence import DivergenceGuard, StepLosses
from vibesweep.training.optim.flat import FlatParameters
from vibesweep.training.optim.moments import take_moments
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import build_schedule
from vibesweep.training.precision import autocast
from vibesweep.training.rows import EagerRows, Factors, Rows
from vibesweep.training.tally import StepSize, StepTally
from vibesweep.training.workers import World


@dataclass(frozen=True, eq=False)
class StepBatches:
    """One optimizer step as the network of a worker computes it.

    Attributes:
        batches: this worker's rows; none where the step has too few clips for all workers.
        normalizer: normalizer of the whole step, over all workers.
        size: how large the step is.
    """

    batches: Sequence[Any]
    normalizer: LossNormalizer
    size: StepSize = field(default_factory=StepSize)


def never() -> bool:
    """Tell that a trial need not stop before the step that was asked for."""
    return False


class TrainingLoop:
    """A model in training, with its optimizer, learning-rate schedule and averaged weights.

    Attributes:
        averaging: averages of the trained weights.
        step: optimizer steps taken so far.
        tally: what they took.
        first_step_s: when the first of them here was done (:func:`time.monotonic`), or ``None``.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrialSettings,
        max_steps: int,
        world: World,
        flat: FlatParameters | None = None,
        rows: Rows | None = None,
        first_step: int = 0,
    ) -> None:
        """Make everything that updates the model's weights.

        Args:
            model: a model on this worker's device; what it trains requires a gradient.
            settings: what to train with.
            max_steps: the whole budget, over which the learning rate falls.
            world: this process among the workers.
            flat: what the model trains as one tensor, where it is that already.
            rows: computes the model's rows; without it they are computed as they come.
            first_step: steps that the model's weights have behind them.

        Raises:
            ModelError: the model or the device does not support the settings; on every worker
                alike.
        """
        self._settings = settings
        self._world = world
        self._flat = flat or FlatParameters(model)
        with world.together():
            context = autocast(settings, world.device)
            self._optimizer = build_optimizer(model, settings, self._flat)
            self._schedule = build_schedule(self._optimizer, max_steps, settings, first_step)
        # LoRA's first weights are drawn, with other numbers on each worker
        for part in self._flat.parameters():
            world.take_from_first(part.detach())
        self._rows = rows or EagerRows(model, context)
        self._guard = DivergenceGuard(model, settings)
        self.averaging = build_averaging(model, self._optimizer, settings)
        self.step = first_step
        self.tally = StepTally()
        self.first_step_s: float | None = None

    def train(
        self,
        steps: Iterator[StepBatches],
        until_step: int,
        must_stop: Callable[[], bool] = never,
    ) -> tuple[list[StepRecord], str | None]:
        """Train until a step is reached or the trial diverges; a step that diverged is not taken.

        Args:
            steps: the steps that follow the ones taken so far; no more are asked for than needed.
            until_step: number of the last step to take, counted from 1.
            must_stop: is asked in each step whether that is the last. One worker's yes holds for
                all of them.

        Returns:
            A record of each step, and why the trial has diverged, or None.
        """
        records = []
        diverged = None
        steps_left = max(until_step - self.step, 0)
        with self._rows.taking_part():
            began_s = time.perf_counter()
            wanted = islice(steps, steps_left)
            step = next(wanted, None)
            stopped = False
            while step is not None and diverged is None and not stopped:
                sums = self._backward(step)
                # Drawn here, while a GPU computes
                following = next(wanted, None)
                losses, stopped = self._means(step, sums, must_stop())
                record, diverged = self._finish(losses)
                records.append(record)
                ended_s = time.perf_counter()
                self.tally.add(step.size, ended_s - began_s)
                began_s = ended_s
                step = following
        return records, diverged

    def _finish(self, losses: StepLosses) -> tuple[StepRecord, str | None]:
        """Take a step, unless the trial has diverged; return its record, and why it has."""
        grad_norm = self._flat.gradient.norm()
        self.step += 1
        record = self._record(losses.weighted, grad_norm)
        diverged = self._guard.check(self.step, losses, record.grad_norm)
        if diverged is None:
            self._update(record.grad_norm)
        self._flat.gradient.zero_()
        if self.first_step_s is None:
            self.first_step_s = time.monotonic()
        return record, diverged

    def _backward(self, step: StepBatches) -> Tensor:
        """Add up a step's gradient over rows and workers; return the sums of its losses [2]."""
        factors = self._factors(step)
        sums = torch.zeros(2, device=self._world.device)
        for batch in step.batches:
            sums += self._rows.add_gradient(batch, factors)
        self._world.sum(self._flat.gradient)
        return sums

    def _means(self, step: StepBatches, sums: Tensor, must_stop: bool) -> tuple[StepLosses, bool]:
        """Add up the sums of the workers' losses, and divide them; tell whether one must stop."""
        (diffusion_sum, stop_sum), stops = self._world.sums_and_any(sums, must_stop)
        normalizer = step.normalizer
        means = (diffusion_sum / normalizer.patches, stop_sum / normalizer.stop_mass)
        settings = self._settings
        weighted = settings.diffusion_weight * means[0] + settings.stop_weight * means[1]
        return StepLosses(weighted, *means), stops

    def _factors(self, step: StepBatches) -> Factors:
        """Return what the step's sums count in the loss that is trained."""
        normalizer = step.normalizer
        diffusion = self._settings.diffusion_weight / normalizer.patches
        stop = self._settings.stop_weight / normalizer.stop_mass
        return diffusion, stop

    def _record(self, loss: float, grad_norm: Tensor) -> StepRecord:
        """Record a step with the learning rate that it is taken with."""
        learning_rate = float(self._schedule.get_last_lr()[0])
        return StepRecord(self.step, loss, learning_rate, grad_norm.item())

    def _update(self, grad_norm: float) -> None:
        """Clip the gradient and take the optimizer's step."""
        self._flat.clip(grad_norm, self._settings.grad_clip_norm)
        self._optimizer.step()
        self._schedule.step()
        self.averaging.update()

    def take_over(self, state: Mapping[str, Any], before: TrialSettings) -> None:
        """Go on with what another trial has gathered, as far as it means something here.

        The optimizer's moments stay where the optimizer is the same one, and averages where the
        same parts are averaged. The schedule and what diverged losses are held against begin anew.

        Args:
            state: of that trial, as :meth:`state_dict` returned it; its weights are the model's.
            before: that trial's settings.
        """
        if before.optimizer == self._settings.optimizer:
            take_moments(self._optimizer, state["optimizer"])
        if self.averaging.state_dict().keys() == state["averaging"].keys():
            self.averaging.load_state_dict(state["averaging"])

    def state_dict(self) -> dict[str, Any]:
        """Return the state of everything but the weights and the number of the step."""
        state = {}
        for name, part in self._stateful().items():
            state[name] = part.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; other keys are ignored."""
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])

    def _stateful(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "averaging": self.averaging,
            "guard": self._guard,
        }
