"""The timeline of lanes: which trial each lane had when, and when it had none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.drawing import (
    QUIET_COLOUR,
    STATE_COLOURS,
    Drawing,
    blank_figure,
)
from vibesweep.delivery.report.spans import LaneUse, Span, lane_order, uses_of
from vibesweep.delivery.report.tables import Table
from vibesweep.sweep.record import TrialState
from vibesweep.sweep.record.table import format_seconds

MOST_SPANS = 1_500
"""Each is an element of the page, which opens the later for it."""
ROW_PX = 30
UNITS = ((7_200.0, 3_600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From which length of a sweep on its time is given in which unit, and the unit's seconds."""


def draw_timeline(facts: Facts, spans: Sequence[Span]) -> Drawing | None:
    """Draw the timeline; ``None`` where no lane is known, or the sweep did not always run."""
    if not spans or not facts.ran_throughout:
        return None
    record = facts.record
    ended = record.ended_unix_s or facts.made_unix_s
    uses = uses_of(spans, record.started_unix_s, ended)
    shown = _shown(spans, uses)
    lanes = sorted({span.lane for span in shown}, key=lane_order)
    rows = {lane: row for row, lane in enumerate(lanes)}
    length_s = ended - record.started_unix_s
    unit_s, unit = next((unit_s, name) for least, unit_s, name in UNITS if length_s >= least)
    height_px = 190 + ROW_PX * len(rows)
    figure = blank_figure(f"{unit} since the sweep began", "", height_px)
    clock = Clock(record.started_unix_s, unit_s)
    figure.add_trace(_making(shown, rows, clock))
    states = {trial.number: trial.state for trial in record.trials}
    for state in TrialState:
        group = [span for span in shown if states[span.trial] == state]
        if group:
            trace = _training(state, group, rows, clock)
            figure.add_trace(trace)
    names = [f"lane {lane_order(lane)[1]}" for lane in rows]
    figure.update_yaxes(
        tickvals=list(rows.values()), ticktext=names, range=[len(rows) - 0.4, -0.6], showgrid=False
    )
    figure.update_xaxes(range=[0, length_s / unit_s])
    told = _told(uses, length_s)
    if len(shown) < len(spans):
        stretches = f"{len(shown)} of {len(spans)} stretches"
        told += f" Drawn are {len(rows)} of {len(uses)} lanes, and {stretches}."
    table = _table(uses, length_s)
    return Drawing("What the lanes did", figure, told, table)


def _shown(spans: Sequence[Span], uses: Sequence[LaneUse]) -> list[Span]:
    """Return the spans of as many lanes as can be drawn, at least of one: its last ones."""
    lanes: set[str] = set()
    room = MOST_SPANS
    counts = Counter(span.lane for span in spans)
    for use in uses:
        room -= counts[use.lane]
        if room < 0 and lanes:
            break
        lanes.add(use.lane)
    shown = [span for span in spans if span.lane in lanes]
    return shown[-MOST_SPANS:]


class Clock:
    """Tells the time since a sweep's start in a unit."""

    def __init__(self, started_unix_s: float, unit_s: float) -> None:
        self._started_unix_s = started_unix_s
        self._unit_s = unit_s

    def at(self, unix_s: float) -> float:
        """Return a moment as the figure has it."""
        return (unix_s - self._started_unix_s) / self._unit_s


def _making(spans: Sequence[Span], rows: dict[str, int], clock: Clock) -> go.Scatter:
    """Draw the time in which lanes had a trial and had not done its first step."""
    times: list[float | None] = []
    heights: list[int | None] = []
    for span in spans:
        times += [clock.at(span.began_unix_s), clock.at(span.trained_unix_s), None]
        heights += [rows[span.lane], rows[span.lane], None]
    return go.Scatter(
        x=times,
        y=heights,
        name="to the first step",
        mode="lines",
        line={"color": QUIET_COLOUR, "width": 3},
        hoverinfo="skip",
    )


def _training(
    state: TrialState, spans: Sequence[Span], rows: dict[str, int], clock: Clock
) -> go.Scatter:
    """Draw the spans of one state's trials as a single trace of thick lines: it draws faster."""
    times: list[float | None] = []
    heights: list[int | None] = []
    texts: list[str] = []
    for span in spans:
        row = rows[span.lane]
        times += [clock.at(span.trained_unix_s), clock.at(span.ended_unix_s), None]
        heights += [row, row, None]
        text = f"trial {span.trial}, {state}<br>{format_seconds(span.trained_s)}"
        texts += [text, text, ""]
    return go.Scatter(
        x=times,
        y=heights,
        name=state.value,
        text=texts,
        hoverinfo="text",
        mode="lines",
        line={"color": STATE_COLOURS[state], "width": 14},
    )


def _told(uses: Sequence[LaneUse], length_s: float) -> str:
    idle_s = sum(use.idle_s for use in uses)
    first_s = sum(use.first_step_s for use in uses)
    percent = 100 * idle_s / (len(uses) * length_s)
    later = format_seconds(idle_s - first_s)
    return (
        f"The lanes did not train {percent:.0f} % of the time: {format_seconds(first_s)} until "
        f"their first steps, and {later} between trials and at the end, added up over all lanes. "
        "A thick line is a trial in training and validation."
    )


def _table(uses: Sequence[LaneUse], length_s: float) -> Table:
    rows = []
    for use in uses:
        idle = f"{format_seconds(use.idle_s)} ({100 * use.idle_s / length_s:.0f} %)"
        first = format_seconds(use.first_step_s)
        trained = format_seconds(use.trained_s)
        rows.append([use.lane, str(use.trials), first, trained, idle])
    heads = ("lane", "trials", "until its first step", "training", "not training")
    return Table("What each lane did", heads, rows)
