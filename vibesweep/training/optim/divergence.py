"""When a trial is given up as diverged, and where in the network it shows: the same words on every worker."""

from __future__ import annotations

import math
import statistics
from collections import deque

import torch
from torch import nn

EXPLODED_FACTOR = 5.0
"""A loss over so many times its running median has exploded: steps of a sound fine-tuning differ by far less than a factor of two."""
MEDIAN_STEPS = 20
"""Steps that the running median looks back on."""
PEFT_PREFIX = "base_model.model."


class DivergenceGuard:
    """Watches a trial's losses and gradient norms, which are the same on every worker."""

    def __init__(self, model: nn.Module) -> None:
        """Watch this model, whose gradients are looked at only when something is wrong."""
        self._model = model
        self._recent: deque[float] = deque(maxlen=MEDIAN_STEPS)

    def check(self, step: int, loss: float, grad_norm: float) -> str | None:
        """Say why the trial has diverged, or None. Call it while the step's gradients are there, before they are clipped.

        Args:
            step: as reports count them.
            loss: of the whole step, over all workers.
            grad_norm: L2 norm of the whole gradient.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return f"the loss was {loss:g} and the gradient's norm {grad_norm:g} in step {step}; {self._blame()}"
        usual = statistics.median(self._recent) if self._recent else loss
        self._recent.append(loss)
        if loss > EXPLODED_FACTOR * usual:
            exploded = f"the loss was {loss:.3g} in step {step}, over {EXPLODED_FACTOR:g} times its running median {usual:.3g}"
            return f"{exploded}; {self._blame()}"
        return None

    def state_dict(self) -> dict[str, list[float]]:
        """The losses that the running median is of."""
        return {"recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Take them back."""
        self._recent.extend(state["recent"])

    def _blame(self) -> str:
        """Name the parameters whose gradient is not finite, or the one with the largest. DDP has made gradients equal everywhere."""
        parts = [
            (name.removeprefix(PEFT_PREFIX), part.grad)
            for name, part in self._model.named_parameters()
            if part.grad is not None
        ]
        if not parts:
            return "no parameter has a gradient"
        norms = torch.stack(torch._foreach_norm([grad for _, grad in parts])).tolist()
        wrong = [
            name for (name, _), norm in zip(parts, norms, strict=True) if not math.isfinite(norm)
        ]
        if not wrong:
            norm, (name, _) = max(zip(norms, parts, strict=True), key=lambda pair: pair[0])
            return f"every gradient is finite, the largest, of norm {norm:.3g}, is that of {name}"
        others = f" and {len(wrong) - 1} of {len(parts) - 1} others" if len(wrong) > 1 else ""
        return f"the gradient is not finite in {wrong[0]}{others}"
