"""When a trial is given up as diverged, and where in the network it shows.

The words are the same on every worker.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import torch
from torch import Tensor, nn

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
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            found = f"the loss was {loss:g} and the gradient's norm {grad_norm:g} in step {step}"
            return f"{found}; {self._largest_gradient()}"
        usual = statistics.median(self._recent) if self._recent else loss
        self._recent.append(loss)
        if loss <= EXPLODED_FACTOR * usual:
            return None
        found = f"the loss was {loss:.3g} in step {step}"
        median = f"over {EXPLODED_FACTOR:g} times its running median {usual:.3g}"
        return f"{found}, {median}; {self._largest_gradient()}"

    def state_dict(self) -> dict[str, list[float]]:
        """Return the losses that the running median covers."""
        return {"recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._recent.extend(state["recent"])

    def _largest_gradient(self) -> str:
        """Name the parameters whose gradient is not finite, or else the one with the largest.

        After DDP gradients are the same on every worker.
        """
        gradients = self._gradients()
        if not gradients:
            return "no parameter has a gradient"
        norms = torch.stack(torch._foreach_norm(list(gradients.values()))).tolist()
        norm_of = dict(zip(gradients, norms, strict=True))
        broken = [name for name, norm in norm_of.items() if not math.isfinite(norm)]
        if not broken:
            name = max(norm_of, key=norm_of.__getitem__)
            norm = norm_of[name]
            return f"every gradient is finite, the largest, of norm {norm:.3g}, is that of {name}"
        found = f"the gradient is not finite in {broken[0]}"
        if len(broken) == 1:
            return found
        return f"{found} and {len(broken) - 1} of {len(gradients) - 1} others"

    def _gradients(self) -> dict[str, Tensor]:
        """Collect the gradients by parameter name, without peft's prefix."""
        gradients = {}
        for name, part in self._model.named_parameters():
            if part.grad is not None:
                gradients[name.removeprefix(PEFT_PREFIX)] = part.grad
        return gradients
