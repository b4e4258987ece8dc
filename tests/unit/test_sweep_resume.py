"""Which sweep may go on: the one that began, with its space as it was, and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from vibesweep.config import Budget, Sweep
from vibesweep.errors import SweepError
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState, TrialRecord, sweep_as_json
from vibesweep.sweep.resume import (
    as_it_began,
    check_resumable,
    check_same_budget,
    only_delivery_is_left,
)

SWEEP = Sweep({"learning_rate": FloatDistribution(1e-5, 1e-2)}, budget=Budget(8, 2, 2), trials=3)


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.py"
    path.write_text("sweep = 1\n")
    return path


@pytest.fixture
def folder(tmp_path: Path, space: Path) -> SweepFolder:
    """Return a sweep of three trials, of which two have begun before it was stopped."""
    kept = SweepFolder(tmp_path / "mine")
    trials = [TrialRecord(f"trial_{number:03d}", number, {}, {}, step=2) for number in range(2)]
    began = sweep_as_json(dataclasses.replace(SWEEP, corpus="talks"))
    record = SweepRecord("mine", "base", "shards", "", began, 1, {}, state=SweepState.STOPPED)
    record.trials += trials
    kept.write(record)
    kept.events.write_bytes(b"")
    kept.space.write_bytes(space.read_bytes())
    return kept


def test_what_the_command_line_said_need_not_be_said_again(
    folder: SweepFolder, space: Path
) -> None:
    sweep = as_it_began(dataclasses.replace(SWEEP, trials=12), folder, given=())
    assert (sweep.corpus, sweep.trials) == ("talks", 3)
    check_resumable(sweep, folder, space)
    assert as_it_began(SWEEP, folder, given=("corpus", "trials")) == SWEEP


def test_a_sweep_that_was_killed_after_its_last_trial_only_lacks_what_follows(
    folder: SweepFolder,
) -> None:
    assert not only_delivery_is_left(SWEEP, folder)  # it was stopped
    record = folder.read()
    record.state = SweepState.DONE
    record.trials[0].best_loss_val = 0.5
    folder.write(record)
    two = dataclasses.replace(SWEEP, trials=2)
    assert only_delivery_is_left(two, folder)
    assert not only_delivery_is_left(SWEEP, folder)  # a third trial is asked for
    folder.report.write_bytes(b"<html>")
    assert not only_delivery_is_left(two, folder)


def test_a_larger_maximum_takes_a_finished_sweep_on(folder: SweepFolder) -> None:
    record = folder.read()
    record.state = SweepState.DONE
    folder.write(record)
    two = dataclasses.replace(SWEEP, trials=2)
    with pytest.raises(SweepError, match="--max-steps"):
        check_resumable(as_it_began(two, folder, given=("trials", "corpus")), folder, None)
    longer = as_it_began(two, folder, given=("trials", "corpus"), max_steps=16)
    assert longer.budget == Budget(16, 2, 2)
    check_same_budget(longer.budget, folder)
    assert not only_delivery_is_left(longer, folder)
    for other in (Budget(16, 4, 2), Budget(6, 2, 2)):
        with pytest.raises(SweepError, match="budget is"):
            check_same_budget(other, folder)


def test_what_was_fixed_stays_so_unless_it_is_fixed_anew(tmp_path: Path) -> None:
    kept = SweepFolder(tmp_path / "fixed")
    began = sweep_as_json(dataclasses.replace(SWEEP, fixed={"lora_rank": 4}))
    kept.write(SweepRecord("fixed", "base", "shards", "", began, 1, {}, state=SweepState.STOPPED))
    kept.events.write_bytes(b"")
    assert as_it_began(SWEEP, kept, given=()).fixed == {"lora_rank": 4}
    with pytest.raises(SweepError, match=r"fixed is \{\}, and was \{'lora_rank': 4\}"):
        check_resumable(as_it_began(SWEEP, kept, given=("set",)), kept, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 1, and was 0"),
        ({"corpus": "others"}, "corpus is 'others', and was 'talks'"),
        ({"trials": 1}, "trials is 1, and 2 have begun"),
    ],
)
def test_another_sweep_is_refused(
    folder: SweepFolder, change: dict[str, Any], message: str
) -> None:
    sweep = dataclasses.replace(SWEEP, **{"corpus": "talks", **change})
    with pytest.raises(SweepError, match=message):
        check_resumable(sweep, folder, None)


def test_another_budget_is_refused(folder: SweepFolder) -> None:
    check_same_budget(SWEEP.budget, folder)
    with pytest.raises(SweepError, match="'max_steps': 6"):
        check_same_budget(Budget(6, 2, 2), folder)


def test_lanes_and_trials_may_be_others(folder: SweepFolder, space: Path) -> None:
    check_resumable(dataclasses.replace(SWEEP, corpus="talks", trials=40, lanes=2), folder, space)


def test_a_space_that_has_changed_is_refused(folder: SweepFolder, space: Path) -> None:
    space.write_text("sweep = 2\n")
    with pytest.raises(SweepError, match=r"space has changed.*mine/space\.py"):
        check_resumable(dataclasses.replace(SWEEP, corpus="talks"), folder, space)


def test_a_sweep_that_has_ended_goes_on_only_to_more_trials(
    folder: SweepFolder, space: Path
) -> None:
    record = folder.read()
    record.state = SweepState.DONE
    folder.write(record)
    with pytest.raises(SweepError, match="have ended"):
        check_resumable(dataclasses.replace(SWEEP, corpus="talks", trials=2), folder, space)
    check_resumable(dataclasses.replace(SWEEP, corpus="talks"), folder, space)


def test_where_there_is_no_sweep_none_goes_on(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no sweep here"):
        check_resumable(SWEEP, SweepFolder(tmp_path / "none"), None)
