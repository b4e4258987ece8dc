"""Whose a sweep's name is: what has trained or runs keeps it, what never trained gives it back."""

from __future__ import annotations

import dataclasses
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until
from vibesweep.errors import SweepError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import owner
from vibesweep.sweep.record.claim import claimed, refuse_taken, resumable_record
from vibesweep.sweep.record.events import Event, SweepStarted, TrialReported, TrialStarted, line_of
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.owner import Heartbeat, Owner
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import SweepState, TrialState

TAKEN = "there is a sweep named mine already"


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "mine")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> SweepFolder:
    """Return a sweep's folder in a store, where nobody waits for who else may come."""
    monkeypatch.setattr(owner, "SETTLE_S", 0.0)
    return SweepFolder(StoragePath.of(f"memory://{secrets.token_hex(4)}/sweeps/mine"))


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
        kept = {"owner.lock", "heartbeat.json"}
        assert names(folder) == kept, "nothing of the former sweep is taken over"


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
    assert names(folder) == {"owner.lock", "heartbeat.json"}
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


def no_locks(handle: int, how: int) -> None:
    raise OSError("no locks available")


@pytest.mark.parametrize("state", [SweepState.RUNNING, SweepState.FAILED])
def test_without_locks_the_record_says_whether_it_has_ended(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, state: SweepState
) -> None:
    write_record(folder, step=0, state=state)
    folder.owner.write_bytes(b"")

    monkeypatch.setattr("fcntl.flock", no_locks)
    if state == SweepState.RUNNING:
        with pytest.raises(SweepError, match=TAKEN):
            refuse_taken(folder)
    else:
        refuse_taken(folder)


def beat(folder: SweepFolder, **changes: object) -> None:
    """Leave a heartbeat of this process, but for the changes."""
    own = dataclasses.replace(owner._own_heartbeat(), **changes)  # type: ignore[arg-type]
    folder.heartbeat.write_bytes(json.dumps(dataclasses.asdict(own)).encode())


@pytest.mark.parametrize(
    ("silent_s", "found"), [(owner.SILENT_S / 2, Owner.LIVES), (2 * owner.SILENT_S, Owner.GONE)]
)
@pytest.mark.parametrize("in_a_store", [False, True])
def test_an_owner_on_another_host_lives_as_long_as_its_heart_beats(
    folder: SweepFolder,
    away: SweepFolder,
    in_a_store: bool,
    silent_s: float,
    found: Owner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = away if in_a_store else folder
    beat(held, processes_of="another host")
    now_unix_s = time.time() + silent_s
    monkeypatch.setattr(time, "time", lambda: now_unix_s)
    assert held.ownership.owner() is found


HOUR_S = 3_600.0


class OtherHost:
    """Another host, where the sweep's owner is. Its heart beats while this process sleeps."""

    def __init__(self, folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.lives = True
        self.unix_s = time.time()
        self._folder = folder
        self.beat()
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)

    def beat(self) -> None:
        beat(self._folder, processes_of="another host", beat_unix_s=self.unix_s + self.now_s)

    def sleep(self, seconds: float) -> None:
        before = self.now_s // owner.BEAT_S
        self.now_s += seconds
        if self.lives and self.now_s // owner.BEAT_S > before:
            self.beat()


@pytest.fixture
def other_host(away: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> OtherHost:
    return OtherHost(away, monkeypatch)


@pytest.fixture
def own_clock_is_wrong(
    other_host: OtherHost, wrong_by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have this host's clock be wrong, by that of the other and of the store."""
    monkeypatch.setattr(time, "time", lambda: other_host.unix_s + wrong_by_s + other_host.now_s)


WRONG_BY_S = pytest.mark.parametrize("wrong_by_s", [-HOUR_S, HOUR_S])


@WRONG_BY_S
def test_an_owner_whose_clock_is_wrong_lives_by_that_of_the_disk(
    folder: SweepFolder, wrong_by_s: float
) -> None:
    beat(folder, processes_of="another host", beat_unix_s=time.time() + wrong_by_s)
    assert folder.ownership.owner() is Owner.LIVES


@WRONG_BY_S
@pytest.mark.usefixtures("own_clock_is_wrong")
def test_a_claim_goes_by_the_next_beat(away: SweepFolder, other_host: OtherHost) -> None:
    with pytest.raises(SweepError, match="is running"), claimed(away, None):
        pass
    began_s = other_host.now_s
    other_host.lives = False
    with claimed(SweepFolder(away.place), None):
        pass
    assert owner.WATCH_S < other_host.now_s - began_s < owner.SILENT_S


@WRONG_BY_S
@pytest.mark.usefixtures("own_clock_is_wrong")
def test_who_asks_something_of_a_sweep_goes_by_the_next_beat(
    away: SweepFolder, other_host: OtherHost
) -> None:
    assert away.ownership.owner() is Owner.GONE, "by the time of its last beat"
    assert away.ownership.lives()
    for _ in range(10):
        other_host.sleep(owner.BEAT_S)
        assert away.ownership.owner() is Owner.LIVES, "a beat was seen to come"
    other_host.lives = False
    other_host.sleep(owner.SILENT_S + owner.BEAT_S)
    assert away.ownership.owner() is Owner.GONE
    assert not away.ownership.lives()


@pytest.mark.usefixtures("own_clock_is_wrong")
@pytest.mark.parametrize("wrong_by_s", [HOUR_S])
def test_a_beat_that_may_have_come_long_ago_tells_nothing(
    away: SweepFolder, other_host: OtherHost
) -> None:
    assert away.ownership.owner() is Owner.GONE
    other_host.sleep(owner.SILENT_S)
    other_host.lives = False
    other_host.sleep(HOUR_S)
    assert away.ownership.owner() is Owner.GONE


@WRONG_BY_S
def test_an_owner_on_this_host_lives_on_when_its_clock_is_set(
    away: SweepFolder, wrong_by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux tells the start of host and process as so many seconds before the clock's time."""
    beat(away)
    own = owner._own_heartbeat()
    started_unix_s = own.process_started_unix_s + wrong_by_s
    booted_unix_s = own.booted_unix_s + wrong_by_s
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: started_unix_s)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted_unix_s)
    assert away.ownership.owner() is Owner.LIVES


def test_a_dead_owner_on_this_host_is_known_at_once_without_locks(away: SweepFolder) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    beat(away)
    assert away.ownership.owner() is Owner.LIVES
    beat(away, process=dead.pid)
    assert away.ownership.owner() is Owner.GONE
    beat(away, process_started_unix_s=1.0)
    assert away.ownership.owner() is Owner.GONE, "its number is another process's by now"


def test_a_sweep_in_a_store_has_one_owner(away: SweepFolder) -> None:
    with claimed(away, None):
        with pytest.raises(SweepError, match="is running"), claimed(away, None):
            pass
        assert away.ownership.owner() is Owner.LIVES
    assert away.ownership.last_beat() is None


def test_of_two_that_claim_a_sweep_in_a_store_at_once_the_last_has_it(
    away: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: beat(away, token="another's"))
    with pytest.raises(SweepError, match="is running"), claimed(away, None):
        pass
    last = away.ownership.last_beat()
    assert last is not None
    assert last.token == "another's"


def test_a_heart_goes_on_beating(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "BEAT_S", 0.01)
    beats: list[Heartbeat] = []

    def beats_again() -> bool:
        last = folder.ownership.last_beat()
        if last is not None and last not in beats:
            beats.append(last)
        return len(beats) > 2

    with claimed(folder, None):
        assert wait_until(beats_again, 10.0)
    assert {found.token for found in beats} == {beats[0].token}


def test_a_sweep_that_was_stopped_names_the_way_on(folder: SweepFolder) -> None:
    write_record(folder, step=2, state=SweepState.STOPPED)
    with pytest.raises(SweepError, match=r"which stopped with 1 of 1 trials ended.*--resume"):
        refuse_taken(folder)


def test_a_sweep_whose_process_died_was_interrupted(folder: SweepFolder) -> None:
    with claimed(folder, None):
        trial = TrialStarted("trial_000", 0, {}, {}, 0.0)
        report = (TrialState.RUNNING, "", 2, 0, 0.5, 0.5, 0.5, 2, None, None, 1.0, 7, 0.0)
        record = SweepRecord("mine", "base", "shards", "", {"trials": 3}, 1, {})
        events: list[Event] = [
            SweepStarted(dataclasses.asdict(record)),
            trial,
            TrialReported("trial_000", 0, *report),
        ]
        folder.events.write_bytes(b"".join(line_of(event) for event in events))
        assert folder.read().state == SweepState.RUNNING
        with pytest.raises(SweepError, match="is running"):
            resumable_record(folder, more=True)
    assert folder.read().state == SweepState.INTERRUPTED
    with pytest.raises(SweepError, match=r"was interrupted with 0 of 3 trials ended.*--resume"):
        refuse_taken(folder)
    assert resumable_record(folder, more=False).trials_left == 3
    with claimed(folder, None, resume=True):
        assert folder.events.is_file()


@pytest.mark.parametrize(
    ("state", "more", "message"),
    [
        (SweepState.DONE, False, "all 1 trials have ended"),
        (SweepState.STOPPED, False, "its log of events is not there"),
    ],
)
def test_what_cannot_go_on_says_why(
    folder: SweepFolder, state: SweepState, more: bool, message: str
) -> None:
    write_record(folder, step=2, state=state)
    with pytest.raises(SweepError, match=message):
        resumable_record(folder, more=more)
