"""A trial's runner on a lane: what it saves, what it leaves, and how a trial is taken up whose lane was lost. No Ray."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import pytest

from tests import tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.storage import StoragePath
from vibesweep.training.lanes import trial_runner as runner
from vibesweep.training.lanes.dispatcher import Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.trial_runner import TrialRunner
from vibesweep.training.loop import TrialRun
from vibesweep.training.state.checkpoint import saved_loss
from vibesweep.training.state.full_state import has_state
from vibesweep.training.worker_context import WorkerContext, World

STEPS = 12
SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    folder = tmp_path_factory.mktemp("context")
    return WorkerContext.open(
        str(tiny.write_base(folder / "base")), tiny.write_shards(folder / "shards"), World()
    )


@pytest.fixture
def spec(tmp_path: Path) -> LaneSpec:
    kept = StoragePath.of(tmp_path)
    return LaneSpec(
        "any", "", "", kept / "checkpoints", kept / "states", tmp_path / "scratch", STEPS
    )


@pytest.fixture
def at_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole states are written whenever they may be."""
    monkeypatch.setattr(runner, "STATE_EVERY_S", 0.0)
    monkeypatch.setattr(runner, "STATE_SHARE", math.inf)


def report(of: TrialRunner, trial: str, settings: TrialSettings, until_step: int) -> Report:
    answer = of.run(Command(trial, settings, until_step))
    assert answer.error is None
    assert answer.report is not None
    return answer.report


@pytest.mark.usefixtures("at_every_report")
def test_a_trial_is_taken_up_where_its_state_was_written(
    context: WorkerContext, spec: LaneSpec
) -> None:
    expected = TrialRun(context, SETTINGS, STEPS).advance(STEPS).curve
    first, second = (
        report(TrialRunner(spec, context, 0), "moved", SETTINGS, 3),
        report(TrialRunner(spec, context, 0), "moved", SETTINGS, STEPS),
    )
    assert [record.loss for record in (*first.curve, *second.curve)] == [
        record.loss for record in expected
    ]
    assert second.curve[0].step == 4


@pytest.mark.parametrize("states", [True, False], ids=["with a state", "from the beginning"])
def test_after_a_lost_lane_the_best_checkpoint_stays(
    context: WorkerContext, spec: LaneSpec, states: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worsens = dataclasses.replace(
        SETTINGS, method="full", learning_rate=0.3, schedule="constant", grad_clip_norm=100.0
    )
    lost = TrialRunner(spec, context, 0)
    if states:
        monkeypatch.setattr(runner, "STATE_EVERY_S", 0.0)
    first = report(lost, "trial", worsens, 1)
    later = report(TrialRunner(spec, context, 0), "trial", worsens, STEPS)
    assert later.loss_val > first.loss_val, "or this shows nothing"
    assert saved_loss(spec.checkpoints / "trial") == first.loss_val


@pytest.mark.usefixtures("at_every_report")
def test_a_report_that_was_lost_with_its_lane_does_not_count_twice(
    context: WorkerContext, spec: LaneSpec
) -> None:
    settings = dataclasses.replace(SETTINGS, patience_reports=1)
    alone = TrialRunner(spec, context, 0)
    assert not report(alone, "trial", settings, 4).early_stopped
    told = report(alone, "trial", settings, 8)
    again = report(TrialRunner(spec, context, 0), "trial", settings, 8)
    assert again.loss_val == told.loss_val
    assert (told.early_stopped, again.early_stopped) == (False, False)
    still = dataclasses.replace(settings, learning_rate=1e-12)
    alone = TrialRunner(spec, context, 0)
    report(alone, "still", still, 4)
    assert (
        report(alone, "still", still, 8).early_stopped
        or report(alone, "still", still, STEPS).early_stopped
    )


@pytest.mark.usefixtures("at_every_report")
def test_a_trials_state_goes_when_the_next_one_comes(
    context: WorkerContext, spec: LaneSpec
) -> None:
    own = TrialRunner(spec, context, 0)
    report(own, "first", SETTINGS, 2)
    assert has_state(spec.states / "first")
    report(own, "second", SETTINGS, 2)
    assert not has_state(spec.states / "first")
    assert has_state(spec.states / "second")


def test_a_state_that_takes_long_is_written_less_often(
    context: WorkerContext, spec: LaneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, wrote = 0.0, []

    class SlowRun(TrialRun):
        def save_state(self, folder: object) -> None:
            nonlocal now
            wrote.append(now)
            now += 100.0

        def advance(self, until_step: int) -> Report:
            nonlocal now
            now += 150.0
            return super().advance(until_step)

    monkeypatch.setattr(runner, "TrialRun", SlowRun)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    own = TrialRunner(spec, context, 0)
    for step in range(40):
        report(own, "slow", SETTINGS, step // 4)
    assert wrote[0] == 300.0
    assert wrote[1] - wrote[0] >= 2_000.0


def test_settings_that_do_not_fit_cost_the_trial_and_not_the_seat(
    context: WorkerContext, spec: LaneSpec
) -> None:
    own = TrialRunner(spec, context, 0)
    answer = own.run(Command("odd", dataclasses.replace(SETTINGS, silence_after_s=1.0), 2))
    assert answer.report is None
    assert "does not take it" in str(answer.error)
    assert report(own, "even", SETTINGS, 2).step == 2
