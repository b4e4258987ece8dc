"""How trials sound against their loss, where a sweep ranks trials by what is heard."""

from __future__ import annotations

import plotly.graph_objects as go

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    BEST_COLOUR,
    STATE_COLOURS,
    STATE_SYMBOLS,
    Drawing,
    blank_figure,
    drawn_of,
    some_of,
)
from vibesweep.delivery.report.tables import Table
from vibesweep.quality.measures import Measure, measure_named
from vibesweep.sweep.record import TrialRecord, TrialState
from vibesweep.sweep.record.table import format_heard, format_loss

MOST_POINTS = 400
BREAKING = "-open"
"""Ending of the symbol of a trial that breaks a limit."""


def draw_heard(facts: Facts) -> Drawing | None:
    """Draw the measure that counts first against the loss; ``None`` where none does."""
    names = facts.record.aim.measures
    heard = [trial for trial in facts.validated if names and names[0] in trial.best_heard]
    if not heard:
        return None
    measure = measure_named(names[0])
    shown = some_of(heard, MOST_POINTS)
    figure = blank_figure("loss", measure.title)
    for state in TrialState:
        group = [trial for trial in shown if trial.state == state]
        if group:
            figure.add_trace(_points(facts, measure, state, group))
    figure.add_trace(_best(measure, heard[0]))
    told = (
        f"Loss and {measure.title}, whose ideal is {measure.ideal:g}, of the weights that were"
        " kept of each trial that was heard. Hollow ones break a limit."
        + drawn_of(len(shown), len(heard))
    )
    rows = [_row(trial, names) for trial in shown]
    titles = [measure_named(name).title for name in names]
    table = Table("Trials that were heard, best first", ("trial", "loss", *titles), rows)
    return Drawing(f"{measure.title} against loss", figure, told, table)


def _row(trial: TrialRecord, names: tuple[str, ...]) -> list[str]:
    figures = [format_heard(trial, name) for name in names]
    return [f"trial {trial.number}", format_loss(trial.best_loss_val), *figures]


def _points(
    facts: Facts, measure: Measure, state: TrialState, trials: list[TrialRecord]
) -> go.Scatter:
    symbols = []
    texts = []
    for trial in trials:
        is_kept = facts.record.aim.is_kept(trial.best_heard)
        symbols.append(STATE_SYMBOLS[state] + ("" if is_kept else BREAKING))
        loss = format_loss(trial.best_loss_val)
        figure = format_heard(trial, measure.name)
        texts.append(
            f"trial {trial.number}, {state}<br>loss {loss}<br>{measure.title} {figure}"
            + ("" if is_kept else "<br>breaks a limit")
        )
    return go.Scatter(
        x=[trial.best_loss_val for trial in trials],
        y=[trial.best_heard[measure.name] for trial in trials],
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="markers",
        marker={"color": STATE_COLOURS[state], "symbol": symbols, "size": 10},
    )


def _best(measure: Measure, best: TrialRecord) -> go.Scatter:
    return go.Scatter(
        x=[best.best_loss_val],
        y=[best.best_heard[measure.name]],
        name=f"best: trial {best.number}",
        hoverinfo="skip",
        mode="markers",
        marker={"color": BEST_COLOUR, "symbol": "circle-open", "size": 17, "line": {"width": 2}},
    )
