"""The first objective against what a trial takes, and the trials that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

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


def draw_fronts(facts: Facts) -> list[Drawing]:
    """Draw the first objective against step time and memory, where trials have them."""
    record = facts.record
    known = metrics_of(record)
    return [_front_against(facts, metric) for metric in DRAWN if metric in known]


def _front_against(facts: Facts, metric: str) -> Drawing:
    record = facts.record
    trials = [trial for trial in facts.validated if _is_drawn(record, trial, metric)]
    front = front_of(record, metric)
    shown = some_of(trials, MOST_POINTS)
    sought = title_of_sought(record)
    figure = blank_figure(title_of(metric), sought)
    for state in TrialState:
        group = [trial for trial in shown if trial.state == state]
        if group:
            figure.add_trace(_points(record, metric, state, group))
    figure.add_trace(_line(record, metric, front))
    heights = [found for trial in shown if (found := sought_of(record, trial)) is not None]
    figure.update_yaxes(range=loss_range(heights, None))
    told = f"No other trial is better in both than those on the line. {TOLD.get(metric, '')}"
    rows = []
    for trial in front:
        settings = ", ".join(f"{key} {format_value(value)}" for key, value in trial.swept.items())
        measured = format_figure(figure_of(trial, metric))
        rows.append([f"trial {trial.number}", measured, format_sought(record, trial), settings])
    heads = ("trial", title_of(metric), sought, "settings")
    table = Table("Trials that no other beats in both", heads, rows)
    told = told.strip() + drawn_of(len(shown), len(trials))
    return Drawing(f"{_capital(sought)} against {_versus(metric)}", figure, told, table)


def _is_drawn(record: SweepRecord, trial: TrialRecord, metric: str) -> bool:
    return figure_of(trial, metric) is not None and sought_of(record, trial) is not None


def _versus(metric: str) -> str:
    return COSTS[metric].versus if metric in COSTS else title_of(metric)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _points(
    record: SweepRecord, metric: str, state: TrialState, trials: Sequence[TrialRecord]
) -> go.Scatter:
    texts = [
        f"trial {trial.number}, {state}"
        f"<br>{title_of(metric)} {format_figure(figure_of(trial, metric))}"
        f"<br>{title_of_sought(record)} {format_sought(record, trial)}"
        for trial in trials
    ]
    return go.Scatter(
        x=[figure_of(trial, metric) for trial in trials],
        y=[sought_of(record, trial) for trial in trials],
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="markers",
        marker={"color": STATE_COLOURS[state], "symbol": STATE_SYMBOLS[state], "size": 9},
    )


def _line(record: SweepRecord, metric: str, front: Sequence[TrialRecord]) -> go.Scatter:
    return go.Scatter(
        x=[figure_of(trial, metric) for trial in front],
        y=[sought_of(record, trial) for trial in front],
        name="none beats these",
        hoverinfo="skip",
        mode="lines+markers",
        line={"color": BEST_COLOUR, "width": 2, "shape": "hv"},
        marker={"color": BEST_COLOUR, "symbol": "circle-open", "size": 15, "line": {"width": 2}},
    )
