"""A trial over two GPUs, one of whose processes is killed: NCCL's survivor must not end it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
import torch
from optuna.distributions import IntDistribution

from tests import tiny
from tests.waiting import wait_until
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")

STEPS = 1_500
"""Some ten seconds, in which a worker is killed."""
FIRST_REPORT = 100
COMING_UP_S = 300.0


def lane_workers() -> list[psutil.Process]:
    """Return the lane's processes, which Ray names after their actors' class."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def kill_one_after_the_first_report(checkpoints: Path, killed: list[int]) -> None:
    """Wait for the trial's first checkpoint, and kill one of its two processes."""
    if wait_until(lambda: any(checkpoints.glob("*/*.json")), COMING_UP_S):
        victim = lane_workers()[1]
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(victim.pid)


@pytest.mark.usefixtures("ray_with_gpus")
def test_a_trial_over_two_gpus_goes_on_when_one_of_its_processes_is_killed(tmp_path: Path) -> None:
    from vibesweep.sweep.run import run_sweep

    sweep = Sweep(
        space={"seed": IntDistribution(1, 9)},
        corpus=str(tiny.write_shards(tmp_path / "shards_made")),
        model=str(tiny.write_base(tmp_path / "base")),
        settings=TrialSettings(method="full", batch_clips=4),
        budget=Budget(max_steps=STEPS, grace_steps=FIRST_REPORT, reduction_factor=99),
        trials=1,
        resources=TrialResources(workers=2, cpus_per_worker=1, gpus_per_worker=1),
        lanes=1,
    )
    killed: list[int] = []
    checkpoints = tmp_path / "sweeps" / "lost" / "checkpoints"
    killer = threading.Thread(target=kill_one_after_the_first_report, args=(checkpoints, killed))
    killer.start()
    record = run_sweep(sweep, "lost", work=tmp_path).read()
    killer.join()
    assert killed
    (trial,) = record.trials
    assert (trial.state, trial.step) == ("complete", STEPS), trial.reason
