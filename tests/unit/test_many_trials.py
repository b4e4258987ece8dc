"""What keeps a sweep's driver quick when there are thousands of trials."""

from __future__ import annotations

import dataclasses
import math
from io import StringIO
from pathlib import Path
from unittest import mock

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from rich.console import Console

from tests.benchmarks.lanes_simulated import Server, simulate
from tests.sweeps import write_sweep
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepRecord, TrialState
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.standing import Standing
from vibesweep.sweep.record.study import confirm, study_storage
from vibesweep.sweep.trial import NAMED_TRIALS, task_name


def record_of(folder: Path) -> SweepRecord:
    return write_sweep(folder / "made", 30).read()


def test_a_standing_counts_as_the_whole_record_does_and_looks_at_few(tmp_path: Path) -> None:
    whole = record_of(tmp_path)
    growing = dataclasses.replace(whole, trials=[])
    standing = Standing()
    for trial in whole.trials:
        ended = trial.state
        trial.state = TrialState.RUNNING
        growing.trials.append(trial)
        assert standing.update(growing) == [trial]
        trial.state = ended
        assert standing.update(growing) == [trial]
    assert standing.update(growing) == []
    assert growing.best is not None
    assert standing.best_loss_val == growing.best.best_loss_val
    for state in TrialState:
        counted = sum(trial.state == state for trial in growing.trials)
        assert standing.counts()[state] == counted
    assert Standing().best_loss_val == math.inf


def test_a_stopped_trial_is_looked_at_again_because_it_may_go_on(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    record.trials[0].state = TrialState.STOPPED
    standing = Standing()
    standing.update(record)
    assert standing.update(record) == [record.trials[0]]
    assert standing.counts()[TrialState.STOPPED] == 1


def test_any_optuna_reads_the_journal_and_the_disk_confirms_it_when_asked(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    confirm(StoragePath.of(journal))  # there is none yet
    with mock.patch("os.fsync") as fsync:
        study = optuna.create_study(study_name="a", storage=study_storage(journal))
        study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=3)
        assert not fsync.called
        confirm(StoragePath.of(journal))
        assert fsync.call_count == 1
    theirs = JournalStorage(JournalFileBackend(str(journal)))
    found = optuna.load_study(study_name="a", storage=theirs)
    assert [trial.params for trial in found.trials] == [trial.params for trial in study.trials]
    found.enqueue_trial({"rate": 0.25})  # theirs writes, ours reads
    again = optuna.load_study(study_name="a", storage=study_storage(journal))
    assert again.ask().suggest_float("rate", 0, 1) == 0.25


def test_a_table_that_is_slow_to_draw_is_drawn_seldom_and_at_the_end(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    screen = StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=200))
    with progress.shown():
        for step in range(50):
            record.trials[0].step = 1_000 + step
            progress.show(record)
        drawn = screen.getvalue().count("sweep made")
    assert drawn < 50
    assert "1049" in screen.getvalue()


def test_simulated_lanes_wait_for_whoever_takes_one_report_a_second() -> None:
    quick = Server(0.001, 0.0)
    slow = Server.through((10, 20), (1.0, 1.0))
    few = simulate(2, 10.0, [quick, slow])
    many = simulate(40, 10.0, [quick, slow])
    assert 0.08 < few.waiting < 0.2, "a second in eleven, and where both report at once"
    assert abs(many.results_per_s - 1) < 0.05
    assert abs(many.waiting - 0.75) < 0.05, (
        "40 lanes take turns of 10 s, and a fourth of them trains"
    )


def test_ray_is_given_no_name_for_each_of_very_many_trials() -> None:
    names = {task_name("mine", number, step) for number in range(10_000) for step in (6, 18)}
    assert task_name("mine", 3, 18) in names
    assert len(names) == 2 * (NAMED_TRIALS + 1)
