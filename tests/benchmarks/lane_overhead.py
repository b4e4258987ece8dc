"""What a lane fed by Ray Data costs: its steps a second against the same loop under torchrun on tensors in memory.

    python -m tests.benchmarks.lane_overhead

Both train the same trial of mel-tiny on the same demo corpus with two DDP workers, on two GPUs where there are two, else on one CPU core
each. The lane is the sweep's own, told to keep no clips, so that it streams them; the other side is ``torchrun`` with every clip encoded
before it begins. Each side notes when a step asks its feed for clips and when it has them. The first epoch is not counted: it is the
first to use each kernel, and the stream's processes come up beside it; how long its first clips take is told by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from tests.benchmarks.measure import Measure, tell
from vibesweep.config import TrialResources, TrialSettings
from vibesweep.storage import StoragePath
from vibesweep.training.loop import TrialRun

WORKERS = 2
RECORDINGS = 80
EPOCHS = 5
SETTINGS = TrialSettings(method="lora", batch_clips=4)
LEAST_RATE, MOST_WAITING, MOST_BETWEEN_EPOCHS_S = 0.9, 0.05, 0.3
READY_S = 180.0
NOTES = "LANE_OVERHEAD_NOTES"


def note_feed(notes: Path, rank: int) -> Any:
    """Have every trial of this process write down each step's epoch, and when it asked for its clips and had them."""
    plain = TrialRun._feed

    def feed(run: TrialRun, *args: Any, **names: Any) -> Generator[Any, None, None]:
        with (notes / f"{rank}.jsonl").open("w", encoding="utf-8") as lines:
            asked = time.perf_counter()
            for step in plain(run, *args, **names):
                print(
                    json.dumps(
                        {
                            "step": step.number,
                            "epoch": step.epoch,
                            "asked": asked,
                            "had": time.perf_counter(),
                        }
                    ),
                    file=lines,
                    flush=True,
                )
                yield step
                asked = time.perf_counter()

    return mock.patch.object(TrialRun, "_feed", feed)


def timed_lane_worker(config: dict[str, Any]) -> None:
    """The lane's own worker, with notes, and no room for clips."""
    from ray import train

    from vibesweep.training.lanes import lane

    notes = Path(os.environ[NOTES])
    with (
        mock.patch.object(lane, "CLIPS_SHARE", 0.0),
        note_feed(notes, train.get_context().get_world_rank()),
    ):
        lane.lane_worker(config)


def on_a_lane(shards: Path, work: Path, gpus: int) -> pd.DataFrame:
    """One trial on a lane that streams."""
    import ray

    from vibesweep.training.lanes import lane
    from vibesweep.training.lanes.dispatcher import Command
    from vibesweep.training.lanes.spec import LaneSpec

    resources = TrialResources(workers=WORKERS, cpus_per_worker=1, gpus_per_worker=gpus)
    steps = steps_of(shards)
    kept = StoragePath.of(work)
    spec = LaneSpec(
        "lane",
        "mel-tiny",
        str(shards),
        kept / "checkpoints",
        kept / "states",
        work / "ray",
        steps,
        resources,
    )
    with (
        mock.patch.object(lane, "lane_worker", timed_lane_worker),
        lane.dispatcher_up() as dispatcher,
    ):
        lanes = lane.Lanes(dispatcher, [spec], restarts=0)
        lanes.start()
        assert ray.get(dispatcher.until_ready.remote(1), timeout=READY_S)
        answer = ray.get(dispatcher.advance.remote(Command("trial", SETTINGS, steps)))
        assert answer.report is not None, answer
        lanes.stop(60.0)
    return noted(Path(os.environ[NOTES]))


def under_torchrun(shards: Path, work: Path, gpus: int) -> pd.DataFrame:
    """The same trial with no Ray in it."""
    own = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={WORKERS}",
    ]
    subprocess.run(
        [*own, "-m", "tests.benchmarks.lane_overhead", str(shards), str(work), str(gpus)],
        check=True,
    )
    return noted(work)


def torchrun_worker(shards: Path, work: Path, gpus: int) -> None:
    """One process of torchrun."""
    import torch
    from torch import distributed

    from vibesweep.training.worker_context import WorkerContext, World

    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    device = f"cuda:{rank}" if gpus else "cpu"
    if gpus:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpus else "gloo")
    context = WorkerContext.open("mel-tiny", shards, World(rank, WORKERS, device))
    context.validate(context.base)  # as a lane does
    steps = steps_of(shards)
    with note_feed(work, rank):
        TrialRun(context, SETTINGS, steps).advance(steps)
    distributed.destroy_process_group()


def steps_of(shards: Path) -> int:
    """Whole epochs."""
    from vibesweep.models.mel.model import MelModel
    from vibesweep.training.data.batches import StepPlan
    from vibesweep.training.data.index import read_index

    return EPOCHS * StepPlan.of(read_index(shards, MelModel), SETTINGS).epoch_steps


def noted(notes: Path) -> pd.DataFrame:
    """What both workers wrote down, with each step's wait and whole length."""
    ranks = []
    for rank in range(WORKERS):
        steps = pd.read_json(notes / f"{rank}.jsonl", lines=True)
        steps["waited_s"] = steps["had"] - steps["asked"]
        steps["took_s"] = steps["asked"].shift(-1) - steps["asked"]
        steps["opens_epoch"] = steps["epoch"] > steps["epoch"].shift(1)
        ranks.append(steps)
    return pd.concat(ranks)


def measures(lane: pd.DataFrame, alone: pd.DataFrame) -> list[Measure]:
    """The lane's shares, the headline last."""
    counted = {
        name: side[side["epoch"] > 0].dropna()
        for name, side in (("lane", lane), ("torchrun", alone))
    }
    rates = {name: float(1 / side["took_s"].mean()) for name, side in counted.items()}
    waiting = {
        name: float(side["waited_s"].sum() / side["took_s"].sum()) for name, side in counted.items()
    }
    between = counted["lane"][counted["lane"]["opens_epoch"]]["waited_s"]
    assert len(between) == WORKERS * (EPOCHS - 1)
    return [
        *(Measure(f"{name}, steps/s", rate) for name, rate in rates.items()),
        Measure("lane, median step, s", float(np.median(counted["lane"]["took_s"]))),
        Measure("torchrun, median step, s", float(np.median(counted["torchrun"]["took_s"]))),
        Measure(
            "lane, from a trial's start to its first clips, s",
            float(lane[lane["step"] == 0]["waited_s"].max()),
        ),
        Measure("torchrun, share of step time waiting for data", waiting["torchrun"]),
        Measure(
            "lane, share of step time waiting for data",
            waiting["lane"],
            MOST_WAITING,
            at_least=False,
        ),
        Measure(
            "lane, from one epoch's end to the next one's first step, longest, s",
            float(between.max()),
            MOST_BETWEEN_EPOCHS_S,
            False,
        ),
        Measure("lane's steps/s over torchrun's", rates["lane"] / rates["torchrun"], LEAST_RATE),
    ]


def main() -> None:
    """Measure and tell."""
    import ray
    import torch

    from vibesweep.corpus.demo.dialogues import write_demo_corpus
    from vibesweep.corpus.preprocess.run import preprocess

    gpus = 1 if torch.cuda.device_count() >= WORKERS else 0
    with tempfile.TemporaryDirectory(prefix="overhead") as folder:
        work = Path(folder)
        for side in ("lane", "torchrun"):
            (work / side).mkdir()
        os.environ[NOTES] = str(work / "lane")
        ray.init(address="local", num_cpus=WORKERS, include_dashboard=True, log_to_driver=False)
        preprocess(write_demo_corpus(work / "corpus", recordings=RECORDINGS), work / "shards")
        lane = on_a_lane(work / "shards", work / "lane", gpus)
        ray.shutdown()
        alone = under_torchrun(work / "shards", work / "torchrun", gpus)
    tell(
        f"A trial on a lane fed by Ray Data, and under torchrun ({WORKERS} workers on {'GPUs' if gpus else 'CPU cores'})",
        measures(lane, alone),
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torchrun_worker(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
