"""When each lane trained which trial, worked out of the reports.

A lane does one thing after the other. So what a trial reports from a lane was done after that
lane's last report, after the trial's own last report, and after the trial was given to a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import pandas as pd

from vibesweep.sweep.record import SweepRecord


@dataclass(frozen=True)
class Span:
    """A stretch of time in which a lane had a trial.

    Attributes:
        lane: the lane's name; empty in records of sweeps that did not note it.
        trial: the trial's number.
        began_unix_s: when the trial was there.
        trained_unix_s: when it trained: after its model was made and its first step was done.
        ended_unix_s: its last report from this lane.
    """

    lane: str
    trial: int
    began_unix_s: float
    trained_unix_s: float
    ended_unix_s: float

    @property
    def trained_s(self) -> float:
        """Seconds of training and validation."""
        return self.ended_unix_s - self.trained_unix_s


def spans_of(record: SweepRecord, reports: pd.DataFrame) -> list[Span]:
    """Return the spans in the order in which they ended; none where no lane is known."""
    if "lane" not in reports or not reports["lane"].all():
        return []
    trials = {trial.number: trial for trial in record.trials}
    lane_free: dict[str, float] = {}
    trial_free: dict[int, float] = {}
    open_spans: dict[str, Span] = {}
    done: list[Span] = []
    columns = reports[["lane", "number", "reported_unix_s"]]
    for lane, number, reported in columns.itertuples(index=False):
        span = open_spans.get(lane)
        if span is not None and span.trial == number:
            open_spans[lane] = replace(span, ended_unix_s=reported)
        else:
            if span is not None:
                done.append(span)
            trial = trials[number]
            paused = trial_free.get(number, 0.0)
            began = max(trial.started_unix_s, lane_free.get(lane, 0.0), paused)
            first_step = 0.0 if paused else trial.first_step_unix_s
            trained = max(began, first_step)
            trained = min(trained, reported)
            open_spans[lane] = Span(lane, number, began, trained, reported)
        lane_free[lane] = trial_free[number] = reported
    spans = [*done, *open_spans.values()]
    return sorted(spans, key=attrgetter("ended_unix_s"))


@dataclass(frozen=True)
class LaneUse:
    """What one lane did.

    Attributes:
        lane: its name.
        trials: how many trials it had.
        first_step_s: seconds from the sweep's start to its first step.
        trained_s: seconds of training and validation.
        idle_s: all other seconds until the sweep's end: coming up, making models, waiting.
    """

    lane: str
    trials: int
    first_step_s: float
    trained_s: float
    idle_s: float


def uses_of(spans: Iterable[Span], started_unix_s: float, ended_unix_s: float) -> list[LaneUse]:
    """Add up what each lane did from the sweep's start to its end."""
    by_lane: dict[str, list[Span]] = {}
    for span in spans:
        by_lane.setdefault(span.lane, []).append(span)
    uses = []
    for lane in sorted(by_lane, key=lane_order):
        use = _use_of(lane, by_lane[lane], started_unix_s, ended_unix_s)
        uses.append(use)
    return uses


def lane_order(lane: str) -> tuple[str, int]:
    """Return what sorts lane 10 behind lane 9."""
    head, _, number = lane.rpartition("-")
    return (head, int(number)) if number.isdigit() else (lane, 0)


def _use_of(lane: str, spans: Sequence[Span], started: float, ended: float) -> LaneUse:
    trained_s = sum(span.trained_s for span in spans)
    first_step = min(span.trained_unix_s for span in spans)
    return LaneUse(
        lane=lane,
        trials=len({span.trial for span in spans}),
        first_step_s=first_step - started,
        trained_s=trained_s,
        idle_s=ended - started - trained_s,
    )
