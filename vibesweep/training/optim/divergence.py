"""When a trial is given up as diverged, and where in the network it shows.

The words are the same on every worker.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Any, NamedTuple

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import PEFT_PREFIX

EXPLODED_FACTOR = 5.0
"""A loss this many times its running median has exploded: the losses of a sound fine-tuning's steps
differ by far less than a factor of two, but for single clips that are unlike all others."""
EXPLODED_STEPS = 3
"""Steps in a row that have to explode: one clip unlike all others makes one such step, or two."""
LEAST_STEPS = 5
"""Losses that there have to be before a factor of :data:`EXPLODED_FACTOR` says anything."""
HOPELESS_FACTOR = 100.0
"""A loss this many times the median ends the trial at once: no clip is that unlike the others."""
MEDIAN_STEPS = 20
"""Steps that the running median covers."""
LOSS_FLOOR = 1.0
"""A median below this counts as this: five times a smaller loss may be ordinary. A head that knows
nothing has a diffusion loss of 1 (v) or 2 (flow), and a stop loss of 0.7."""


class StepLosses(NamedTuple):
    """The losses of one optimizer step, over all its clips.

    Attributes:
        weighted: what is trained: the sum of the two, weighted.
        diffusion: mean diffusion loss of a patch.
        stop: mean stop loss of a position.
    """

    weighted: float
    diffusion: float
    stop: float


class DivergenceGuard:
    """Watches a trial's losses and gradient norms, which are the same on every worker.

    Judged is the diffusion loss, unweighted. The sum that is trained would not do: where the stop
    loss dominates it, an untouched base's steps differ more than fivefold by the clips they have.
    A trial that trains the stop loss alone is judged by that.
    """

    def __init__(self, model: nn.Module, settings: TrialSettings) -> None:
        """Watch this model; its single gradients are looked at only when something is wrong.

        Args:
            model: the trial's model.
            settings: say which loss is trained.
        """
        self._model = model
        self._by_diffusion = settings.diffusion_weight > 0
        self._recent: deque[float] = deque(maxlen=MEDIAN_STEPS)
        self._exploded_steps = 0

    def check(self, step: int, losses: StepLosses, grad_norm: float) -> str | None:
        """Return why the trial has diverged, or None.

        Call this while the step's gradients are there and before they are clipped.

        Args:
            step: number of the step, as reports count them.
            losses: losses of the whole step, over all workers.
            grad_norm: L2 norm of the whole gradient.
        """
        finite = math.isfinite(losses.weighted) and math.isfinite(grad_norm)
        if not finite:
            values = f"{losses.weighted:g} and the gradient's norm {grad_norm:g}"
            return self._with_gradient(f"the loss was {values} in step {step}")
        loss = losses.diffusion if self._by_diffusion else losses.stop
        factor = self._exploded_factor(step, loss)
        if factor is None:
            return None
        name = "diffusion loss" if self._by_diffusion else "stop loss"
        median = f"its running median {statistics.median(self._recent):.3g}"
        found = f"the {name} was {loss:.3g} in step {step}, over {factor:g} times {median}"
        return self._with_gradient(found)

    def state_dict(self) -> dict[str, Any]:
        """Return the losses that the running median covers, and how many have exploded since."""
        return {"recent": list(self._recent), "exploded_steps": self._exploded_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._recent = deque(state["recent"], maxlen=MEDIAN_STEPS)
        self._exploded_steps = state["exploded_steps"]

    def _exploded_factor(self, step: int, loss: float) -> float | None:
        """Take a step's loss in; return how many times the median it is, if that ends the trial."""
        median = statistics.median(self._recent or [loss])
        usual = max(median, LOSS_FLOOR)
        if loss > HOPELESS_FACTOR * usual:
            return HOPELESS_FACTOR
        if loss <= EXPLODED_FACTOR * usual:
            self._recent.append(loss)
            self._exploded_steps = 0
            return None
        # It stays out of the median, which a few such losses would lift
        self._exploded_steps += 1
        enough = step >= LEAST_STEPS and self._exploded_steps >= EXPLODED_STEPS
        return EXPLODED_FACTOR if enough else None

    def _with_gradient(self, found: str) -> str:
        """Add where in the network it shows.

        Named are the parameters whose gradient is not finite, or else the one with the largest.
        Gradients are summed over the workers by now, so that they are the same on each.
        """
        norms = self._gradient_norms()
        if not norms:
            return f"{found}; no parameter has a gradient"
        broken = [name for name in norms if not math.isfinite(norms[name])]
        if not broken:
            name = max(norms, key=norms.__getitem__)
            largest = f"the largest, of norm {norms[name]:.3g}, is that of {name}"
            return f"{found}; every gradient is finite, {largest}"
        found = f"{found}; the gradient is not finite in {broken[0]}"
        others = len(broken) - 1
        if not others:
            return found
        return f"{found} and {others} of {len(norms) - 1} others"

    def _gradient_norms(self) -> dict[str, float]:
        """Compute the norm of each gradient, by parameter name without peft's prefix."""
        gradients = {}
        for name, part in self._model.named_parameters():
            if part.grad is not None:
                plain_name = name.removeprefix(PEFT_PREFIX)
                gradients[plain_name] = part.grad
        if not gradients:
            return {}
        norms = torch._foreach_norm(list(gradients.values()))
        values = torch.stack(norms).tolist()
        return dict(zip(gradients, values, strict=True))
