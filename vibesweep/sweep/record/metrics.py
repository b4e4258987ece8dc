"""A sweep's figures for Prometheus, through the port that Ray opens on each node; docs/watching.md says how to scrape it.

They are set in the driver, where all reports pass, and leave through the metrics port of the driver's node. Ray sends a gauge off once,
and forgets it: what still holds is said again and again, and what is said no more (a trial that has ended) is gone from the port some
20 seconds later. So there are never more series of trials than lanes, and those of the last seconds.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.metrics import Gauge

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import ENDED, RUNNING, WAITING

EXPORTED_AS = "ray_"
"""Ray puts this before the name of each metric."""

REPEAT_S = 1.0
"""Ray sends gauges off every 10 s unless told otherwise (RAY_metrics_report_interval_ms), and never more often than this."""

ANSWER_S = 10.0
"""The dispatcher answers in milliseconds. What bounds the wait at a sweep's end, should its host have gone."""

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
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (text, ("sweep", "trial")) for name, text in TRIAL_GAUGES.items()},
    **{name: (text, ("sweep",)) for name, text in SWEEP_GAUGES.items()},
    "vibesweep_trials": ("Trials in each state.", ("sweep", "state")),
    "vibesweep_lane_busy": (
        "1 where the lane has a trial, 0 where it waits for one; a lane that is not up has no figure.",
        ("sweep", "lane"),
    ),
}
"""Each gauge's description and tags. A trial's tag is its number, a lane's its name."""


class Point(NamedTuple):
    """One value of one gauge."""

    gauge: str
    value: float
    tags: dict[str, str]


class SweepMetrics:
    """Keeps a sweep's gauges true for as long as it is open."""

    def __init__(self, sweep: str, dispatcher: Any) -> None:
        """Measure the sweep of this name, whose dispatcher knows which lanes are busy."""
        self._sweep = sweep
        self._busy_lanes = dispatcher.busy_lanes.options(
            enable_task_events=False
        )  # or the dashboard's tasks would be full of it
        self._gauges = {name: Gauge(name, text, tags) for name, (text, tags) in GAUGES.items()}
        self._points: list[Point] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="metrics", daemon=True)

    def __enter__(self) -> SweepMetrics:
        """Begin to say again what holds."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End that, before Ray ends."""
        self._closing.set()
        self._thread.join()

    def tell(self, record: SweepRecord) -> None:
        """Set all gauges of the record as it stands: at once, for a trial that ends now is not said again."""
        self._points = list(points_of(record))
        self._set(self._points)

    def _repeat(self) -> None:
        while not self._closing.wait(REPEAT_S):
            self._set(self._points)
            with suppress(
                RayError
            ):  # a dispatcher that is gone ends the sweep, which says so itself
                busy = ray.get(self._busy_lanes.remote(), timeout=ANSWER_S)
                self._set(
                    Point("vibesweep_lane_busy", is_busy, {"sweep": self._sweep, "lane": lane})
                    for lane, is_busy in busy.items()
                )

    def _set(self, points: Iterable[Point]) -> None:
        for point in points:
            self._gauges[point.gauge].set(float(point.value), point.tags)


def points_of(record: SweepRecord) -> Iterator[Point]:
    """What a record says: of the sweep, and of the trials that have not ended. What is not finite is left out."""
    best = record.best.best_loss_val if record.best else None
    values = {"vibesweep_best_loss_val": best, "vibesweep_base_loss_val": record.base_loss_val}
    yield from _finite(values, {"sweep": record.name})
    for state, count in _states(record).items():
        yield Point("vibesweep_trials", count, {"sweep": record.name, "state": state})
    for trial in record.trials:
        if trial.ended_unix_s is None and trial.step:
            yield from _finite(_of_trial(trial), {"sweep": record.name, "trial": str(trial.number)})


def _of_trial(trial: TrialRecord) -> dict[str, float | None]:
    return {
        "vibesweep_trial_loss_val": trial.loss_val,
        "vibesweep_trial_loss_train": trial.loss_train,
        "vibesweep_trial_steps_per_s": trial.steps_per_s,
        "vibesweep_trial_step": trial.step,
        "vibesweep_trial_rung": trial.rung,
    }


def _states(record: SweepRecord) -> dict[str, int]:
    """How many trials are in each state, those in which there is none too: a series that went away would look as if it stood still."""
    found = Counter(trial.state for trial in record.trials)
    found[WAITING] = record.sweep["trials"] - len(record.trials)
    return {state: found[state] for state in (WAITING, RUNNING, *ENDED)}


def _finite(values: Mapping[str, float | None], tags: dict[str, str]) -> Iterator[Point]:
    return (
        Point(name, value, tags)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    )
