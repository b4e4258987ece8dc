"""A finished sweep goes on to a larger maximum: complete trials go on, and decide who else does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from optuna.trial import TrialState as OptunaState

from tests.sweeps import BUDGET, SPACE, write_sweep
from vibesweep.config import Budget, Sweep
from vibesweep.sweep.record import SweepFolder, SweepState, TrialState
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.staged_folder import staged_folder_for
from vibesweep.sweep.record.study import study_storage
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch

LONGER = dataclasses.replace(BUDGET, max_steps=3 * BUDGET.last_step)
TRIALS = 12


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return write_sweep(tmp_path / "sweeps" / "mine", TRIALS, state=SweepState.RUNNING)


def resumed(folder: SweepFolder, budget: Budget) -> tuple[SweepLog, SweepSearch, list[str]]:
    """Resume a sweep as `run` does; return its log, its searcher, and what ASHA stopped."""
    former = folder.replay()
    record = dataclasses.replace(folder.read(), trials=[])
    record.sweep = {**record.sweep, "budget": dataclasses.asdict(budget)}
    sweep = Sweep(SPACE, budget=budget, trials=TRIALS)
    with staged_folder_for(folder, print, resume=True) as staged:
        search = SweepSearch(sweep, study_storage(staged.folder.journal))
        log = SweepLog(staged, record, (), lambda _: None, former)
        pruned = StepAsha(budget).replay(former.reports)
        log.end_pruned(pruned)
        search.resume(former)
        return log, search, sorted(pruned)


def test_complete_trials_go_on_and_asha_decides_at_the_old_maximum(folder: SweepFolder) -> None:
    before = {trial.id: trial for trial in folder.read().trials}
    complete = {id_ for id_, trial in before.items() if trial.state == TrialState.COMPLETE}
    assert complete
    log, search, pruned = resumed(folder, LONGER)
    now = {trial.id: trial for trial in log.record.trials}
    going_on = {id_ for id_, trial in now.items() if trial.state == TrialState.WAITING}
    assert going_on == complete - set(pruned)
    assert going_on
    assert log.record.trials_left == len(going_on)
    assert log.record.sweep["budget"]["max_steps"] == LONGER.max_steps
    others = now.keys() - complete
    assert all(now[id_].state == before[id_].state for id_ in others)
    config = search.suggest("tune_0")
    assert config["id"] in going_on
    assert config["reported_step"] == BUDGET.last_step


def test_what_the_study_has_ended_is_left_as_it_is(folder: SweepFolder) -> None:
    _, search, _ = resumed(folder, LONGER)
    config = search.suggest("tune_0")
    result = {"loss_val": 0.1, "step": LONGER.last_step, "best_loss_val": 0.1}
    search.on_trial_result("tune_0", result)
    search.on_trial_complete("tune_0", {**result, "outcome": TrialState.COMPLETE})
    studied = search.study.get_trials(deepcopy=False)[config["number"]]
    assert studied.state == OptunaState.COMPLETE
    assert LONGER.last_step not in studied.intermediate_values


def test_with_the_same_maximum_nothing_goes_on(folder: SweepFolder) -> None:
    before = [trial.state for trial in folder.read().trials]
    log, _, _ = resumed(folder, BUDGET)
    assert [trial.state for trial in log.record.trials] == before
    assert log.record.trials_left == 0


def test_the_longer_sweep_is_read_again_from_its_log(folder: SweepFolder) -> None:
    log, _, _ = resumed(folder, LONGER)
    replayed = folder.replay().record
    assert replayed.sweep["budget"] == dataclasses.asdict(LONGER)
    states = [(trial.id, trial.state) for trial in log.record.trials]
    assert [(trial.id, trial.state) for trial in replayed.trials] == states
