"""A lane's trial runner: what it saves and removes, and how it resumes a trial whose lane was lost.

No Ray.
"""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import pytest

from tests import tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training.lanes import trial_runner
from vibesweep.training.lanes.messages import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.trial_runner import TrialRunner
from vibesweep.training.state.checkpoint import SavedBest, saved_best
from vibesweep.training.state.full_state import has_state, saved_step
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.turns import Turns
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

STEPS = 12
SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)
TOO_SMALL_TO_MATTER = 1e-30
"""A learning rate at which float32 weights stay as they are, to the bit."""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    folder = tmp_path_factory.mktemp("context")
    return WorkerContext.open(
        ModelRef.parse(str(tiny.write_base(folder / "base"))),
        tiny.write_shards(folder / "shards"),
        World(),
    )


@pytest.fixture
def spec(tmp_path: Path) -> LaneSpec:
    kept = StoragePath.of(tmp_path)
    return LaneSpec(
        name="lane",
        model=ModelRef("mel", "unused: the context is open"),
        shards="unused",
        shards_signature="unused",
        checkpoints=kept / "checkpoints",
        states=kept / "states",
        clones=kept / "clones",
        scratch=tmp_path / "scratch",
        max_steps=STEPS,
    )


@pytest.fixture
def state_at_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the full state whenever it may be saved."""
    monkeypatch.setattr(trial_runner, "STATE_EVERY_S", 0.0)
    monkeypatch.setattr(trial_runner, "STATE_SHARE", math.inf)


def report(runner: TrialRunner, trial: str, settings: TrialSettings, until_step: int) -> Report:
    answer = runner.run(Command(trial, settings, (until_step,)))
    assert answer.error is None
    assert answer.report is not None
    return answer.report


@pytest.mark.usefixtures("state_at_every_report")
def test_a_trial_resumes_where_its_state_was_saved(context: WorkerContext, spec: LaneSpec) -> None:
    expected = TrialRun(context, SETTINGS, STEPS).advance(STEPS).curve
    lost = TrialRunner(spec, context, 0)
    first = report(lost, "moved", SETTINGS, 3)
    assert not has_state(spec.states / "moved"), "the sweep may not have heard of the report yet"
    report(lost, "moved", SETTINGS, 5)
    second = report(TrialRunner(spec, context, 0), "moved", SETTINGS, STEPS)
    losses = [record.loss for record in (*first.curve, *second.curve)]
    assert losses == [record.loss for record in expected]
    assert second.curve[0].step == 4


def test_a_state_is_saved_when_it_is_asked_for(context: WorkerContext, spec: LaneSpec) -> None:
    runner = TrialRunner(spec, context, 0)
    first = report(runner, "paused", SETTINGS, 3)
    assert not has_state(spec.states / "paused")
    assert runner.run(Command("paused", SETTINGS, ())) == Answer()
    assert saved_step(spec.states / "paused") == 3
    assert runner.run(Command("another lane's", SETTINGS, ())) == Answer()
    assert not has_state(spec.states / "another lane's")
    second = report(runner, "paused", SETTINGS, STEPS)
    alone = TrialRun(context, SETTINGS, STEPS).advance(STEPS).curve
    assert (*first.curve, *second.curve) == alone


def test_a_trial_whose_state_is_broken_leaves_its_seat(
    context: WorkerContext, spec: LaneSpec
) -> None:
    packed = dataclasses.replace(context, trials=2, packs=[], turns=Turns())
    (spec.states / "broken" / "state.json").write_bytes(b"{}")
    runner = TrialRunner(spec, packed, 0)
    answer = runner.run(Command("broken", SETTINGS, (STEPS,)))
    assert answer.error is not None
    (pack,) = packed.packs
    assert pack.idle


@pytest.mark.usefixtures("state_at_every_report")
def test_a_report_that_is_asked_for_again_is_the_same(
    context: WorkerContext, spec: LaneSpec
) -> None:
    runner = TrialRunner(spec, context, 0)
    told = report(runner, "trial", SETTINGS, 3)
    assert report(runner, "trial", SETTINGS, 3) is told
    assert not has_state(spec.states / "trial"), "the sweep may not have heard of the report yet"
    too_high = dataclasses.replace(SETTINGS, method="full", learning_rate=1e9, grad_clip_norm=1e9)
    diverged = report(runner, "too high", too_high, STEPS)
    assert diverged.diverged
    assert report(runner, "too high", too_high, STEPS) is diverged


@pytest.mark.parametrize("with_state", [True, False])
def test_reports_that_were_lost_with_a_lane_are_made_again(
    context: WorkerContext, spec: LaneSpec, with_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (3, 5, 7, 9)
    undisturbed = TrialRun(context, SETTINGS, STEPS)
    expected = [undisturbed.advance(step) for step in steps]
    validated: list[int] = []

    class Noted(TrialRun):
        def advance(self, until_step: int) -> Report:
            validated.append(until_step)
            return super().advance(until_step)

    lost = TrialRunner(spec, context, 0)
    for step in steps[:2]:
        if with_state:
            monkeypatch.setattr(trial_runner, "STATE_EVERY_S", 0.0)
            monkeypatch.setattr(trial_runner, "STATE_SHARE", math.inf)
        report(lost, "trial", SETTINGS, step)
    monkeypatch.setattr(trial_runner, "TrialRun", Noted)
    answer = TrialRunner(spec, context, 0).run(Command("trial", SETTINGS, steps))
    assert answer.report is not None
    assert validated == list(steps[1:] if with_state else steps)
    assert answer.report.loss_val == expected[-1].loss_val
    best = min(expected, key=lambda told: told.loss_val)
    assert (answer.report.best_loss_val, answer.report.best_step) == (best.loss_val, best.step)


@pytest.mark.parametrize("states", [True, False], ids=["with a state", "from the beginning"])
def test_after_a_lost_lane_the_best_checkpoint_stays(
    context: WorkerContext, spec: LaneSpec, states: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worsens = dataclasses.replace(
        SETTINGS, method="full", learning_rate=0.3, schedule="constant", grad_clip_norm=100.0
    )
    lost = TrialRunner(spec, context, 0)
    if states:
        monkeypatch.setattr(trial_runner, "STATE_EVERY_S", 0.0)
        monkeypatch.setattr(trial_runner, "STATE_SHARE", math.inf)
    first = report(lost, "trial", worsens, 1)
    if states:
        report(lost, "trial", worsens, 2)
        assert has_state(spec.states / "trial")
    later = report(TrialRunner(spec, context, 0), "trial", worsens, STEPS)
    assert later.loss_val > first.loss_val, "or this shows nothing"
    assert saved_best(spec.checkpoints / "trial") == SavedBest(first.loss_val, 1, {})
    assert (later.best_loss_val, later.best_step) == (first.loss_val, 1)


def test_a_report_carries_the_best_so_far_and_the_lane(
    context: WorkerContext, spec: LaneSpec
) -> None:
    runner = TrialRunner(spec, context, 0)
    reports = [report(runner, "trial", SETTINGS, step) for step in (2, 4, 6)]
    for number, told in enumerate(reports, start=1):
        best = min(reports[:number], key=lambda earlier: earlier.loss_val)
        assert (told.best_loss_val, told.best_step) == (best.loss_val, best.step)
    assert {(told.lane, told.device) for told in reports} == {("lane", "cpu")}
    another = report(runner, "another", SETTINGS, 2)
    assert (another.best_loss_val, another.best_step) == (another.loss_val, 2)


@pytest.mark.usefixtures("state_at_every_report")
def test_a_report_that_was_lost_with_its_lane_does_not_count_twice(
    context: WorkerContext, spec: LaneSpec
) -> None:
    settings = dataclasses.replace(SETTINGS, learning_rate=TOO_SMALL_TO_MATTER, patience_reports=2)
    lost = TrialRunner(spec, context, 0)
    reports = [report(lost, "trial", settings, step) for step in (3, 6)]
    runner = TrialRunner(spec, context, 0)
    reports += [report(runner, "trial", settings, step) for step in (6, 9)]
    assert len({told.loss_val for told in reports}) == 1, "no report is better than the first"
    assert [told.early_stopped for told in reports] == [False, False, False, True]


@pytest.mark.usefixtures("state_at_every_report")
def test_a_trials_state_is_removed_when_the_next_trial_comes(
    context: WorkerContext, spec: LaneSpec
) -> None:
    runner = TrialRunner(spec, context, 0)
    for step in (1, 2):
        report(runner, "first", SETTINGS, step)
    assert has_state(spec.states / "first")
    for step in (1, 2):
        report(runner, "second", SETTINGS, step)
    assert not has_state(spec.states / "first")
    assert has_state(spec.states / "second")


def test_a_state_that_takes_long_is_saved_less_often(
    context: WorkerContext, spec: LaneSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    saved_at_s: list[float] = []

    class SlowRun(TrialRun):
        def save_state(self, folder: object) -> None:
            nonlocal now_s
            saved_at_s.append(now_s)
            now_s += 100.0

        def advance(self, until_step: int) -> Report:
            nonlocal now_s
            now_s += 150.0
            trained = super().advance(until_step // 4)
            return dataclasses.replace(trained, step=until_step)

    monkeypatch.setattr(trial_runner, "TrialRun", SlowRun)
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    runner = TrialRunner(spec, context, 0)
    for step in range(40):
        report(runner, "slow", SETTINGS, step)
    assert saved_at_s[0] == 150.0, "its checkpoint took no time"
    assert saved_at_s[1] - saved_at_s[0] >= 100.0 / trial_runner.STATE_SHARE


def test_settings_that_the_model_refuses_cost_the_trial_and_not_the_runner(
    context: WorkerContext, spec: LaneSpec
) -> None:
    runner = TrialRunner(spec, context, 0)
    refused = dataclasses.replace(SETTINGS, silence_after_s=1.0)
    answer = runner.run(Command("refused", refused, (2,)))
    assert answer.report is None
    assert "does not take it" in str(answer.error)
    assert report(runner, "taken", SETTINGS, 2).step == 2


def test_a_trial_whose_host_is_about_to_go_saves_its_state_between_two_reports(
    context: WorkerContext, spec: LaneSpec
) -> None:
    """It loses no step: the report that comes is as if nothing had happened."""
    expected = TrialRun(context, SETTINGS, STEPS).advance(STEPS)
    steps_to_go = iter(range(4, -1, -1))
    told = dataclasses.replace(context, must_leave=lambda: next(steps_to_go) == 0)
    answer = TrialRunner(spec, told, 0).run(Command("moved", SETTINGS, (STEPS,)))
    assert (answer.report, answer.lost, answer.leaving) == (None, True, True)
    assert saved_step(spec.states / "moved") == 5
    found = report(TrialRunner(spec, context, 0), "moved", SETTINGS, STEPS)
    assert found.curve == expected.curve
    assert (found.loss_val, found.loss_train) == (expected.loss_val, expected.loss_train)
    assert (found.tokens, found.row_tokens) == (expected.tokens, expected.row_tokens)


def test_a_trial_that_is_at_its_report_when_its_host_is_about_to_go_reports(
    context: WorkerContext, spec: LaneSpec
) -> None:
    told = dataclasses.replace(context, must_leave=lambda: True)
    runner = TrialRunner(spec, told, 0)
    assert report(runner, "trial", SETTINGS, 1).step == 1
    assert runner.run(Command("trial", SETTINGS, (STEPS,))).leaving
    assert saved_step(spec.states / "trial") == 2
