"""Twenty trials of two workers, one of which is killed in the middle of each trial.

    python -m tests.benchmarks.killed_workers

It is a sweep as users run it, on one lane. At a moment that the trial's number decides, one of the
lane's two processes gets SIGKILL. Every trial has to reach its last step, and no step of it may be
told twice. It takes about half a minute a trial, nearly all of it for two new processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import ray
from optuna.distributions import IntDistribution
from ray.util.state import list_actors
from rich.console import Console

from tests import tiny
from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.sweep import tuning
from vibesweep.sweep.record import SweepFolder, TrialState
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.trial import LaneTrial

TRIALS = 20
STEPS = 120
EARLIEST_S, LATEST_S = 0.2, 2.5
"""When a worker is killed, in seconds from its trial's start. A trial takes some four."""
NOTES = "KILLED_WORKERS_NOTES"
"""The environment variable with the folder that trials write their notes to."""
DASHBOARD, LOSSES = "dashboard", "losses.jsonl"


class KillingTrial(LaneTrial):
    """The sweep's own trial, which has one of its workers killed."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self._number = int(new_config["number"])
        return super().reset_config(new_config)

    def step(self) -> dict[str, Any]:
        """Kill a worker while the lane trains; note whether the trial has lost a worker group."""
        if self._reported_step == 0:
            threading.Thread(target=kill_a_worker, args=(self._number,)).start()
        result = super().step()
        if result["done"]:
            note = {"number": self._number, "lost_a_lane": bool(result["errors"])}
            with (notes_folder() / LOSSES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
        return result


def notes_folder() -> Path:
    """Return the folder that trials and the driver share."""
    return Path(os.environ[NOTES])


def kill_a_worker(number: int) -> None:
    """Kill one of the lane's processes, at a moment that the trial's number decides."""
    choice = random.Random(number)
    moment_s = time.monotonic() + choice.uniform(EARLIEST_S, LATEST_S)
    workers = list_actors(
        address=(notes_folder() / DASHBOARD).read_text(),
        filters=[("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")],
        detail=True,
    )
    pids = sorted(worker.pid for worker in workers if worker.pid is not None)
    time.sleep(max(moment_s - time.monotonic(), 0.0))
    os.kill(choice.choice(pids), signal.SIGKILL)


def measures(folder: SweepFolder) -> list[Measure]:
    """Return how many trials were hit, how many came to their end, and what was told twice."""
    losses = pd.read_json(notes_folder() / LOSSES, lines=True)
    reports = pd.read_parquet(str(folder.reports.local))
    twice = reports.duplicated(["number", "step"]).sum()
    trials = folder.read().trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    whole = [trial for trial in complete if trial.step == STEPS]
    numbers = {trial.number for trial in trials}
    return [
        Measure("trials that lost a worker", float(losses["lost_a_lane"].sum())),
        Measure("trials run twice", float(len(trials) - len(numbers)), 0.0, at_least=False),
        Measure("reports told twice", float(twice), 0.0, at_least=False),
        Measure("trials that completed", float(len(whole)), float(TRIALS)),
    ]


def main() -> None:
    """Run the sweep and print the figures."""
    with tempfile.TemporaryDirectory(prefix="killed") as place:
        work = Path(place)
        os.environ[NOTES] = place
        cluster = ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False)
        (work / DASHBOARD).write_text(f"http://{cluster.dashboard_url}")
        sweep = Sweep(
            space={"seed": IntDistribution(1, 1_000)},
            corpus=str(tiny.write_shards(work / "shards_made")),
            model=str(tiny.write_base(work / "base")),
            settings=TrialSettings(method="full", learning_rate=1e-3, batch_clips=4),
            budget=Budget(max_steps=STEPS, grace_steps=STEPS),  # no rung, so none is pruned
            trials=TRIALS,
            resources=TrialResources(workers=2),
            lanes=1,
        )
        with mock.patch.object(tuning, "LaneTrial", KillingTrial):
            folder = run_sweep(sweep, "killed", work=work, console=Console(stderr=True))
        found = measures(folder)
        ray.shutdown()
    print_measures(f"{TRIALS} trials of two workers, one of which is killed in each", found)


if __name__ == "__main__":
    main()
