"""Slices: the best loss of each trial over one setting at a time."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    STATE_COLOURS,
    STATE_SYMBOLS,
    Drawing,
    add_base_line,
    blank_figure,
    drawn_of,
    loss_range,
    some_of,
)
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialRecord, TrialState
from vibesweep.sweep.record.table import format_loss, format_value, swept_names

MOST_POINTS = 400
HEIGHT_PX = 280
PARTS = 4
"""Parts of equal size into which a table cuts the values of a number."""


def draw_slices(facts: Facts) -> list[Drawing]:
    """Draw a slice for each setting that was searched."""
    drawings = []
    for name in swept_names(facts.record):
        trials = [trial for trial in facts.validated if name in trial.swept]
        if trials:
            drawing = _slice(facts, name, trials)
            drawings.append(drawing)
    return drawings


def _slice(facts: Facts, name: str, trials: Sequence[TrialRecord]) -> Drawing:
    shown = some_of(trials, MOST_POINTS)
    numeric = all(_is_number(trial.swept[name]) for trial in trials)
    distribution = facts.distributions.get(name)
    choices = not numeric or isinstance(distribution, CategoricalDistribution)
    figure = blank_figure(name, "best loss", HEIGHT_PX)
    for state in TrialState:
        group = [trial for trial in shown if trial.state == state]
        if group:
            points = _points(name, state, group, choices)
            figure.add_trace(points)
    base = facts.record.base_loss_val
    add_base_line(figure, base)
    losses = [trial.best_loss_val for trial in shown if trial.best_loss_val is not None]
    figure.update_yaxes(range=loss_range(losses, base))
    if getattr(distribution, "log", False):
        figure.update_xaxes(type="log", exponentformat="power", dtick="D2")
    elif choices:
        ordered = _in_order(trials, name, numeric)
        labels = [format_value(value) for value in ordered]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=labels)
    told = f"Best loss of each trial over {name}." + drawn_of(len(shown), len(trials))
    table = _table(name, trials, numeric)
    return Drawing(name, figure, told, table)


def _points(
    name: str, state: TrialState, trials: Sequence[TrialRecord], choices: bool
) -> go.Scatter:
    values = [trial.swept[name] for trial in trials]
    texts = [
        f"trial {trial.number}, {state}<br>{name} {format_value(trial.swept[name])}"
        f"<br>best loss {format_loss(trial.best_loss_val)}"
        for trial in trials
    ]
    return go.Scatter(
        x=[format_value(value) for value in values] if choices else values,
        y=[trial.best_loss_val for trial in trials],
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="markers",
        marker={
            "color": STATE_COLOURS[state],
            "symbol": STATE_SYMBOLS[state],
            "size": 8,
        },
        opacity=0.85,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_order(trials: Sequence[TrialRecord], name: str, numeric: bool) -> list[Any]:
    """Return the values that trials have of a setting, each once."""
    values = {trial.swept[name] for trial in trials}
    return sorted(values) if numeric else sorted(values, key=str)


def _table(name: str, trials: Sequence[TrialRecord], numeric: bool) -> Table:
    """Tabulate the losses by the setting's values, or by ranges of them where there are many."""
    rows = []
    for label, group in _groups(name, trials, numeric).items():
        losses = [trial.best_loss_val for trial in group if trial.best_loss_val is not None]
        smallest = format_loss(min(losses))
        median = format_loss(statistics.median(losses))
        rows.append([label, str(len(group)), smallest, median])
    heads = (name, "trials", "smallest", "median")
    return Table(f"Best losses by {name}", heads, rows)


def _groups(
    name: str, trials: Sequence[TrialRecord], numeric: bool
) -> dict[str, list[TrialRecord]]:
    """Group trials by a setting's values, or by ranges of them; what reads alike is one group."""
    values = _in_order(trials, name, numeric)
    groups: dict[str, list[TrialRecord]] = defaultdict(list)
    if not numeric or len(values) <= PARTS:
        for value in values:
            label = format_value(value)
            groups[label] += [trial for trial in trials if trial.swept[name] == value]
        return groups
    ordered = sorted(trials, key=lambda trial: trial.swept[name])
    count = len(ordered)
    for part in range(PARTS):
        first = part * count // PARTS
        end = (part + 1) * count // PARTS
        cut = ordered[first:end]
        low = format_value(cut[0].swept[name])
        high = format_value(cut[-1].swept[name])
        label = low if low == high else f"{low} to {high}"
        groups[label] += cut
    return groups
