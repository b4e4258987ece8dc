"""What all figures of a report share: colours, axes, and how few of many trials are drawn.

Colours of text, grid and frame come from page.html, which knows whether the page is light, dark or
printed. Those of trials are seen on white and on black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import plotly.graph_objects as go

from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialState

T = TypeVar("T")

BEST_COLOUR = "#d97706"
QUIET_COLOUR = "#8b93a1"
STATE_COLOURS = {
    TrialState.WAITING: "#5b6f95",
    TrialState.COMPLETE: "#2f81d6",
    TrialState.PRUNED: QUIET_COLOUR,
    TrialState.DIVERGED: "#dc2626",
    TrialState.FAILED: "#a855f7",
    TrialState.STOPPED: "#a08a00",
    TrialState.RUNNING: "#0d9d74",
}
STATE_SYMBOLS = {
    TrialState.WAITING: "hourglass",
    TrialState.COMPLETE: "circle",
    TrialState.PRUNED: "triangle-down",
    TrialState.DIVERGED: "x",
    TrialState.FAILED: "square",
    TrialState.STOPPED: "diamond",
    TrialState.RUNNING: "cross",
}
"""Each state has a symbol too, for readers who cannot tell the colours apart."""
HEIGHT_PX = 380


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure, and the same in words and as a table.

    Attributes:
        title: its heading.
        figure: what Plotly draws.
        told: what is to be seen in it, in a sentence or two.
        table: its data, for whoever cannot see it.
        least_width_px: it is scrolled sideways where the page is narrower.
    """

    title: str
    figure: go.Figure
    told: str
    table: Table
    least_width_px: int = 280


def blank_figure(x_title: str, y_title: str, height_px: int = HEIGHT_PX) -> go.Figure:
    """Make a figure without a trace."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height_px,
        margin={"l": 56, "r": 16, "t": 8, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hoverlabel={"bgcolor": "#1f2430", "font": {"color": "#ffffff"}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(title=x_title, automargin=True, zeroline=False)
    figure.update_yaxes(title=y_title, automargin=True, zeroline=False)
    return figure


def some_of(best_first: Sequence[T], most: int) -> Sequence[T]:
    """Return the best half of ``most``, and others evenly from all the rest."""
    if len(best_first) <= most:
        return best_first
    best = best_first[: most // 2]
    rest = best_first[most // 2 :]
    others = most - len(best)
    places = [index * len(rest) // others for index in range(others)]
    return [*best, *(rest[place] for place in places)]


def drawn_of(drawn: int, total: int) -> str:
    """Say how many trials are drawn, where it is not all of them."""
    if drawn == total:
        return ""
    return f" Drawn are {drawn} of {total} trials: the best {drawn // 2}, and others evenly."


def loss_range(losses: Sequence[float], base: float | None) -> list[float]:
    """Return the losses between which a figure begins to be looked at.

    A few trials that went far up would press all others together.
    """
    ordered = sorted(losses)
    least = ordered[0]
    most = ordered[int(0.9 * (len(ordered) - 1))]
    if base is not None:
        most = max(most, base)
        least = min(least, base)
    margin = 0.06 * (most - least or least)
    return [least - margin, most + margin]


def add_base_line(figure: go.Figure, base: float | None) -> None:
    """Draw the untouched base's loss as a dashed line."""
    if base is None:
        return
    figure.add_hline(
        y=base,
        line={"dash": "dash", "width": 1.5},
        annotation={"text": f"untouched base {base:.4f}", "font": {"size": 12}},
        annotation_position="top right",
    )
