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
    axes = [_axis_of(name, validated, facts.distributions.get(name)) for name in names]
    axes.append(
        _axis(
            [trial.best_loss_val for trial in validated],
            LOSS,
            is_log=False,
        )
    )
    shown = some_of(validated, MOST_LINES)
    good = set(map(id, validated[: math.ceil(len(validated) / 4)]))
    groups = {
        "other trials": [trial for trial in shown if id(trial) not in good],
        "best quarter": [trial for trial in shown if id(trial) in good],
        f"best: trial {validated[0].number}": [validated[0]],
    }
    figure = blank_figure("", "")
    styles = (
        {"color": QUIET_COLOUR, "width": 1},
        {"color": STATE_COLOURS[TrialState.COMPLETE], "width": 1.6},
        {"color": BEST_COLOUR, "width": 3.5},
    )
    for (name, trials), style in zip(
        groups.items(),
        styles,
        strict=True,
    ):
        if trials:
            figure.add_trace(
                _lines(
                    name,
                    trials,
                    axes,
                    style,
                )
            )
    _draw_axes(figure, axes)
    told = (
        "Each line is a trial, through its settings to its best loss, low losses at the bottom. "
        "Where the lines of the best quarter run close together, a setting matters and its "
        "best values are clear." + drawn_of(len(shown), len(validated))
    )
    width = WIDTH_PER_AXIS_PX * len(axes)
    return Drawing(
        "Settings of the best trials",
        figure,
        told,
        _table(names, validated),
        width,
    )


def _axis_of(
    name: str, trials: Sequence[TrialRecord], distribution: BaseDistribution | None
) -> Axis:
    values = [trial.swept[name] for trial in trials if name in trial.swept]
    return _axis(
        values,
        name,
        is_log=getattr(
            distribution,
            "log",
            False,
        ),
    )


def _axis(values: Sequence[Any], name: str, *, is_log: bool) -> Axis:
    """Lay values out along an axis: numbers by their size, others one after the other."""
    distinct = list(dict.fromkeys(values))
    if not all(isinstance(value, int | float) for value in distinct) or len(distinct) < 2:
        ordered = sorted(distinct, key=str)
        places = {value: (rank + 0.5) / len(ordered) for rank, value in enumerate(ordered)}
        return Axis(
            name,
            places,
            {format_value(value): places[value] for value in ordered},
        )
    scale = math.log if is_log else float
    low, high = min(distinct), max(distinct)
    span = scale(high) - scale(low)
    places = {value: (scale(value) - scale(low)) / span for value in distinct}
    return Axis(
        name,
        places,
        {format_value(low): 0.0, format_value(high): 1.0},
    )


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
            known = axis.name in values
            heights.append(axis.places[values[axis.name]] if known else NOT_SET)
            value = format_value(values[axis.name]) if known else "not set"
            texts.append(f"trial {trial.number}<br>{axis.name} {value}")
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
        rows.append(
            [
                f"trial {trial.number}",
                *cells,
                format_loss(trial.best_loss_val),
            ]
        )
    return Table(
        f"Settings of the best {len(shown)} trials",
        ("trial", *names, LOSS),
        rows,
    )
