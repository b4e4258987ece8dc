"""A sweep's figures for Prometheus, through the port that Ray opens on each node.

They are set in the driver, where all reports arrive, and leave through the metrics port of the
driver's node; docs/watching.md says how to scrape it. Ray exports a gauge once and forgets it. So
what still holds is set again and again, and what is set no more (a trial that has ended) is gone
from the port some 20 seconds later. There are never more series of trials than lanes, and those of
the last seconds.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.metrics import Gauge

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.standing import Standing
from vibesweep.sweep.record.states import ENDED, TrialState

REPEAT_S = 1.0
"""How often gauges are set again.

Ray exports them every 10 s unless told otherwise (RAY_metrics_report_interval_ms), and never more
often than this.
"""

ANSWER_S = 10.0
"""How long to wait for the dispatcher, which answers in milliseconds unless its host has gone."""

TRIAL_GAUGES = {
    "vibesweep_trial_loss_val": "Validation loss of the trial's last report.",
    "vibesweep_trial_loss_train": "Mean training loss of the steps of the trial's last report.",
    "vibesweep_trial_steps_per_s": "Optimizer steps a second, over the trial's last report.",
    "vibesweep_trial_step": "Optimizer steps that the trial has taken.",
    "vibesweep_trial_rung": "ASHA's rungs that the trial has passed.",
}
SWEEP_GAUGES = {
    "vibesweep_best_loss_val": "Smallest validation loss of the sweep so far.",
    "vibesweep_base_loss_val": "Validation loss of the untouched base.",
}
TRIALS_GAUGE = "vibesweep_trials"
LANE_GAUGE = "vibesweep_lane_busy"
LANE_BUSY = (
    "1 where the lane has a trial, 0 where it waits for one; a lane that is not up has no figure."
)
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (text, ("sweep", "trial")) for name, text in TRIAL_GAUGES.items()},
    **{name: (text, ("sweep",)) for name, text in SWEEP_GAUGES.items()},
    TRIALS_GAUGE: ("Trials in each state.", ("sweep", "state")),
    LANE_GAUGE: (LANE_BUSY, ("sweep", "lane")),
}
"""Each gauge's description and tags. A trial's tag is its number, a lane's its name."""


class Point(NamedTuple):
    """One value of one gauge."""

    gauge: str
    value: float
    tags: dict[str, str]


class SweepMetrics:
    """Keeps a sweep's gauges up to date for as long as it is open."""

    def __init__(self, sweep: str, dispatcher: Any) -> None:
        """Measure the sweep of this name, whose dispatcher knows which lanes are busy."""
        self._sweep = sweep
        # Without task events: the dashboard's list of tasks would be full of these calls
        self._busy_lanes = dispatcher.busy_lanes.options(enable_task_events=False)
        self._gauges = {name: Gauge(name, text, tags) for name, (text, tags) in GAUGES.items()}
        self._points: list[Point] = []
        self._standing = Standing()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="metrics", daemon=True)

    def __enter__(self) -> SweepMetrics:
        """Start to set the gauges again and again."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, before Ray stops."""
        self._closing.set()
        self._thread.join()

    def tell(self, record: SweepRecord) -> None:
        """Set all gauges of the record as it stands.

        They are set at once, because a trial that ends now is not set again.
        """
        self._points = list(points_of(record, self._standing))
        self._set(self._points)

    def _repeat(self) -> None:
        while not self._closing.wait(REPEAT_S):
            self._set(self._points)
            with suppress(RayError):  # a dispatcher that is gone ends the sweep, which says so
                busy = ray.get(self._busy_lanes.remote(), timeout=ANSWER_S)
                self._set(self._lane_points(busy))

    def _lane_points(self, busy: Mapping[str, bool]) -> Iterator[Point]:
        for lane, is_busy in busy.items():
            yield Point(LANE_GAUGE, is_busy, {"sweep": self._sweep, "lane": lane})

    def _set(self, points: Iterable[Point]) -> None:
        for point in points:
            gauge = self._gauges[point.gauge]
            gauge.set(float(point.value), point.tags)


def points_of(record: SweepRecord, standing: Standing) -> Iterator[Point]:
    """Yield the points of the sweep and of the trials that have not ended; only finite ones.

    Args:
        record: the sweep as it stands.
        standing: follows the record.
    """
    tags = {"sweep": record.name}
    changed = standing.update(record)
    of_sweep = {
        "vibesweep_best_loss_val": standing.best_loss_val,
        "vibesweep_base_loss_val": record.base_loss_val,
    }
    yield from _finite(of_sweep, tags)
    for state, count in _trials_by_state(record, standing).items():
        yield Point(TRIALS_GAUGE, count, {**tags, "state": state.value})
    for trial in changed:
        if trial.ended_unix_s is None and trial.step:
            yield from _finite(_trial_values(trial), {**tags, "trial": str(trial.number)})


def _trial_values(trial: TrialRecord) -> dict[str, float | None]:
    return {
        "vibesweep_trial_loss_val": trial.loss_val,
        "vibesweep_trial_loss_train": trial.loss_train,
        "vibesweep_trial_steps_per_s": trial.steps_per_s,
        "vibesweep_trial_step": trial.step,
        "vibesweep_trial_rung": trial.rung,
    }


def _trials_by_state(record: SweepRecord, standing: Standing) -> dict[TrialState, int]:
    """Count the trials in each state, empty states included.

    A series that went away would look as if it stood still.
    """
    found = standing.counts()
    found[TrialState.WAITING] += record.trials_wanted - len(record.trials)
    states = (TrialState.WAITING, TrialState.RUNNING, *ENDED)
    return {state: found[state] for state in states}


def _finite(values: Mapping[str, float | None], tags: dict[str, str]) -> Iterator[Point]:
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            yield Point(name, value, tags)
