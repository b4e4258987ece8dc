"""What a sweep's trials are ranked by: the validation loss, or how they sound, within limits.

A trial is heard at ASHA's rungs above the first and at its end. Its score is one number, smaller
for better: the loss until it is heard, then the objective's distance from its ideal. A trial that
breaks a limit ranks behind all that keep theirs, and before those that were not heard.

A second objective is another number, its price, less for better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vibesweep.config import Budget, Sweep
from vibesweep.config.costs import COSTS
from vibesweep.quality.measures import measure_named

LOSS, BEST_LOSS = "loss_val", "best_loss_val"
BEHIND = 1e6
"""Farther than any objective is from its ideal; twice that is where trials that were not heard are.
Sums of it and a loss are exact to ten digits."""
HEARD_TEXTS = 3
"""Texts that a trial says. More would tell trials apart better, and each costs a second or more."""
FARTHEST = 1e5
"""The distance of a figure that speech was too bad to have."""


@dataclass(frozen=True)
class Aim:
    """What is sought, and what is not allowed.

    Attributes:
        objective: ``loss_val``, or the name of a measure.
        limits: by the name of a measure, the value that is as far from its ideal as is allowed.
        second: what else is sought: ``loss_val``, a measure or a cost; empty for nothing.
    """

    objective: str = LOSS
    limits: Mapping[str, float] = field(default_factory=dict)
    second: str = ""

    @classmethod
    def of(cls, sweep: Sweep) -> Aim:
        """Return the aim of a sweep."""
        return cls._of(sweep.objective, sweep.limits)

    @classmethod
    def recorded(cls, sweep: Mapping[str, Any]) -> Aim:
        """Return the aim of a sweep that a record describes."""
        return cls._of(sweep.get("objective", LOSS), sweep.get("limits", {}))

    @classmethod
    def _of(cls, objective: str | Sequence[str], limits: Mapping[str, float]) -> Aim:
        if isinstance(objective, str):
            return cls(objective, limits)
        first, *others = objective
        return cls(first, limits, others[0] if others else "")

    @property
    def by_loss(self) -> bool:
        """Whether the loss is what is sought."""
        return self.objective == LOSS

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that it names; where there are none, no trial is heard."""
        named = dict.fromkeys((self.objective, self.second, *self.limits))
        no_measures = ("", LOSS, *COSTS)
        return tuple(name for name in named if name not in no_measures)

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

    def price(self, figures: Mapping[str, Any]) -> float:
        """Return what a trial has of the second objective; smaller is better.

        Args:
            figures: of a report: the costs, ``best_loss_val`` and ``best_heard``, by name.

        Returns:
            The price; ``inf`` where it is not known, and 0 where nothing else is sought.
        """
        if not self.second:
            return 0.0
        if self.second == LOSS:
            return _known(figures.get(BEST_LOSS))
        if self.second in COSTS:
            return _known(figures.get(self.second))
        heard = figures.get("best_heard", {})
        return _distance(self.second, heard) if heard else math.inf

    def ranked_price(self, figures: Mapping[str, Any]) -> float:
        """Return the price that ranks a trial: the highest if it breaks a limit."""
        heard = figures.get("best_heard", {})
        if not self.is_kept(heard):
            return math.inf
        return self.price(figures)


def listening_line(aim: Aim, budget: Budget) -> str:
    """Say when trials are heard, and what they are ranked by; nothing if by the loss alone."""
    objective = _in_a_sentence(aim.objective)
    if aim.second:
        objective = f"{objective} and {_in_a_sentence(aim.second)}"
    if not aim.measures:
        return f"trials are ranked by {objective}" if aim.second else ""
    at = ", ".join(str(step) for step in aim.heard_steps(budget))
    line = (
        f"each trial says {HEARD_TEXTS} held-out texts at step {at}, and is ranked by {objective}"
    )
    limits = [f"{measure_named(name).title} {limit:g}" for name, limit in aim.limits.items()]
    if limits:
        line = f"{line}, if it keeps to {' and '.join(limits)}"
    if len(budget.rung_steps) > 0:
        line = f"{line}; at step {budget.rung_steps[0]} the loss decides alone"
    return line


def _in_a_sentence(name: str) -> str:
    return "the loss" if name == LOSS else title_of(name)


def title_of(name: str) -> str:
    """Return what an objective is called over a column."""
    if name == LOSS:
        return "loss"
    return COSTS[name].title if name in COSTS else measure_named(name).title


def _known(figure: float | None) -> float:
    """Return a report's figure; ``inf`` for None and for 0, which is a cost that is not known."""
    return float(figure or math.inf)


def _distance(name: str, heard: Mapping[str, float]) -> float:
    if name not in heard:
        return FARTHEST
    return measure_named(name).distance(heard[name])
