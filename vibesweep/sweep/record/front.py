"""The trials that no other beats in both loss and something else."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable

from rich import box
from rich.table import Table

from vibesweep.errors import SweepError
from vibesweep.quality.measures import measure_named
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.table import format_loss, format_value

Cost = Callable[[TrialRecord], float | None]
"""What a trial has of the other objective, less for better; ``None`` where that is not known."""

MS = 1_000
OPTION = "--pareto"


def step_ms(trial: TrialRecord) -> float | None:
    """Return the milliseconds of a step, by a trial's last report."""
    return MS / trial.steps_per_s if trial.steps_per_s else None


def front_of(trials: Iterable[TrialRecord], cost: Cost = step_ms) -> list[TrialRecord]:
    """Return the trials that no other beats in both loss and cost, the smallest cost first."""
    known = []
    for trial in trials:
        price = cost(trial)
        loss = trial.best_loss_val
        if price is not None and loss is not None:
            known.append((price, loss, trial.number, trial))
    front = []
    smallest = math.inf
    for _, loss, _, trial in sorted(known):
        if loss < smallest:
            smallest = loss
            front.append(trial)
    return front


def front_table(record: SweepRecord, metric: str) -> Table:
    """Tabulate the trials that no other beats in both loss and a metric.

    Args:
        record: the sweep.
        metric: ``step-ms``, ``parameters``, ``steps``, or a measure that its trials were heard by.

    Raises:
        SweepError: no trial has that metric.
    """
    cost = _costs(record).get(metric)
    if cost is None:
        raise _unknown(metric, record)
    title = f"sweep {record.name}: none beats these in both"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("trial", metric, "best loss"):
        table.add_column(head, justify="right")
    table.add_column("settings", overflow="fold")
    for trial in front_of(record.trials, cost):
        settings = [f"{name}={format_value(value)}" for name, value in trial.swept.items()]
        table.add_row(
            str(trial.number),
            _shown(trial, metric, cost),
            format_loss(trial.best_loss_val),
            " ".join(settings),
        )
    return table


def _costs(record: SweepRecord) -> dict[str, Cost]:
    """Return what a loss can be held against, by name."""
    costs: dict[str, Cost] = {
        "step-ms": step_ms,
        "parameters": lambda trial: trial.trained_parameters or None,
        "steps": lambda trial: trial.best_step or None,
    }
    for trial in record.trials:
        for name in trial.best_heard:
            costs[name] = _distance_of(name)
    return costs


def _distance_of(measure: str) -> Cost:
    def distance(trial: TrialRecord) -> float | None:
        value = trial.best_heard.get(measure)
        return None if value is None else measure_named(measure).distance(value)

    return distance


def _shown(trial: TrialRecord, metric: str, cost: Cost) -> str:
    """Write what was measured, and not how far it is from the best."""
    value = trial.best_heard.get(metric, cost(trial))
    return "" if value is None else f"{value:.6g}"


def _unknown(metric: str, record: SweepRecord) -> SweepError:
    known = list(_costs(record))
    fix = f"choose among {', '.join(known)}"
    alike = difflib.get_close_matches(metric, known, n=1)
    if alike:
        fix = f"perhaps {alike[0]} is meant; {fix}"
    found = f"no trial of {record.name} reports {metric!r}"
    return SweepError(found, where=OPTION, fix=fix)
