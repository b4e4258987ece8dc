"""Budgets in steps, epochs and seconds of speech."""

from __future__ import annotations

from typing import Any

import pytest

from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import SpaceError

CLIPS, SPEECH_S = 240, 960.0
BY_CLIPS = TrialSettings(batch_clips=8)
BY_SECONDS = TrialSettings(batch_seconds=48.0)


@pytest.mark.parametrize(
    ("budget", "reports", "rungs"),
    [
        (Budget(90, 10, 3), (10, 20, 30, 40, 50, 60, 70, 80, 90), (10, 30)),
        (Budget(54, 6, 3), tuple(range(6, 55, 6)), (6, 18)),
        (Budget(55, 6, 3), (*range(6, 55, 6), 55), (6, 18, 54)),
        (Budget(7, 2, 2), (2, 4, 6, 7), (2, 4)),
        (Budget(54, 54, 3), (54,), ()),
        (Budget(1, 1, 2), (1,), ()),
    ],
)
def test_a_budget_lays_out_reports_and_rungs(
    budget: Budget, reports: tuple[int, ...], rungs: tuple[int, ...]
) -> None:
    assert budget.report_steps == reports
    assert budget.rung_steps == rungs
    assert set(rungs) <= set(reports), "ASHA decides on reports"


@pytest.mark.parametrize(
    ("budget", "settings", "steps"),
    [
        (Budget(7, 2), BY_CLIPS, (7, 2)),
        (Budget(max_epochs=9, grace_epochs=1), BY_CLIPS, (270, 30)),
        (Budget(max_epochs=9, grace_epochs=1), BY_SECONDS, (180, 20)),
        (Budget(max_epochs=0.5, grace_epochs=0.1), BY_CLIPS, (15, 3)),
        (Budget(max_speech_s=9_600, grace_speech_s=960), BY_CLIPS, (300, 30)),
        (Budget(max_speech_s=10, grace_speech_s=1), BY_SECONDS, (1, 1)),
        (Budget(max_epochs=1, grace_epochs=1 / 9, least_steps=90), BY_CLIPS, (90, 10)),
        (Budget(max_epochs=13, grace_epochs=13 / 27), BY_CLIPS, (390, 15)),
    ],
)
def test_a_corpus_turns_a_budget_into_steps(
    budget: Budget, settings: TrialSettings, steps: tuple[int, int]
) -> None:
    resolved = budget.in_steps(CLIPS, SPEECH_S, settings)
    assert resolved == Budget(*steps)
    assert resolved.in_steps(1, 1.0, settings) == resolved


def test_no_rung_of_a_share_lies_right_before_the_end() -> None:
    """For every corpus, a grace of 1/27 leaves the rungs at 1/27, 1/9 and 1/3."""
    budget = Budget(max_epochs=12, grace_epochs=12 / 27, least_steps=27)
    for clips in range(1, 3_000, 7):
        resolved = budget.in_steps(clips, 4.0 * clips, BY_CLIPS)
        assert len(resolved.rung_steps) == 3
        assert resolved.rung_steps[-1] <= resolved.last_step / 3 + 9


def test_a_sweep_without_a_budget_fits_the_corpus() -> None:
    budget = Sweep({}).budget
    short = budget.in_steps(40, 240.0, BY_CLIPS)
    long = budget.in_steps(1_000, 6_000.0, BY_CLIPS)
    assert long.last_step > 5 * short.last_step


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "names no maximum. Choose one of max_steps, max_epochs"),
        ({"max_steps": 9, "grace_steps": 1, "max_epochs": 3.0}, "given in steps and epochs"),
        ({"max_steps": 9}, "grace_steps is None and max_steps is 9"),
        ({"grace_epochs": 1.0}, "grace_epochs is 1.0 and max_epochs is None"),
        ({"max_steps": 5, "grace_steps": 6}, "choose 1 <= grace_steps <= max_steps"),
        ({"max_steps": 5, "grace_steps": 0}, "grace_steps is 0"),
        ({"max_speech_s": 60.0, "grace_speech_s": 0.0}, "choose 0 < grace_speech_s"),
        ({"max_epochs": float("inf"), "grace_epochs": 1.0}, "max_epochs is inf"),
        ({"max_epochs": float("nan"), "grace_epochs": 1.0}, "max_epochs is nan"),
        ({"max_steps": 5, "grace_steps": 1, "reduction_factor": 1}, "choose 2 or more"),
        ({"max_epochs": 5, "grace_epochs": 1, "least_steps": 0}, "least_steps is 0"),
    ],
)
def test_a_budget_that_no_trial_can_have_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=f"(?i){message}") as caught:
        Budget(**fields)
    assert caught.value.where.startswith("Budget.")
