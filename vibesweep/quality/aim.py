"""What a sweep's trials are ranked by: the validation loss, or how they sound, within limits.

A trial is heard at ASHA's rungs above the first and at its end. Its score is one number, smaller
for better: the loss until it is heard, then the objective's distance from its ideal. A trial that
breaks a limit ranks behind all that keep theirs, and before those that were not heard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vibesweep.config import Budget
from vibesweep.quality.measures import measure_named

LOSS = "loss_val"
BEHIND = 1e6
"""Farther than any objective is from its ideal; twice that is where trials that were not heard are.
Sums of it and a loss are exact to ten digits."""
HEARD_TEXTS = 3
"""Texts that a trial says. More would tell trials apart better, and each costs a second or more."""
FARTHEST = 1e5
"""A figure that speech was too bad to have."""


@dataclass(frozen=True)
class Aim:
    """What is sought, and what is not allowed.

    Attributes:
        objective: ``loss_val``, or the name of a measure.
        limits: by the name of a measure, the value that is as far from its ideal as is allowed.
    """

    objective: str = LOSS
    limits: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, sweep: Mapping[str, Any]) -> Aim:
        """Return the aim of a sweep that a record describes."""
        return cls(sweep.get("objective", LOSS), sweep.get("limits", {}))

    @property
    def by_loss(self) -> bool:
        """Whether the loss is what is sought."""
        return self.objective == LOSS

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that it names; where there are none, no trial is heard."""
        own = [] if self.by_loss else [self.objective]
        return tuple(dict.fromkeys((*own, *self.limits)))

    def heard_steps(self, budget: Budget) -> tuple[int, ...]:
        """Return the steps at which a trial is heard."""
        if not self.measures:
            return ()
        return (*budget.rung_steps[1:], budget.last_step)

    def value(self, loss_val: float, heard: Mapping[str, float]) -> float:
        """Return what is minimized: the loss, or the objective's distance from its ideal.

        Args:
            loss_val: of a report.
            heard: what was measured at it, by name; nothing where it was not heard.
        """
        if self.by_loss or not heard:
            return loss_val
        return _distance(self.objective, heard)

    def excesses(self, heard: Mapping[str, float]) -> dict[str, float]:
        """Return how much farther from its ideal each limited measure is than is allowed.

        Those above 0 break their limits. There are none where the trial was not heard.
        """
        if not heard:
            return {}
        found = {}
        for name, limit in self.limits.items():
            allowed = measure_named(name).distance(limit)
            found[name] = _distance(name, heard) - allowed
        return found

    def is_kept(self, heard: Mapping[str, float]) -> bool:
        """Tell whether no limit is broken, as far as was heard."""
        return all(excess <= 0 for excess in self.excesses(heard).values())

    def score(self, loss_val: float, heard: Mapping[str, float]) -> float:
        """Return what trials are ranked by; smaller is better, and as finite as the loss."""
        if not math.isfinite(loss_val):
            return math.inf
        value = self.value(loss_val, heard)
        if not self.measures:
            return value
        if not heard:
            return 2 * BEHIND + value
        if self.is_kept(heard):
            return value
        broken = [excess for excess in self.excesses(heard).values() if excess > 0]
        return BEHIND + sum(broken)


def listening_line(aim: Aim, budget: Budget) -> str:
    """Say when trials are heard, and what they are ranked by; nothing if by the loss alone."""
    if not aim.measures:
        return ""
    at = ", ".join(str(step) for step in aim.heard_steps(budget))
    objective = "the loss" if aim.by_loss else measure_named(aim.objective).title
    line = (
        f"each trial says {HEARD_TEXTS} held-out texts at step {at}, and is ranked by {objective}"
    )
    limits = [f"{measure_named(name).title} {limit:g}" for name, limit in aim.limits.items()]
    if limits:
        line = f"{line}, if it keeps to {' and '.join(limits)}"
    if len(budget.rung_steps) > 0:
        line = f"{line}; at step {budget.rung_steps[0]} the loss decides alone"
    return line


def _distance(name: str, heard: Mapping[str, float]) -> float:
    if name not in heard:
        return FARTHEST
    return measure_named(name).distance(heard[name])
