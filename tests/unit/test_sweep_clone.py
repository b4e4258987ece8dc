"""A trial's clone goes on from its weights and its steps, with other settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests import tiny
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import ModelError, SpaceError, SweepError
from vibesweep.sweep.clone import clone_of
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.sweep.search.space import check_space
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training.parameters import trained_by_name
from vibesweep.training.state.checkpoint import copy_checkpoint
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
