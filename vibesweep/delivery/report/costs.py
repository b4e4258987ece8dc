"""What a sweep cost in GPU-hours, and what other searches of the same trials would have cost.

The others are estimates: each trial that was stopped early is thought on to the last step at its
own pace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from optuna.distributions import BaseDistribution

from vibesweep.config import TrialResources
from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.spans import Span
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialRecord, TrialState
from vibesweep.sweep.record.grid import GRID_VALUES, grid_values
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR, format_hours

ENDED_ITSELF = (TrialState.COMPLETE, TrialState.DIVERGED, TrialState.FAILED)
"""Trials that would have cost the same in any search."""


@dataclass(frozen=True)
class Costs:
    """Hours of devices.

    Attributes:
        unit: ``GPU`` or ``CPU``.
        held: what the sweep held, from its start to its end; ``None`` where it did not always run.
        trained: what of it was training and validation.
        full: what all trials would have taken with none stopped early; ``None`` if nothing is
            known of their pace.
        grid_trials: trials of a full grid; ``None`` where some settings depend on others, so that
            there is no grid.
        trials: how many have trained.
    """

    unit: str
    held: float | None
    trained: float
    full: float | None
    grid_trials: int | None
    trials: int

    @property
    def grid(self) -> float | None:
        """What a full grid would have taken."""
        if self.full is None or self.grid_trials is None:
            return None
        return self.full / self.trials * self.grid_trials


def costs_of(facts: Facts, spans: Iterable[Span]) -> Costs:
    """Work out what the sweep has cost until now."""
    record = facts.record
    resources = TrialResources(**record.sweep["resources"])
    per_lane = resources.workers * (resources.gpus_per_worker or resources.cpus_per_worker)
    hours_per_second = per_lane / SECONDS_AN_HOUR
    ended = record.ended_unix_s or facts.made_unix_s
    held = record.lanes * (ended - record.started_unix_s) * hours_per_second
    trained: dict[int, float] = {}
    for span in spans:
        trained[span.trial] = trained.get(span.trial, 0.0) + span.trained_s
    known = [trial for trial in record.trials if trial.number in trained]
    full = [_full_s(trial, trained[trial.number], facts.budget.last_step) for trial in known]
    return Costs(
        unit="GPU" if resources.gpus_per_worker else "CPU",
        held=held if facts.ran_throughout else None,
        trained=sum(trained.values()) * hours_per_second,
        full=sum(full) * hours_per_second if full else None,
        grid_trials=grid_trials(facts.distributions, record.trials),
        trials=len(known),
    )


def _full_s(trial: TrialRecord, trained_s: float, max_steps: int) -> float:
    """Estimate the seconds of a trial that is never stopped early."""
    # Training is counted from the end of the first step
    steps = trial.step - trial.cloned_at_step - 1
    if trial.state in ENDED_ITSELF or steps < 1:
        return trained_s
    return trained_s / steps * (max_steps - 1)


def grid_trials(
    distributions: Mapping[str, BaseDistribution], trials: Iterable[TrialRecord]
) -> int | None:
    """Count the points of a full grid; ``None`` where not every trial has every setting."""
    names = {frozenset(trial.swept) for trial in trials}
    if names != {frozenset(distributions)}:
        return None
    return math.prod(map(grid_values, distributions.values()))


def cost_table(costs: Costs, max_steps: int) -> Table:
    """Tabulate the costs of this sweep and, estimated, of others over the same settings."""
    unit = f"{costs.unit}-hours"
    rows = []
    if costs.held is not None:
        rows.append(["this sweep, from its start to its end", format_hours(costs.held)])
    if costs.trained:
        rows.append(["this sweep's training and validation", format_hours(costs.trained)])
    if costs.full is not None:
        random = f"estimate: random search, the same {costs.trials} trials all to step {max_steps}"
        rows.append([random, format_hours(costs.full)])
    if costs.grid is not None:
        grid = (
            f"estimate: a full grid of {costs.grid_trials} trials, "
            f"with {GRID_VALUES} values of each setting that is no short list"
        )
        rows.append([grid, format_hours(costs.grid)])
    caption = "What it cost, and what other searches would have"
    return Table(caption, ("search", unit), rows)
