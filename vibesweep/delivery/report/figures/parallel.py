"""Parallel coordinates: which settings the best trials share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    BEST_COLOUR,
    QUIET_COLOUR,
    STATE_COLOURS,
    Drawing,
    blank_figure,
    drawn_of,
    some_of,
)
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialRecord, TrialState
from vibesweep.sweep.record.table import format_loss, format_value, swept_names

MOST_LINES = 100
LINES_IN_TABLE = 20
WIDTH_PER_AXIS_PX = 88
LONGEST_IN_A_LINE = 12
NOT_SET = -0.14
"""Height of the place for trials that do not have a setting, beneath its axis from 0 to 1."""
LOSS = "best loss"
STYLES = (
    {"color": QUIET_COLOUR, "width": 1},
    {"color": STATE_COLOURS[TrialState.COMPLETE], "width": 1.6},
    {"color": BEST_COLOUR, "width": 3.5},
)
"""Of the lines of most trials, of the best quarter, and of the best one."""


@dataclass(frozen=True)
class Axis:
    """One upright line: where its values lie from 0 to 1, and which of them are written there."""

    name: str
    places: dict[Any, float]
    ticks: dict[str, float]


def draw_parallel(facts: Facts) -> Drawing | None:
    """Draw each trial as a line over its settings to its loss; ``None`` without such trials."""
    names = swept_names(facts.record)
    validated = facts.validated
    if not validated or not names:
        return None
    axes = []
    for name in names:
        distribution = facts.distributions.get(name)
        axes.append(_axis_of(name, validated, distribution))
    losses = [trial.best_loss_val for trial in validated]
    axes.append(_axis(losses, LOSS, is_log=False))
    shown = some_of(validated, MOST_LINES)
    best = validated[0]
    quarter = validated[: math.ceil(len(validated) / 4)]
    good = {trial.number for trial in quarter}
    others = [trial for trial in shown if trial.number not in good]
    good_ones = [trial for trial in shown if trial.number in good]
    groups = {
        "other trials": others,
        "best quarter": good_ones,
        f"best: trial {best.number}": [best],
    }
    figure = blank_figure("", "")
    for (name, trials), style in zip(groups.items(), STYLES, strict=True):
        if trials:
            lines = _lines(name, trials, axes, style)
            figure.add_trace(lines)
    _draw_axes(figure, axes)
    told = (
        "Each line is a trial, through its settings to its best loss, low losses at the bottom. "
        "Where the lines of the best quarter run close together, a setting matters and its "
        "best values are clear." + drawn_of(len(shown), len(validated))
    )
    width = WIDTH_PER_AXIS_PX * len(axes)
    table = _table(names, validated)
    return Drawing("Settings of the best trials", figure, told, table, width)


def _axis_of(
    name: str, trials: Sequence[TrialRecord], distribution: BaseDistribution | None
) -> Axis:
    values = [trial.swept[name] for trial in trials if name in trial.swept]
    is_log = getattr(distribution, "log", False)
    return _axis(values, name, is_log=is_log)


def _axis(values: Sequence[Any], name: str, *, is_log: bool) -> Axis:
    """Lay values out along an axis: numbers by their size, others one after the other."""
    distinct = list(dict.fromkeys(values))
    if not all(isinstance(value, int | float) for value in distinct) or len(distinct) < 2:
        ordered = sorted(distinct, key=str)
        count = len(ordered)
        places = {value: (rank + 0.5) / count for rank, value in enumerate(ordered)}
        ticks = {format_value(value): places[value] for value in ordered}
        return Axis(name, places, ticks)
    scale = math.log if is_log else float
    low, high = min(distinct), max(distinct)
    start = scale(low)
    span = scale(high) - start
    places = {value: (scale(value) - start) / span for value in distinct}
    ends = {format_value(low): 0.0, format_value(high): 1.0}
    return Axis(name, places, ends)


def _lines(
    name: str, trials: Sequence[TrialRecord], axes: Sequence[Axis], style: dict[str, Any]
) -> go.Scatter:
    columns: list[float | None] = []
    heights: list[float | None] = []
    texts: list[str] = []
    for trial in trials:
        values = {**trial.swept, LOSS: trial.best_loss_val}
        for column, axis in enumerate(axes):
            columns.append(column)
            height = NOT_SET
            shown = "not set"
            if axis.name in values:
                value = values[axis.name]
                height = axis.places[value]
                shown = format_value(value)
            heights.append(height)
            texts.append(f"trial {trial.number}<br>{axis.name} {shown}")
        columns.append(None)
        heights.append(None)
        texts.append("")
    return go.Scatter(
        x=columns, y=heights, name=name, text=texts, hoverinfo="text", mode="lines", line=style
    )


def _draw_axes(figure: go.Figure, axes: Sequence[Axis]) -> None:
    for column, axis in enumerate(axes):
        figure.add_vline(x=column, line={"width": 1})
        for text, height in axis.ticks.items():
            figure.add_annotation(
                x=column, y=height, text=text, xanchor="left", xshift=4, showarrow=False
            )
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[_wrapped(axis.name) for axis in axes],
        tickangle=0,
        range=[-0.4, len(axes) - 0.4],
        showgrid=False,
    )
    figure.update_yaxes(visible=False)
    figure.update_layout(margin_l=8, margin_r=8)


def _wrapped(name: str) -> str:
    """Break a long name at an underscore near its middle: axes stand close together."""
    breaks = [place for place, character in enumerate(name, 1) if character == "_"]
    if len(name) <= LONGEST_IN_A_LINE or not breaks:
        return name
    middle = min(breaks, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:middle]}<br>{name[middle:]}"


def _table(names: Sequence[str], validated: Sequence[TrialRecord]) -> Table:
    shown = validated[:LINES_IN_TABLE]
    rows = []
    for trial in shown:
        cells = [format_value(trial.swept.get(name, "not set")) for name in names]
        loss = format_loss(trial.best_loss_val)
        rows.append([f"trial {trial.number}", *cells, loss])
    heads = ("trial", *names, LOSS)
    return Table(f"Settings of the best {len(shown)} trials", heads, rows)
