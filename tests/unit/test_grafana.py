"""The metrics of a sweep's record, and the Grafana dashboard that shows these and no others."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from vibesweep.config import Sweep
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.sweep.record.metrics import GAUGES, Point, points_of
from vibesweep.sweep.record.standing import Standing

RAY_PREFIX = "ray_"
"""Ray puts this before the name of each metric."""
DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "grafana" / "vibesweep.json").read_text()
)
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]
OURS = f"{RAY_PREFIX}vibesweep_"


def names_in(expression: str) -> set[str]:
    """Metrics that a PromQL expression reads."""
    return set(re.findall(rf"\b{RAY_PREFIX}\w+", expression))


def tags_in(target: dict[str, str]) -> set[str]:
    """Labels that a target matches, groups by, or shows."""
    matched = re.findall(r"(\w+)=~?\"", target["expr"])
    return {
        *matched,
        *re.findall(r"by \((\w+)\)", target["expr"]),
        *re.findall(r"{{(\w+)}}", target["legendFormat"]),
    }


def test_every_metric_of_ours_is_shown_and_no_other_is_asked_for() -> None:
    shown = {
        name for _, target in TARGETS for name in names_in(target["expr"]) if name.startswith(OURS)
    }
    assert shown == {RAY_PREFIX + name for name in GAUGES}


@pytest.mark.parametrize(
    ("title", "target"), TARGETS, ids=[f"{title}-{target['refId']}" for title, target in TARGETS]
)
def test_a_panel_asks_for_labels_that_its_metric_has(title: str, target: dict[str, str]) -> None:
    (name,) = names_in(target["expr"])
    if name.startswith(OURS):
        assert tags_in(target) <= set(GAUGES[name.removeprefix(RAY_PREFIX)][1])


def test_rays_own_metrics_are_rays() -> None:
    found = importlib.util.find_spec("ray")
    assert found is not None
    assert found.origin is not None
    reporter = (
        Path(found.origin).parent / "dashboard" / "modules" / "reporter" / "reporter_agent.py"
    ).read_text()
    rays = {
        name
        for _, target in TARGETS
        for name in names_in(target["expr"])
        if not name.startswith(OURS)
    }
    assert rays
    assert [
        name
        for name in sorted(rays)
        if f'"{name.removeprefix(RAY_PREFIX)}": Gauge(' not in reporter
    ] == []


def test_the_sweeps_to_choose_from_are_read_from_a_metric_that_says_them() -> None:
    (variable,) = [found for found in DASHBOARD["templating"]["list"] if found["name"] == "sweep"]
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
    assert asked is not None
    name, tag = asked.groups()
    assert variable["query"]["query"] == variable["definition"]
    assert tag in GAUGES[name.removeprefix(RAY_PREFIX)][1]


def test_no_two_panels_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = Counter(
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    assert set(cells.values()) == {1}


@pytest.fixture
def record() -> SweepRecord:
    """Make a trial that has ended, one that runs, one without a report, and one to come."""
    sweep = sweep_as_json(Sweep({"learning_rate": FloatDistribution(1e-5, 1e-2)}, trials=4))
    trials = [
        TrialRecord(
            "a",
            0,
            {},
            {},
            TrialState.COMPLETE,
            step=90,
            rung=2,
            loss_val=0.5,
            best_loss_val=0.4,
            ended_unix_s=10.0,
        ),
        TrialRecord(
            "b",
            1,
            {},
            {},
            TrialState.RUNNING,
            step=30,
            rung=1,
            loss_val=0.7,
            loss_train=0.9,
            best_loss_val=0.7,
            steps_per_s=3.0,
        ),
        TrialRecord("c", 2, {}, {}, TrialState.RUNNING),
    ]
    return SweepRecord("mine", "mel-small", "/shards", "abc", sweep, 1, {}, trials=trials)


def values(record: SweepRecord, gauge: str) -> dict[str, float]:
    """Return what a gauge says, by its last tag."""
    return {
        list(point.tags.values())[-1]: point.value
        for point in points_of(record, Standing())
        if point.gauge == gauge
    }


def test_only_trials_that_run_have_figures(record: SweepRecord) -> None:
    assert values(record, "vibesweep_trial_loss_val") == {"1": 0.7}
    assert values(record, "vibesweep_trial_loss_train") == {"1": 0.9}
    assert values(record, "vibesweep_trial_steps_per_s") == {"1": 3.0}
    assert values(record, "vibesweep_trial_step") == {"1": 30}
    assert values(record, "vibesweep_trial_rung") == {"1": 1}


def test_a_trials_last_report_is_told_before_the_trial_is_closed(record: SweepRecord) -> None:
    record.trials[1].state = TrialState.PRUNED
    assert set(values(record, "vibesweep_trial_loss_val")) == {"1"}
    record.trials[1].ended_unix_s = 20.0
    assert not any("trial" in point.tags for point in points_of(record, Standing()))


def test_the_sweeps_figures_go_on_after_its_trials(record: SweepRecord) -> None:
    assert values(record, "vibesweep_best_loss_val") == {"mine": 0.4}
    assert values(record, "vibesweep_base_loss_val") == {}
    record.base_loss_val = 0.8
    assert values(record, "vibesweep_base_loss_val") == {"mine": 0.8}
    states = values(record, "vibesweep_trials")
    assert {state: count for state, count in states.items() if count} == {
        "complete": 1,
        "running": 2,
        "waiting": 1,
    }
    assert states["diverged"] == 0


def test_a_loss_that_is_not_there_is_left_out(record: SweepRecord) -> None:
    record.trials[1].loss_val, record.trials[1].loss_train = None, math.nan
    assert values(record, "vibesweep_trial_loss_val") == {}
    assert values(record, "vibesweep_trial_loss_train") == {}
    assert values(record, "vibesweep_trial_step") == {"1": 30}


def test_each_point_has_its_gauges_tags(record: SweepRecord) -> None:
    record.base_loss_val = 0.8
    points: list[Point] = list(points_of(record, Standing()))
    assert {point.gauge for point in points} == set(GAUGES) - {
        "vibesweep_lane_busy"
    }  # which the dispatcher tells of
    assert [point for point in points if tuple(point.tags) != GAUGES[point.gauge][1]] == []
