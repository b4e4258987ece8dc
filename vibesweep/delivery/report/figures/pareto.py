"""Loss against step time, and the trials that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

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
from vibesweep.sweep.record import TrialRecord, TrialState
from vibesweep.sweep.record.front import front_of, step_ms
from vibesweep.sweep.record.table import format_loss, format_value

MOST_POINTS = 400


def draw_pareto(facts: Facts) -> Drawing | None:
    """Draw loss against step time; ``None`` where no trial has both."""
    trials = [trial for trial in facts.validated if trial.steps_per_s]
    if not trials:
        return None
    front = front_of(trials)
    shown = some_of(trials, MOST_POINTS)
    figure = blank_figure("milliseconds a step", "best loss")
    for state in TrialState:
        group = [trial for trial in shown if trial.state == state]
        if group:
            figure.add_trace(_points(state, group))
    figure.add_trace(_front(front))
    losses = [trial.best_loss_val for trial in shown if trial.best_loss_val is not None]
    figure.update_yaxes(range=loss_range(losses, None))
    told = (
        "No other trial is both better and faster than those on the line. The step time is that "
        "of a trial's last report, without validation." + drawn_of(len(shown), len(trials))
    )
    rows = []
    for trial in front:
        settings = ", ".join(f"{key} {format_value(value)}" for key, value in trial.swept.items())
        loss = format_loss(trial.best_loss_val)
        rows.append([f"trial {trial.number}", f"{_ms(trial):.0f}", loss, settings])
    heads = ("trial", "milliseconds a step", "best loss", "settings")
    table = Table("Trials that no other beats in both", heads, rows)
    return Drawing("Loss against step time", figure, told, table)


def _ms(trial: TrialRecord) -> float:
    return step_ms(trial) or 0.0


def _points(state: TrialState, trials: Sequence[TrialRecord]) -> go.Scatter:
    texts = [
        f"trial {trial.number}, {state}<br>{_ms(trial):.0f} ms a step"
        f"<br>best loss {format_loss(trial.best_loss_val)}"
        for trial in trials
    ]
    return go.Scatter(
        x=[_ms(trial) for trial in trials],
        y=[trial.best_loss_val for trial in trials],
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="markers",
        marker={"color": STATE_COLOURS[state], "symbol": STATE_SYMBOLS[state], "size": 9},
    )


def _front(front: Sequence[TrialRecord]) -> go.Scatter:
    return go.Scatter(
        x=[_ms(trial) for trial in front],
        y=[trial.best_loss_val for trial in front],
        name="none beats these",
        hoverinfo="skip",
        mode="lines+markers",
        line={"color": BEST_COLOUR, "width": 2, "shape": "hv"},
        marker={"color": BEST_COLOUR, "symbol": "circle-open", "size": 15, "line": {"width": 2}},
    )
