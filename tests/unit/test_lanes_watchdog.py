"""A worker that makes no progress is ended, and what it was doing is known. No Ray."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

from vibesweep.training.lanes.endings import ending_of
from vibesweep.training.lanes.failures import group_failure, stall_failure
from vibesweep.training.lanes.messages import RankError
from vibesweep.training.lanes.watchdog import EXIT_CODE, ended_if_stalled

HANGS = """
import ctypes
import time
from vibesweep.training.lanes import watchdog

watchdog.OTHERS_S = 0.0
watchdog.SILENT_S = 0.2


def hang_in_here():
    {hang}


def tell(stacks):
    print(stacks, flush=True)


with watchdog.ended_if_stalled(0.1, lambda: 1, tell):
    hang_in_here()
"""


def ended(hang: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HANGS.format(hang=hang)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_worker_that_hangs_tells_where_and_ends() -> None:
    process = ended("time.sleep(50)")
    assert process.returncode == EXIT_CODE
    assert "in hang_in_here" in process.stdout


def test_one_that_hangs_with_pythons_lock_held_ends_too() -> None:
    process = ended("ctypes.PyDLL(None).sleep(50)")
    assert process.returncode not in (0, EXIT_CODE)
    assert "in hang_in_here" in process.stderr


def test_a_worker_that_goes_on_is_left_alone() -> None:
    steps = itertools.count()
    told: list[str] = []
    with ended_if_stalled(0.05, lambda: next(steps), told.append):
        time.sleep(0.2)  # four times as long as it may hang
    assert told == []


def test_the_trial_says_that_it_hung_with_the_stacks_of_every_worker() -> None:
    told = [
        RankError("trial", stall_failure("lane", rank, 600.0, f"stack {rank}")) for rank in range(2)
    ]
    died = RuntimeError("the actor died")
    died.health_check_failure = died  # type: ignore[attr-defined]
    seen = group_failure("lane", {1: died})
    assert seen.lost
    ending = ending_of("trial", seen, told)
    assert ending.lost, "another lane may do better"
    assert "no step was done for 600 s" in str(ending.error)
    assert ending.traceback == "worker 0 of lane:\nstack 0\nworker 1 of lane:\nstack 1"
    assert ending_of("trial", seen, []) == seen
