"""When a trial is given up as diverged, and where in the network it shows.

The words are the same on every worker.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import torch
from torch import nn

EXPLODED_FACTOR = 5.0
"""A loss this many times its running median has exploded: the losses of a sound fine-tuning's steps
differ by far less than a factor of two."""
MEDIAN_STEPS = 20
"""Steps that the running median covers."""
PEFT_PREFIX = "base_model.model."


class DivergenceGuard:
    """Watches a trial's losses and gradient norms, which are the same on every worker."""

    def __init__(self, model: nn.Module) -> None:
        """Watch this model; its single gradients are looked at only when something is wrong."""
        self._model = model
        self._recent: deque[float] = deque(maxlen=MEDIAN_STEPS)

    def check(self, step: int, loss: float, grad_norm: float) -> str | None:
        """Return why the trial has diverged, or None.

        Call this while the step's gradients are there and before they are clipped.

        Args:
            step: number of the step, as reports count them.
            loss: loss of the whole step, over all workers.
            grad_norm: L2 norm of the whole gradient.
        """
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        if not finite:
            found = f"the loss was {loss:g} and the gradient's norm {grad_norm:g} in step {step}"
            return self._with_gradient(found)
        usual = statistics.median(self._recent or [loss])
        self._recent.append(loss)
        if loss <= EXPLODED_FACTOR * usual:
            return None
        median = f"over {EXPLODED_FACTOR:g} times its running median {usual:.3g}"
        return self._with_gradient(f"the loss was {loss:.3g} in step {step}, {median}")

    def state_dict(self) -> dict[str, list[float]]:
        """Return the losses that the running median covers."""
        return {"recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._recent.extend(state["recent"])

    def _with_gradient(self, found: str) -> str:
        """Add where in the network it shows.

        Named are the parameters whose gradient is not finite, or else the one with the largest.
        After DDP gradients are the same on every worker.
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
