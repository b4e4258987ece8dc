"""A trial that is stopped in the middle of an epoch resumes to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

SETTINGS = TrialSettings(learning_rate=3e-3, batch_clips=5, lora_dropout=0.1)
MAX_STEPS = 14  # 24 clips: an epoch has 4 steps


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("context"))


def history(run: TrialRun, *until_steps: int) -> list[tuple[float, float, float]]:
    """Train up to each of these steps; list what every step and report said."""
    found = []
    for until_step in until_steps:
        report = run.advance(until_step)
        for record in report.curve:
            found.append((record.loss, record.grad_norm, record.learning_rate))
        found.append((report.loss_val, 0.0, 0.0))
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.9, "schedule": "wsd", "base_share": 0.25},
        {"optimizer": "muon", "method": "full", "attention_dropout": 0.1},
        {"optimizer": "schedule_free_adamw", "schedule": "constant"},
        {"optimizer": "lion", "batch_seconds": 8.0},
        {"optimizer": "adafactor"},
        {"optimizer": "prodigy", "learning_rate": 1.0},
        {"optimizer": "sgd", "specaugment_time_share": 0.2},
    ],
    ids=str,
)
def test_a_resumed_trial_gives_the_same_losses_to_the_bit(
    context: WorkerContext, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = TrialSettings(**{**vars(SETTINGS), **changes})
    unbroken = TrialRun(context, settings, MAX_STEPS)
    history(unbroken, 6)
    unbroken.save_state(tmp_path / "state")
    expected = history(unbroken, 11, MAX_STEPS)
    resumed = TrialRun(context, settings, MAX_STEPS)
    resumed.restore(tmp_path / "state")
    assert resumed.step == 6
    assert history(resumed, 11, MAX_STEPS) == expected


def test_saving_a_state_changes_nothing(context: WorkerContext, tmp_path: Path) -> None:
    expected = history(TrialRun(context, SETTINGS, MAX_STEPS), 3, 6)
    run = TrialRun(context, SETTINGS, MAX_STEPS)
    first = history(run, 3)
    run.save_state(tmp_path / "state")
    assert [*first, *history(run, 6)] == expected


def test_patience_and_the_running_median_come_back(context: WorkerContext, tmp_path: Path) -> None:
    settings = TrialSettings(**{**vars(SETTINGS), "learning_rate": 1e-9, "patience_reports": 3})
    run = TrialRun(context, settings, MAX_STEPS)
    history(run, 2, 4)
    run.save_state(tmp_path / "state")
    unbroken = [run.advance(step).early_stopped for step in (6, 8, 10)]
    resumed = TrialRun(context, settings, MAX_STEPS)
    resumed.restore(tmp_path / "state")
    assert [resumed.advance(step).early_stopped for step in (6, 8, 10)] == unbroken
    assert resumed._loop.state_dict()["guard"] == run._loop.state_dict()["guard"]


def test_another_trials_state_is_refused(context: WorkerContext, tmp_path: Path) -> None:
    TrialRun(context, SETTINGS, MAX_STEPS).save_state(tmp_path / "state")
    other = TrialRun(context, TrialSettings(**{**vars(SETTINGS), "lora_rank": 4}), MAX_STEPS)
    with pytest.raises(ModelError, match="other settings"):
        other.restore(tmp_path / "state")
