"""Learning curves: the validation loss of each trial at its reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    BEST_COLOUR,
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
from vibesweep.sweep.record.table import format_loss

MOST_CURVES = 100
CURVES_IN_TABLE = 20
STEPS_IN_TABLE = 10

Curve = list[tuple[int, float]]
"""Steps and validation losses of a trial's reports; an infinite loss is a divergence."""


def draw_curves(facts: Facts) -> Drawing | None:
    """Draw the learning curves; ``None`` where no trial has a loss."""
    validated = facts.validated
    if not validated:
        return None
    curves = _curves_of(facts)
    shown = some_of(validated, MOST_CURVES)
    figure = blank_figure("optimizer step", "validation loss")
    best = validated[0]
    for state in TrialState:
        trials = [trial for trial in shown if trial.state == state and trial is not best]
        if trials:
            trace = _trace(state, trials, curves)
            figure.add_trace(trace)
    figure.add_trace(_best_trace(best, curves[best.number]))
    base = facts.record.base_loss_val
    add_base_line(figure, base)
    _add_rungs(figure, facts.budget.rung_steps)
    ends = [loss for trial in shown for _, loss in curves[trial.number] if math.isfinite(loss)]
    figure.update_yaxes(range=loss_range(ends, base))
    told = (
        f"Each line is a trial. At the {len(facts.budget.rung_steps)} rungs, the dotted lines, "
        "the worse trials are stopped. A cross marks a trial that diverged, at its last finite "
        "loss." + drawn_of(len(shown), len(validated))
    )
    table = _table(validated, curves)
    return Drawing("Learning curves", figure, told, table)


def _curves_of(facts: Facts) -> dict[int, Curve]:
    curves: dict[int, Curve] = {trial.number: [] for trial in facts.record.trials}
    columns = facts.reports[["number", "step", "loss_val"]]
    for number, step, loss in columns.itertuples(index=False):
        curves[number].append((step, loss))
    return curves


def _trace(
    state: TrialState, trials: Sequence[TrialRecord], curves: Mapping[int, Curve]
) -> go.Scatter:
    """Draw the trials of one state as a single trace, with gaps between them: it draws faster."""
    steps: list[int | None] = []
    losses: list[float | None] = []
    sizes: list[int] = []
    texts: list[str] = []
    for trial in trials:
        curve = [(step, loss) for step, loss in curves[trial.number] if math.isfinite(loss)]
        for step, loss in curve:
            steps.append(step)
            losses.append(loss)
            texts.append(f"trial {trial.number}, {state}<br>step {step}: {loss:.4f}")
        sizes += [0] * (len(curve) - 1) + [8]
        steps.append(None)
        losses.append(None)
        sizes.append(0)
        texts.append("")
    return go.Scatter(
        x=steps,
        y=losses,
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="lines+markers",
        line={"color": STATE_COLOURS[state], "width": 1.2},
        marker={
            "size": sizes,
            "symbol": STATE_SYMBOLS[state],
            "line": {"width": 0},
        },
        opacity=0.8,
    )


def _best_trace(best: TrialRecord, curve: Curve) -> go.Scatter:
    finite = [(step, loss) for step, loss in curve if math.isfinite(loss)]
    symbols = ["star" if step == best.best_step else "circle" for step, _ in finite]
    return go.Scatter(
        x=[step for step, _ in finite],
        y=[loss for _, loss in finite],
        name=f"best: trial {best.number}",
        text=[f"trial {best.number}, the best<br>step {step}: {loss:.4f}" for step, loss in finite],
        hoverinfo="text",
        mode="lines+markers",
        line={"color": BEST_COLOUR, "width": 3},
        marker={"size": [13 if symbol == "star" else 6 for symbol in symbols], "symbol": symbols},
    )


def _add_rungs(figure: go.Figure, rung_steps: Sequence[int]) -> None:
    for number, step in enumerate(rung_steps, start=1):
        figure.add_vline(
            x=step,
            line={"dash": "dot", "width": 1},
            annotation={"text": f"rung {number}", "font": {"size": 12}},
            annotation_position="bottom right",
        )


def _table(validated: Sequence[TrialRecord], curves: Mapping[int, Curve]) -> Table:
    shown = validated[:CURVES_IN_TABLE]
    steps = sorted({step for trial in shown for step, _ in curves[trial.number]})
    every = math.ceil(len(steps) / STEPS_IN_TABLE)
    told_steps = steps[::-1][::every][::-1]
    rows = []
    for trial in shown:
        losses = dict(curves[trial.number])
        cells = [format_loss(losses[step]) if step in losses else "" for step in told_steps]
        rows.append([f"trial {trial.number}", trial.state.value, *cells])
    caption = f"Validation loss of the best {len(shown)} trials at their reports"
    heads = ("trial", "state", *(f"step {step}" for step in told_steps))
    return Table(caption, heads, rows)
