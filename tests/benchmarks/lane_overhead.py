"""What a lane fed by Ray Data costs, against the same loop under torchrun on clips in memory.

    python -m tests.benchmarks.lane_overhead

Both train the same trial of mel-small on the same demo corpus with two workers: on two GPUs
where there are two, else on one CPU core each. The lane is the sweep's own, told to keep no clips,
so that it streams them; under ``torchrun`` every clip is encoded before training begins. Each side
records when a step asks for its clips and when it has them. The first epoch is left out: it is the
first to use each kernel, and the stream's processes come up beside it. How long a trial waits for
its first clips is printed as a measure of its own.
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

import pandas as pd

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import TrialResources, TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training.trial_run import TrialRun

MODEL = ModelRef.parse("mel-small")
WORKERS = 2
RECORDINGS = 80
EPOCHS = 5
SETTINGS = TrialSettings(method="lora", batch_clips=4)
LEAST_RATE = 0.9
MOST_WAITING = 0.05
MOST_BETWEEN_EPOCHS_S = 0.3
READY_S = 180.0
STOP_S = 60.0
NOTES = "LANE_OVERHEAD_NOTES"


def record_steps(notes: Path, rank: int) -> Any:
    """Make this process's trials record when each step asked for its clips and when it had them."""
    read_steps = TrialRun._read_steps

    def recorded(run: TrialRun, *args: Any, **names: Any) -> Generator[Any, None, None]:
        with (notes / f"{rank}.jsonl").open("w", encoding="utf-8") as lines:
            asked = time.perf_counter()
            for step in read_steps(run, *args, **names):
                had = time.perf_counter()
                line = {"step": step.number, "epoch": step.epoch, "asked": asked, "had": had}
                print(json.dumps(line), file=lines, flush=True)
                yield step
                asked = time.perf_counter()

    return mock.patch.object(TrialRun, "_read_steps", recorded)


def timed_lane_worker(config: dict[str, Any]) -> None:
    """Run the lane's own worker, recorded, and without room for clips in memory."""
    from ray import train

    from vibesweep.training.lanes import worker

    rank = train.get_context().get_world_rank()
    without_memory = mock.patch.object(worker, "CLIPS_SHARE", 0.0)
    with without_memory, record_steps(Path(os.environ[NOTES]), rank):
        worker.lane_worker(config)


def on_a_lane(shards: Path, work: Path, gpus: int) -> pd.DataFrame:
    """Train the trial on a lane that streams, and return its steps."""
    import ray

    from vibesweep.training.lanes import lane
    from vibesweep.training.lanes.messages import Command
    from vibesweep.training.lanes.spec import LaneSpec

    steps = steps_of(shards)
    storage = StoragePath.of(work)
    spec = LaneSpec(
        name="lane",
        model=MODEL,
        shards=str(shards),
        shards_signature=read_manifest(shards).signature,
        checkpoints=storage / "checkpoints",
        states=storage / "states",
        clones=storage / "clones",
        scratch=work / "ray",
        max_steps=steps,
        resources=TrialResources(workers=WORKERS, cpus_per_worker=1, gpus_per_worker=gpus),
    )
    recorded = mock.patch.object(lane, "lane_worker", timed_lane_worker)
    with recorded, lane.running_dispatcher() as dispatcher:
        lanes = lane.Lanes(dispatcher, [spec])
        lanes.start()
        assert ray.get(dispatcher.wait_until_ready.remote(1), timeout=READY_S)
        answer = ray.get(dispatcher.advance.remote(Command("trial", SETTINGS, (steps,))))
        assert answer.report is not None, answer
        lanes.stop(STOP_S)
    return recorded_steps(Path(os.environ[NOTES]))


def under_torchrun(shards: Path, work: Path, gpus: int) -> pd.DataFrame:
    """Train the same trial without Ray, and return its steps."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = ["-m", "tests.benchmarks.lane_overhead", str(shards), str(work), str(gpus)]
    subprocess.run([*torchrun, f"--nproc-per-node={WORKERS}", *program], check=True)
    return recorded_steps(work)


def torchrun_worker(shards: Path, work: Path, gpus: int) -> None:
    """Run one of torchrun's processes."""
    import torch
    from torch import distributed

    from vibesweep.training.worker_context import WorkerContext
    from vibesweep.training.workers import World

    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    device = f"cuda:{rank}" if gpus else "cpu"
    if gpus:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpus else "gloo")
    context = WorkerContext.open(MODEL, shards, World(rank, WORKERS, device))
    context.validate(context.base)  # as a lane does
    steps = steps_of(shards)
    with record_steps(work, rank):
        TrialRun(context, SETTINGS, steps).advance(steps)
    distributed.destroy_process_group()


def steps_of(shards: Path) -> int:
    """Return the steps of so many whole epochs."""
    from vibesweep.training.data.index import read_index
    from vibesweep.training.data.step_plan import StepPlan

    plan = StepPlan.of(read_index(shards, MODEL.load()), SETTINGS)
    return EPOCHS * plan.epoch_steps


def recorded_steps(notes: Path) -> pd.DataFrame:
    """Return what both workers recorded, with each step's wait and its whole length."""
    ranks = []
    for rank in range(WORKERS):
        steps = pd.read_json(notes / f"{rank}.jsonl", lines=True)
        steps["waited_s"] = steps["had"] - steps["asked"]
        steps["took_s"] = steps["asked"].shift(-1) - steps["asked"]
        steps["opens_epoch"] = steps["epoch"] > steps["epoch"].shift(1)
        ranks.append(steps)
    return pd.concat(ranks)


def after_first_epoch(steps: pd.DataFrame) -> pd.DataFrame:
    """Return the steps that count: not those of the first epoch, and not the last one."""
    return steps[steps["epoch"] > 0].dropna()


def share_waited(steps: pd.DataFrame) -> float:
    """Return the share of the steps' time in which they waited for clips."""
    return float(steps["waited_s"].sum() / steps["took_s"].sum())


def measures(lane: pd.DataFrame, torchrun: pd.DataFrame) -> list[Measure]:
    """Return both sides' figures, the headline last."""
    first_clips_s = float(lane[lane["step"] == 0]["waited_s"].max())
    lane = after_first_epoch(lane)
    torchrun = after_first_epoch(torchrun)
    lane_rate = float(1 / lane["took_s"].mean())
    torchrun_rate = float(1 / torchrun["took_s"].mean())
    between_s = lane[lane["opens_epoch"]]["waited_s"]
    assert len(between_s) == WORKERS * (EPOCHS - 1)
    return [
        Measure("lane, steps/s", lane_rate),
        Measure("torchrun, steps/s", torchrun_rate),
        Measure("lane, median step, s", float(lane["took_s"].median())),
        Measure("torchrun, median step, s", float(torchrun["took_s"].median())),
        Measure("lane, from a trial's start to its first clips, s", first_clips_s),
        Measure("torchrun, share of step time waiting for data", share_waited(torchrun)),
        Measure(
            "lane, share of step time waiting for data",
            share_waited(lane),
            MOST_WAITING,
            at_least=False,
        ),
        Measure(
            "lane, from one epoch's end to the next one's first step, longest, s",
            float(between_s.max()),
            MOST_BETWEEN_EPOCHS_S,
            at_least=False,
        ),
        Measure("lane's steps/s over torchrun's", lane_rate / torchrun_rate, LEAST_RATE),
    ]


def main() -> None:
    """Run both sides and print the figures."""
    import ray
    import torch

    from vibesweep.corpus.demo import write_demo_corpus
    from vibesweep.corpus.preprocess.run import preprocess

    gpus = 1 if torch.cuda.device_count() >= WORKERS else 0
    with tempfile.TemporaryDirectory(prefix="overhead") as folder:
        work = Path(folder)
        for side in ("lane", "torchrun"):
            (work / side).mkdir()
        os.environ[NOTES] = str(work / "lane")
        shards = work / "shards"
        ray.init(address="local", num_cpus=WORKERS, include_dashboard=True, log_to_driver=False)
        corpus = write_demo_corpus(work / "corpus", recordings=RECORDINGS)
        preprocess(corpus, shards, MODEL.family.clip_encoder(MODEL.address))
        lane = on_a_lane(shards, work / "lane", gpus)
        ray.shutdown()
        torchrun = under_torchrun(shards, work / "torchrun", gpus)
    workers = f"{WORKERS} workers on {'GPUs' if gpus else 'CPU cores'}"
    title = f"A trial on a lane fed by Ray Data, and under torchrun ({workers})"
    print_measures(title, measures(lane, torchrun))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torchrun_worker(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
