"""What a second GPU adds, to one trial and to a sweep: one GPU and two, in one run.

    python -m tests.benchmarks.two_gpus [CLIPS]     clips a step on one GPU; 8 unless told

The 1.5B with random weights. The trial has the clips and settings of ``tests.benchmarks.gpu``. On
two GPUs it is two processes that sum their gradients by NCCL, as a lane's are. It takes the same
step on both, and a step of twice the clips, which is what a GPU more is bought for. The sweeps are
those of ``tests.benchmarks.gpu_sweep`` with a clip a step, on one lane and, with twice the trials,
on two; counted is the time from the first trial's first step to the last trial's end.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import multiprocessing

from tests.benchmarks.gpu import SETTINGS, Watched, base_of, context_of
from tests.benchmarks.gpu_sweep import SETTINGS as SWEPT
from tests.benchmarks.gpu_sweep import TRIALS, sweep_record, write_inputs
from tests.benchmarks.measure import Measure, print_measures

CLIPS = 8
GOAL = 1.9
LANES_GOAL = 1.95


def train(rank: int, workers: int, clips: int, meeting: str, found: Any) -> None:
    """Run as one of the workers of a trial; the first one tells the seconds of a step."""
    torch.cuda.set_device(0)
    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{meeting}", rank=rank, world_size=workers
    )
    context = context_of(base_of("1.5B"), rank, workers)
    trial = Watched(context, dataclasses.replace(SETTINGS, batch_clips=clips))
    trial.first_step()
    step_s, _ = trial.seconds_a_step()
    if rank == 0:
        found.put(step_s)
    torch.distributed.destroy_process_group()


def step_s(workers: int, clips: int) -> float:
    """Train with so many workers, each a process with a GPU; return the seconds of a step."""
    spawning = multiprocessing.get_context("spawn")
    found = spawning.Queue()
    processes = []
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        meeting = str(Path(folder) / "meeting")
        for rank in range(workers):
            # Read when the process first asks for a GPU
            os.environ["CUDA_VISIBLE_DEVICES"] = str(rank)
            arguments = (rank, workers, clips, meeting, found)
            process = spawning.Process(target=train, args=arguments)
            process.start()
            processes.append(process)
        for process in processes:
            process.join()
            assert process.exitcode == 0, f"a worker ended with {process.exitcode}"
    seconds: float = found.get()
    return seconds


def trials_a_second() -> tuple[float, float]:
    """Return how many trials end in a second on one lane, and on two."""
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        work = Path(folder)
        checkpoint, shards = write_inputs(work)
        rates = []
        for lanes in (1, 2):
            _, seconds = sweep_record(checkpoint, shards, SWEPT, work, lanes)
            rates.append(lanes * TRIALS / seconds.trials)
    one, two = rates
    return one, two


def main() -> None:
    """Measure a trial, and a sweep."""
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS
    alone_s = step_s(1, clips)
    shared_s = step_s(2, clips)
    larger_s = step_s(2, 2 * clips)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    one_lane, two_lanes = trials_a_second()
    name = f"1.5B, {clips} clips a step: "
    measures = [
        Measure(name + "one GPU, ms a step", alone_s * 1e3),
        Measure(name + "the same step on two GPUs, ms", shared_s * 1e3),
        Measure(name + "twice the clips on two GPUs, ms", larger_s * 1e3),
        Measure(name + "times as fast, the same step", alone_s / shared_s),
        Measure("1.5B, 1 clip a step: one lane, trials an hour", one_lane * 3_600),
        Measure("1.5B, 1 clip a step: two lanes, trials an hour", two_lanes * 3_600),
        Measure("two lanes, times the trials an hour", two_lanes / one_lane, LANES_GOAL),
        Measure(name + "times the clips a second, twice the clips", 2 * alone_s / larger_s, GOAL),
    ]
    print_measures("One GPU and two", measures)


if __name__ == "__main__":
    main()
