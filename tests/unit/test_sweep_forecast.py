"""What a sweep says before it starts: how often clips are heard, and how long that takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.plan.expected import plan_of_pace
from vibesweep.sweep.plan.forecast import (
    duration_line,
    heard_line,
    training_clips,
    typical_settings,
)
from vibesweep.sweep.search.space import check_space
from vibesweep.training.lanes.messages import Pace
from vibesweep.training.pace import ORDERS, in_usual_order, measured_share, measured_step_s

BUDGET = Budget(27, 3, 3)
PACE = Pace(step_s=2.0, validation_s=1.0)


def test_the_line_says_how_often_each_clip_is_heard(tmp_path: Path) -> None:
    clips, speech_s = training_clips(str(tiny.write_shards(tmp_path / "shards")))
    settings = TrialSettings(batch_clips=clips)
    budget = Budget(max_epochs=12, grace_epochs=2).in_steps(clips, speech_s, settings)
    assert budget == Budget(12, 2)
    line = heard_line(budget, clips, speech_s, settings)
    assert "12 steps and hears each clip 12 times" in line
    assert line.endswith("one trial in 3 goes on at step 2, 6")


def test_a_budget_without_a_rung_names_none() -> None:
    assert "goes on" not in heard_line(Budget(5, 5), 24, 48.0, TrialSettings())


def test_a_sweep_takes_at_least_one_whole_trial() -> None:
    line = duration_line(plan_of_pace(Sweep({}, budget=BUDGET, trials=1), 4, PACE))
    assert line is not None
    assert "2 s a step, 1 s a validation" in line
    assert line.endswith("a whole trial takes about 64 s, and 1 trial on 4 lanes about 64 s")


def test_nothing_is_said_of_a_step_that_was_not_measured() -> None:
    plan = plan_of_pace(Sweep({}, budget=BUDGET, trials=9), 2, Pace(None, 1.0))
    assert plan.wall_s is None
    assert duration_line(plan) is None


def test_the_first_named_trial_sets_the_batch() -> None:
    def space(trial: object) -> None:
        trial.suggest_int("batch_clips", 1, 64)  # type: ignore[attr-defined]

    named = Sweep(space, try_first=({"batch_clips": 5},))
    assert typical_settings(named, check_space(named)).batch_clips == 5
    other = Sweep(space, settings=TrialSettings(batch_clips=7))
    assert typical_settings(other, check_space(other)).batch_clips == 7


def test_the_steps_that_are_measured_have_usual_lengths(tmp_path: Path) -> None:
    index = tiny.open_context(tmp_path).feed.index
    lengths = np.random.default_rng(0).lognormal(4, 0.6, len(index)).astype(int)
    index = dataclasses.replace(index, lengths=lengths)
    settings = TrialSettings(batch_clips=2)
    shares = []
    for seed in range(1, ORDERS + 1):
        order = dataclasses.replace(settings, seed=seed)
        shares.append(measured_share(index, order))
    assert np.mean(shares) == pytest.approx(1, abs=0.2)
    assert max(shares) > 1.25
    usual = in_usual_order(index, settings)
    assert measured_share(index, usual) == pytest.approx(1, abs=0.05)


def test_a_step_is_measured_and_leaves_the_base_as_it_was(tmp_path: Path) -> None:
    context = tiny.open_context(tmp_path)
    before = context.validate(context.base)
    seconds = measured_step_s(context, TrialSettings(method="full", learning_rate=1e-2))
    assert seconds is not None
    assert 0 < seconds < 60
    assert context.validate(context.base) == before
    assert measured_step_s(context, TrialSettings(lora_targets="nothing_there")) is None
