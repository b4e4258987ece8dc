"""Whose a sweep's name is: what has trained or runs keeps it, what never trained gives it back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibesweep.errors import SweepError
from vibesweep.sweep.record.claim import claimed, refuse_taken
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import SweepState, TrialState

TAKEN = "there is a sweep named mine already"


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "mine")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.py"
    path.write_text("sweep = 1\n")
    return path


def local(folder: SweepFolder) -> Path:
    assert folder.place.local is not None
    return folder.place.local


def names(folder: SweepFolder) -> set[str]:
    return {path.name for path in local(folder).iterdir()}


def write_record(
    folder: SweepFolder, step: int, state: SweepState = SweepState.FAILED
) -> SweepRecord:
    local(folder).mkdir()
    trial = TrialRecord("mine_0", 0, {}, {}, TrialState.FAILED, step=step)
    record = SweepRecord("mine", "base", "shards", "", {"trials": 1}, 1, {}, state=state)
    record.trials.append(trial)
    folder.write(record)
    return record


def test_a_name_is_held_while_it_runs_and_by_nobody_else(folder: SweepFolder, space: Path) -> None:
    refuse_taken(folder)
    with claimed(folder, space):
        assert folder.space.read_bytes() == b"sweep = 1\n"
        with pytest.raises(SweepError, match=rf"{TAKEN}, which process \d+ on .* is running"):
            refuse_taken(folder)
        with pytest.raises(SweepError, match="is running"), claimed(folder, None):
            pass
    assert names(folder) == {"space.py"}


def test_a_name_that_never_trained_is_free_again(folder: SweepFolder, space: Path) -> None:
    with claimed(folder, space):
        folder.journal.write_bytes(b"trials of the former sweep")
        (local(folder) / "study.journal.lock").touch()
        (local(folder) / "tensorboard").mkdir()
        (local(folder) / "ray" / "tune").mkdir(parents=True)
    refuse_taken(folder)
    with claimed(folder, None):
        assert names(folder) == {"owner.lock"}, "nothing of the former sweep is taken over"


DIES = """
import os, sys
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.folder import SweepFolder
with claimed(SweepFolder(sys.argv[1]), None):
    os._exit(9)
"""


def test_a_name_whose_owner_was_killed_is_free(folder: SweepFolder) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(folder.place)])
    assert done.returncode == 9
    assert names(folder) == {"owner.lock"}
    refuse_taken(folder)
    with claimed(folder, None):
        pass


def test_trials_that_failed_before_their_first_step_leave_the_name_free(
    folder: SweepFolder,
) -> None:
    write_record(folder, step=0)
    refuse_taken(folder)
    with claimed(folder, None):
        assert not folder.holds_sweep()


@pytest.mark.parametrize("kept", ["checkpoints/mine_0", "best", "my_notes"])
def test_what_trained_and_what_is_no_sweeps_is_never_touched(
    folder: SweepFolder, kept: str
) -> None:
    (local(folder) / kept).mkdir(parents=True)
    with pytest.raises(SweepError, match=TAKEN):
        refuse_taken(folder)
    with pytest.raises(SweepError, match=TAKEN), claimed(folder, None):
        pass
    assert (local(folder) / kept).is_dir()


def test_a_trial_with_steps_keeps_the_name(folder: SweepFolder) -> None:
    write_record(folder, step=2)
    with pytest.raises(SweepError, match=rf"{TAKEN}.*--name"):
        refuse_taken(folder)


def test_a_record_that_cannot_be_read_keeps_the_name(folder: SweepFolder) -> None:
    local(folder).mkdir()
    folder.record.write_bytes(b"{")
    with pytest.raises(SweepError, match=TAKEN):
        refuse_taken(folder)


def test_a_file_of_that_name_keeps_it(folder: SweepFolder) -> None:
    local(folder).write_text("mine")
    with pytest.raises(SweepError, match=TAKEN):
        refuse_taken(folder)


@pytest.mark.parametrize("state", [SweepState.RUNNING, SweepState.FAILED])
def test_without_locks_the_record_says_whether_it_has_ended(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, state: SweepState
) -> None:
    write_record(folder, step=0, state=state)
    folder.owner.write_bytes(b"process 1 on another host\n")

    def no_locks(handle: int, how: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    if state == SweepState.RUNNING:
        with pytest.raises(SweepError, match=TAKEN):
            refuse_taken(folder)
    else:
        refuse_taken(folder)
