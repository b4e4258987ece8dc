"""The trials that no other beats in both the first objective and something else."""

from __future__ import annotations

import difflib
import math

from rich import box
from rich.table import Table

from vibesweep.config.costs import COSTS
from vibesweep.errors import SweepError
from vibesweep.quality.aim import BEHIND, LOSS
from vibesweep.quality.aim import title_of as title_of_objective
from vibesweep.quality.measures import measure_named
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.table import format_loss, format_value

BEST_STEP = "best_step"
FIGURES = (*COSTS, BEST_STEP)
"""Fields of a trial's record that a loss can be held against; 0 there means not known."""
OPTION = "--pareto"
MOST_NAMED = 8
"""Trials that a line names: those of the best first objective."""


def price_of(trial: TrialRecord, metric: str) -> float | None:
    """Return what a trial has of a metric, less for better; ``None`` where that is not known."""
    if metric == LOSS:
        return trial.best_loss_val
    if metric in FIGURES:
        return getattr(trial, metric) or None
    value = trial.best_heard.get(metric)
    return None if value is None else measure_named(metric).distance(value)


def figure_of(trial: TrialRecord, metric: str) -> float | None:
    """Return a metric as it was measured, and not how far it is from its ideal."""
    return trial.best_heard.get(metric, price_of(trial, metric))


def sought_of(record: SweepRecord, trial: TrialRecord) -> float | None:
    """Return a trial's figure of the first objective."""
    aim = record.aim
    return trial.best_loss_val if aim.by_loss else trial.best_heard.get(aim.objective)


def front_of(record: SweepRecord, metric: str) -> list[TrialRecord]:
    """Return the trials that no other beats in both the first objective and a metric.

    Those that are not known to keep the sweep's limits are left out.

    Returns:
        The smallest cost first.
    """
    known = []
    for trial in record.trials:
        price = price_of(trial, metric)
        score = record.score(trial)
        if price is not None and score < BEHIND:
            known.append((price, score, trial.number, trial))
    front = []
    smallest = math.inf
    for _, score, _, trial in sorted(known):
        if score < smallest:
            smallest = score
            front.append(trial)
    return front


def title_of(metric: str) -> str:
    """Return what a metric is called in tables: of a loss and a step, those of the best report."""
    if metric == BEST_STEP:
        return "steps to the best"
    return "best loss" if metric == LOSS else title_of_objective(metric)


def title_of_sought(record: SweepRecord) -> str:
    """Return what the first objective is called in tables."""
    return title_of(record.aim.objective)


def format_figure(value: float | None) -> str:
    """Write what was measured in three digits, or all of a large number's; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def front_table(record: SweepRecord, metric: str) -> Table:
    """Tabulate the trials that no other beats in both the first objective and a metric.

    Args:
        record: the sweep.
        metric: a cost that trials report, ``best_step``, or a measure that they were heard by.

    Raises:
        SweepError: no trial has that metric.
    """
    known = metrics_of(record)
    if metric not in known:
        raise _unknown(metric, known, record)
    title = f"sweep {record.name}: none beats these in both"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("trial", title_of(metric), title_of_sought(record)):
        table.add_column(head, justify="right")
    table.add_column("settings", overflow="fold")
    for trial in front_of(record, metric):
        settings = [f"{name}={format_value(value)}" for name, value in trial.swept.items()]
        table.add_row(
            str(trial.number),
            format_figure(figure_of(trial, metric)),
            format_sought(record, trial),
            " ".join(settings),
        )
    return table


def front_line(record: SweepRecord) -> str:
    """Name the trials that no other beats in both objectives; nothing if there is one objective."""
    second = record.aim.second
    if not second:
        return ""
    front = front_of(record, second)
    named = []
    for trial in front[-MOST_NAMED:]:
        sought = format_sought(record, trial)
        price = format_figure(figure_of(trial, second))
        named.append(f"trial {trial.number} ({sought}, {price})")
    left = len(front) - len(named)
    more = f", and {left} more" if left else ""
    listed = ", ".join(named) or "none has both figures and keeps the limits"
    return f"unbeaten in both {title_of_sought(record)} and {title_of(second)}: {listed}{more}"


def format_sought(record: SweepRecord, trial: TrialRecord) -> str:
    """Write a trial's figure of the first objective."""
    found = sought_of(record, trial)
    return format_loss(found) if record.aim.by_loss else format_figure(found)


def metrics_of(record: SweepRecord) -> list[str]:
    """Return what the first objective can be held against: what some trial has."""
    figures = (LOSS, *FIGURES)
    names = [name for name in figures if any(price_of(trial, name) for trial in record.trials)]
    for trial in record.trials:
        names += [name for name in trial.best_heard if name not in names]
    return [name for name in names if name != record.aim.objective]


def _unknown(metric: str, known: list[str], record: SweepRecord) -> SweepError:
    fix = f"choose among {', '.join(known)}"
    alike = difflib.get_close_matches(metric, known, n=1)
    if alike:
        fix = f"perhaps {alike[0]} is meant; {fix}"
    found = f"no trial of {record.name} reports {metric!r}"
    return SweepError(found, where=OPTION, fix=fix)
