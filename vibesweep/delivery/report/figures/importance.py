"""How much each setting matters, as bars."""

from __future__ import annotations

import plotly.graph_objects as go

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    STATE_COLOURS,
    Drawing,
    blank_figure,
)
from vibesweep.delivery.report.importance import importances_of, losses_at_first_report
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialState

ROUGH_TRIALS = 50


def draw_importance(facts: Facts) -> Drawing | None:
    """Draw the settings' importance; ``None`` where it cannot be worked out."""
    shares = importances_of(facts)
    if not shares:
        return None
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = blank_figure("importance", "", 90 + 30 * len(ordered))
    percents = [100 * share for _, share in ordered]
    bars = go.Bar(
        x=percents,
        y=[name for name, _ in ordered],
        orientation="h",
        text=[f"{percent:.0f} %" for percent in percents],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
        marker={"color": STATE_COLOURS[TrialState.COMPLETE]},
    )
    figure.add_trace(bars)
    figure.update_xaxes(range=[0, max(percents) * 1.15], ticksuffix=" %")
    compared = len(losses_at_first_report(facts))
    told = (
        f"How much each setting decides whether a trial is in the best quarter at step "
        f"{facts.budget.report_steps[0]}, to which all came: PED-ANOVA over "
        f"{compared} trials."
    )
    if compared < ROUGH_TRIALS:
        told += " With so few trials this is rough."
    rows = [[name, f"{100 * share:.0f} %"] for name, share in reversed(ordered)]
    table = Table("Importance of each setting", ("setting", "importance"), rows)
    return Drawing("Which settings matter", figure, told, table)
