"""What a second GPU adds, to one trial and to a sweep: one GPU and two, in one run.

    python -m tests.benchmarks.two_gpus [sweep] [trial]     both unless told

The 1.5B with random weights. The trial has the settings of ``tests.benchmarks.gpu`` and 8 of its
clips a step. On two GPUs it is two processes that sum their gradients by NCCL, as a lane's are. It
takes the same step on both, and a step of twice the clips, so that each GPU has what one had. The
sweeps are those of ``tests.benchmarks.gpu_sweep`` with a clip a step, on one lane and, with twice
the trials, on two; counted is the time from the first trial's first step to the last trial's end.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
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


def measured_trial() -> list[Measure]:
    """Return the measures of a trial, the headline last."""
    alone_s = step_s(1, CLIPS)
    shared_s = step_s(2, CLIPS)
    larger_s = step_s(2, 2 * CLIPS)
    name = f"1.5B, {CLIPS} clips a step: "
    return [
        Measure(name + "one GPU, ms a step", alone_s * 1e3),
        Measure(name + "the same step on two GPUs, ms", shared_s * 1e3),
        Measure(name + "twice the clips on two GPUs, ms", larger_s * 1e3),
        Measure(name + "times as fast, the same step", alone_s / shared_s),
        Measure(name + "times the clips a second, twice the clips", 2 * alone_s / larger_s, GOAL),
    ]


def measured_sweep() -> list[Measure]:
    """Return the measures of a sweep, the headline last."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    measures = []
    rates = []
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        work = Path(folder)
        checkpoint, shards = write_inputs(work)
        for lanes in (1, 2):
            _, seconds = sweep_record(checkpoint, shards, SWEPT, work, lanes)
            rates.append(lanes * TRIALS / seconds.trials)
            name = f"1.5B, 1 clip a step, lanes: {lanes}, "
            measures += [
                Measure(name + "s to a trial's first step", seconds.until_first_step),
                Measure(name + "trials an hour from there", 3_600 * rates[-1]),
            ]
    one, two = rates
    return [*measures, Measure("two lanes, times the trials an hour", two / one, LANES_GOAL)]


CASES: dict[str, Callable[[], list[Measure]]] = {"sweep": measured_sweep, "trial": measured_trial}


def main() -> None:
    """Measure the cases that were asked for."""
    measures = []
    for case in sys.argv[1:] or CASES:
        measures += CASES[case]()
    print_measures("One GPU and two", measures)


if __name__ == "__main__":
    main()
