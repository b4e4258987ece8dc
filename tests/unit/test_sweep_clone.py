"""A trial's clone goes on from its weights and its steps, with other settings."""

from __future__ import annotations

import dataclasses
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.waiting import wait_until
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import ModelError, SpaceError, SweepError
from vibesweep.sweep import asking
from vibesweep.sweep.clone import clone_of
from vibesweep.sweep.clone_inside import clone_inside
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.sweep.record.requests import Request, Wish
from vibesweep.sweep.search.space import check_space
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training.optim.moments import take_moments
from vibesweep.training.parameters import trained_by_name
from vibesweep.training.state.checkpoint import copy_checkpoint
from vibesweep.training.state.full_state import copy_state, saved_step
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

BUDGET = Budget(8, 2, 2)
SETTINGS = TrialSettings(lora_rank=4, learning_rate=3e-3, batch_clips=4, ema_decay=0.5)


@pytest.fixture
def context(tmp_path: Path) -> WorkerContext:
    return tiny.open_context(tmp_path / "made")


@pytest.fixture
def trained(context: WorkerContext, tmp_path: Path) -> TrialRun:
    """Return a trial of four steps."""
    run = TrialRun(context, SETTINGS, BUDGET.last_step)
    run.advance(4)
    return run


@pytest.fixture
def folder(trained: TrialRun, tmp_path: Path) -> SweepFolder:
    """Return the folder of a sweep whose trial 0 runs and has a checkpoint of step 4."""
    kept = SweepFolder(tmp_path / "sweeps" / "mine")
    sweep = Sweep({}, budget=BUDGET, settings=SETTINGS, trials=2)
    base = str(tiny.write_base(tmp_path / "base"))
    record = SweepRecord("mine", base, "shards", "", sweep_as_json(sweep), 1, {})
    for number in range(2):
        settings = dataclasses.asdict(SETTINGS)
        trial = TrialRecord(f"trial_{number:03d}", number, {}, settings, TrialState.RUNNING)
        record.trials.append(trial)
    kept.write(record)
    trained.save(kept.checkpoints / "trial_000")
    return kept


def test_a_clone_begins_where_its_trial_was(
    context: WorkerContext, trained: TrialRun, folder: SweepFolder
) -> None:
    lower = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    clone = TrialRun(context, lower, BUDGET.last_step, folder.checkpoints / "trial_000")
    assert clone.step == 4
    first = clone.advance(2)  # as the sweep asks for the first report
    assert (first.step, first.curve) == (4, ())
    assert first.loss_val == trained.validate()
    later = clone.advance(6)
    assert [record.step for record in later.curve] == [5, 6]
    of_the_whole_trial = TrialRun(context, lower, BUDGET.last_step).advance(6).curve
    assert later.curve[0].learning_rate == of_the_whole_trial[4].learning_rate


def test_a_clone_that_is_lost_goes_on_from_its_own_state(
    context: WorkerContext, folder: SweepFolder, tmp_path: Path
) -> None:
    origin = folder.checkpoints / "trial_000"
    whole = TrialRun(context, SETTINGS, BUDGET.last_step, origin)
    whole.advance(6)
    whole.save_state(tmp_path / "state")
    expected = whole.advance(8)
    again = TrialRun(context, SETTINGS, BUDGET.last_step, origin)
    again.restore(tmp_path / "state")
    found = again.advance(8)
    assert found.curve == expected.curve
    assert found.loss_val == expected.loss_val


def test_a_clone_of_a_state_goes_on_as_its_trial_would(
    context: WorkerContext, trained: TrialRun, tmp_path: Path
) -> None:
    trained.save_state(tmp_path / "state")
    assert saved_step(tmp_path / "state") == 4
    assert saved_step(tmp_path / "nothing") == 0
    copy_state(tmp_path / "state", tmp_path / "copy")
    same = TrialRun(context, SETTINGS, BUDGET.last_step, tmp_path / "copy")
    lower = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    slower = TrialRun(context, lower, BUDGET.last_step, tmp_path / "copy").advance(6)
    torch.manual_seed(7)  # a clone draws anew
    expected = trained.advance(6)
    torch.manual_seed(7)
    found = same.advance(6)
    assert found.curve == expected.curve
    assert found.loss_val == expected.loss_val
    assert [record.step for record in slower.curve] == [5, 6]
    of_the_whole_trial = TrialRun(context, lower, BUDGET.last_step).advance(6).curve
    assert slower.curve[0].learning_rate == of_the_whole_trial[4].learning_rate
    assert slower.loss_val != expected.loss_val
    with pytest.raises(ModelError, match="state cannot be read"):
        copy_state(tmp_path / "nothing", tmp_path / "other")


@pytest.mark.parametrize("changes", [{"optimizer": "muon"}, {"ema_decay": None}])
def test_what_means_nothing_to_a_clone_begins_anew(
    context: WorkerContext, trained: TrialRun, tmp_path: Path, changes: dict[str, Any]
) -> None:
    trained.save_state(tmp_path / "state")
    other = dataclasses.replace(SETTINGS, **changes)
    clone = TrialRun(context, other, BUDGET.last_step, tmp_path / "state")
    for name, part in trained_by_name(trained.model).items():
        assert torch.equal(part, trained_by_name(clone.model)[name])
    assert math.isfinite(clone.advance(6).loss_val)


def test_moments_are_taken_over_without_the_rates() -> None:
    def step(rate: float, size: int = 3) -> torch.optim.Optimizer:
        part = torch.nn.Parameter(torch.ones(size))
        optimizer = torch.optim.AdamW([part], lr=rate, weight_decay=rate)
        part.grad = torch.full((size,), rate)
        optimizer.step()
        return optimizer

    one, other, larger = step(0.1), step(0.2), step(0.2, size=4)
    take_moments(other, one.state_dict())
    group = other.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.2)
    (before,), (taken,) = one.state.values(), other.state.values()
    assert torch.equal(before["exp_avg"], taken["exp_avg"])
    take_moments(larger, one.state_dict())
    (own,) = larger.state.values()
    assert len(own["exp_avg"]) == 4


def test_a_running_sweep_takes_a_clone(
    trained: TrialRun, folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LOOK_S", 0.01)
    heard: list[Request] = []
    began = threading.Event()

    def run() -> None:
        with folder.ownership.held():
            began.set()
            assert wait_until(folder.requests.waiting, 20.0)
            (request,) = folder.requests.take()
            heard.append(request)
            record = folder.read()
            record.clones.append(dataclasses.asdict(request.clone or pytest.fail("no clone")))
            folder.write(record)
            assert wait_until(ended.is_set, 20.0)

    ended = threading.Event()
    trained.save_state(folder.states / "trial_000")
    sweep = threading.Thread(target=run)
    sweep.start()
    assert began.wait(20.0)
    clone = clone_inside(folder, "0", {"learning_rate": 1e-4})
    ended.set()
    sweep.join()
    assert heard == [Request(Wish.CLONE, "trial_000", clone)]
    assert (clone.parent, clone.step) == (0, 4)
    assert clone.settings == {**dataclasses.asdict(SETTINGS), "learning_rate": 1e-4}
    assert saved_step(folder.clones / clone.origin) == 4
    record = folder.read()
    assert (record.trials_wanted, record.trials_left) == (3, 3)
    assert record.clones_to_come == [dataclasses.asdict(clone)]


def test_what_cannot_be_cloned_inside_is_refused(folder: SweepFolder) -> None:
    with pytest.raises(SweepError, match="nothing is saved of trial 1 yet"):
        clone_inside(folder, "1", {})
    with pytest.raises(SweepError, match="trains other parts"):
        clone_inside(folder, "0", {"lora_rank": 8})
    with pytest.raises(SpaceError, match="no_such"):
        clone_inside(folder, "0", {"no_such": 1})
    with pytest.raises(SweepError, match="it does not run"):
        clone_inside(folder, "0", {})
    record = folder.read()
    record.sweep["budget"] = dataclasses.asdict(Budget(4, 2, 2))
    folder.write(record)
    with pytest.raises(SweepError, match=r"all of its 4 steps.*--max-steps"):
        clone_inside(folder, "0", {})
    for trial in record.trials:
        trial.state = TrialState.PRUNED
    folder.write(record)
    with pytest.raises(SweepError, match=r"last trial has ended.*--name"):
        clone_inside(folder, "0", {})
    assert folder.clones.folders() == []


def test_the_clones_sweep_is_a_space_file(folder: SweepFolder, tmp_path: Path) -> None:
    made = clone_of(folder, "0", {"learning_rate": 1e-4}, max_steps=16)
    assert made.step == 4
    space = tmp_path / "space.py"
    space.write_text(made.space)
    sweep = load_space(space)
    assert sweep.settings == dataclasses.replace(SETTINGS, learning_rate=1e-4)
    assert (sweep.trials, sweep.budget) == (1, Budget(16, 2, 2))
    assert sweep.starts_from == str(folder.checkpoints / "trial_000")
    assert check_space(sweep).settings[0] == sweep.settings


def test_what_a_record_says_is_no_code(folder: SweepFolder) -> None:
    record = folder.read()
    record.name = '"""\nimport os\nos.abort()\n"""'
    record.shards = "'); import os; os.abort()"
    folder.write(record)
    compile(clone_of(folder, "0", {}).space, "space", "exec")
    lines = clone_of(folder, "0", {}).space.splitlines()
    assert not any(line.strip().startswith(("import os", "os.")) for line in lines)


def test_what_cannot_be_cloned_is_refused(folder: SweepFolder) -> None:
    with pytest.raises(SweepError, match="trial 1 has no checkpoint"):
        clone_of(folder, "1", {})
    with pytest.raises(SweepError, match="trains other parts"):
        clone_of(folder, "0", {"lora_rank": 8})
    with pytest.raises(SweepError, match=r"4 steps behind them.*--max-steps"):
        clone_of(folder, "0", {}, max_steps=4)
    with pytest.raises(SpaceError, match="no_such"):
        clone_of(folder, "0", {"no_such": 1})


def test_a_copy_of_the_checkpoint_is_whole(
    context: WorkerContext, folder: SweepFolder, tmp_path: Path
) -> None:
    origin = folder.checkpoints / "trial_000"
    copy_checkpoint(origin, tmp_path / "origin")
    one = TrialRun(context, SETTINGS, 8, origin)
    values = {name: part.clone() for name, part in trained_by_name(one.model).items()}
    other = TrialRun(context, SETTINGS, 8, tmp_path / "origin")
    for name, part in trained_by_name(other.model).items():
        assert torch.equal(part, values[name])
    with pytest.raises(ModelError, match="cannot be read"):
        copy_checkpoint(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(ModelError, match="shape"):
        TrialRun(context, dataclasses.replace(SETTINGS, lora_rank=2), 8, origin)
