"""The first objective against what a trial takes, and the trials that no other beats in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from vibesweep.config.costs import COSTS, PEAK_MEMORY_MB, STEP_MS
from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    BEST_COLOUR,
    STATE_COLOURS,
    STATE_SYMBOLS,
    Drawing,
    blank_figure,
    drawn_of,
    loss_range,
    some_of,
)
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState
from vibesweep.sweep.record.front import (
    figure_of,
    format_figure,
    format_sought,
    front_of,
    metrics_of,
    sought_of,
    title_of,
    title_of_sought,
)
from vibesweep.sweep.record.table import format_value

MOST_POINTS = 400
DRAWN = (STEP_MS.name, PEAK_MEMORY_MB.name)
"""What the first objective is drawn against in any case."""
TOLD = {
    STEP_MS.name: "The step time is that of a step of usual size, without validation.",
    PEAK_MEMORY_MB.name: (
        "The memory is the most that the lane's process held in training: what tensors took on a "
        "GPU, and on a CPU the whole process, with what earlier trials left to it."
    ),
}


class Place(NamedTuple):
    """Where a trial lies in a figure, and what is told of it there."""

    trial: TrialRecord
    price: float
    sought: float
    words: str


def draw_fronts(facts: Facts) -> list[Drawing]:
    """Draw the first objective against the second, step time and memory, where trials have them."""
    record = facts.record
    known = metrics_of(record)
    metrics = dict.fromkeys((record.aim.second, *DRAWN))
    found = [_front_against(facts, metric) for metric in metrics if metric in known]
    return [drawing for drawing in found if drawing is not None]


def _front_against(facts: Facts, metric: str) -> Drawing | None:
    """Draw the first objective against a metric; ``None`` where no trial has both."""
    record = facts.record
    sought = title_of_sought(record)
    price = title_of(metric)
    places = _places(record, facts.validated, metric)
    if not places:
        return None
    front = _places(record, front_of(record, metric), metric)
    shown = some_of(places, MOST_POINTS)
    figure = blank_figure(price, sought)
    for state in TrialState:
        group = [place for place in shown if place.trial.state == state]
        if group:
            figure.add_trace(_points(state, group))
    figure.add_trace(_line(front))
    heights = [place.sought for place in shown]
    figure.update_yaxes(range=loss_range(heights, None))
    told = f"No other trial is better in both than those on the line. {TOLD.get(metric, '')}"
    told = told.strip() + drawn_of(len(shown), len(places))
    rows = [_row(record, place, metric) for place in front]
    heads = ("trial", price, sought, "settings")
    table = Table("Trials that no other beats in both", heads, rows)
    versus = COSTS[metric].versus if metric in COSTS else price
    title = f"{sought} against {versus}"
    return Drawing(title[0].upper() + title[1:], figure, told, table)


def _places(record: SweepRecord, trials: Iterable[TrialRecord], metric: str) -> list[Place]:
    """Return where trials lie, those left out of which not both figures are known."""
    places = []
    for trial in trials:
        price = figure_of(trial, metric)
        sought = sought_of(record, trial)
        if price is None or sought is None:
            continue
        lines = (
            f"trial {trial.number}, {trial.state}",
            f"{title_of(metric)} {format_figure(price)}",
            f"{title_of_sought(record)} {format_sought(record, trial)}",
        )
        place = Place(trial, price, sought, "<br>".join(lines))
        places.append(place)
    return places


def _row(record: SweepRecord, place: Place, metric: str) -> list[str]:
    settings = []
    for name, value in place.trial.swept.items():
        settings.append(f"{name} {format_value(value)}")
    return [
        f"trial {place.trial.number}",
        format_figure(place.price),
        format_sought(record, place.trial),
        ", ".join(settings),
    ]


def _points(state: TrialState, places: Sequence[Place]) -> go.Scatter:
    return go.Scatter(
        x=[place.price for place in places],
        y=[place.sought for place in places],
        name=state.value,
        text=[place.words for place in places],
        hoverinfo="text",
        mode="markers",
        marker={"color": STATE_COLOURS[state], "symbol": STATE_SYMBOLS[state], "size": 9},
    )


def _line(front: Sequence[Place]) -> go.Scatter:
    return go.Scatter(
        x=[place.price for place in front],
        y=[place.sought for place in front],
        name="none beats these",
        hoverinfo="skip",
        mode="lines+markers",
        line={"color": BEST_COLOUR, "width": 2, "shape": "hv"},
        marker={"color": BEST_COLOUR, "symbol": "circle-open", "size": 15, "line": {"width": 2}},
    )
