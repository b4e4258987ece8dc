"""What a worker raises when its peer is killed in the middle of their steps, over real gloo."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import ProcessExitedException, spawn

from vibesweep.training.lanes.failures import trial_failure
from vibesweep.training.workers import World

STEPS_BEFORE = 20
COMING_UP_S = 300.0


def worker(rank: int, folder: Path) -> None:
    """Exchange tensors with the other worker, of which rank 1 is killed."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    world = World(rank, 2)
    try:
        for step in range(2 * STEPS_BEFORE):
            if rank == 1 and step == STEPS_BEFORE:
                os.kill(os.getpid(), signal.SIGKILL)
            world.sum(torch.ones(1_000))
    except Exception as error:
        failure = trial_failure("trial", error)
        (folder / "lost").write_text(f"{failure.lost} {failure.error}", encoding="utf-8")


def test_the_survivor_of_a_killed_worker_knows_that_it_only_missed_the_other(
    tmp_path: Path,
) -> None:
    workers = spawn(worker, args=(tmp_path,), nprocs=2, join=False)
    for process in workers.processes:  # workers.join() would end the survivor at once
        process.join(COMING_UP_S)
    with pytest.raises(ProcessExitedException, match="SIGKILL"):
        workers.join()
    found = (tmp_path / "lost").read_text(encoding="utf-8")
    assert found.startswith("True "), found
