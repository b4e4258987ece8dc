"""From a trial's start to its first optimizer step: warm lane or a ``TorchTrainer`` in each trial.

    python -m tests.benchmarks.trial_turnaround

Both do the same work: the base mel-small, a small demo corpus, LoRA, one optimizer step and its
validation, one trial at a time on one worker of one core. A trial starts when Tune hands it its
config (``setup`` or ``reset_config``, in an actor that is reused in both), and its first step ends
where :class:`vibesweep.config.Report` says so. Both figures contain the step's own computing, which
is nearly all of the warm one: the headline therefore takes the smallest step, of one clip. Steps of
four clips and the time before the step begins are printed too. The warm side is ``run_sweep``
itself; its first trial is left out, since it is the first to use each kernel.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import ray
from optuna.distributions import CategoricalDistribution, IntDistribution
from ray import train, tune
from rich.console import Console

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import Budget, Report, Sweep, TrialSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.models.registry import ModelRef
from vibesweep.sweep import tuning
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.search.space import settings_with
from vibesweep.sweep.trial import LaneTrial, beside_the_driver
from vibesweep.training.lanes.lane import POLL_S

MODEL = ModelRef.parse("mel-small")
TRIALS = 5
RECORDINGS = 12
GOAL = 40.0
SETTINGS = TrialSettings(method="lora")
BATCHES = (1, 4)
POINTS = [{"batch_clips": clips, "seed": number} for number in range(TRIALS) for clips in BATCHES]
NOTES = "TURNAROUND_NOTES"
WARM = "warm lane"
NESTED = "nested TorchTrainer"


class TimedLaneTrial(LaneTrial):
    """The sweep's own trial, which also records when it got its config and when its step ended."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Record the start."""
        self._began_unix_s = time.time()
        return super().reset_config(new_config)

    def step(self) -> dict[str, Any]:
        """Record the first step."""
        result = super().step()
        report = Report(**result["report"])
        notes = Path(os.environ[NOTES])
        record_trial(notes, self._settings.batch_clips, self._began_unix_s, report)
        return result


class NestedTrial(tune.Trainable):
    """The usual way: each trial brings up a worker group of its own."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial's config."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self._began_unix_s = time.time()
        self._config = new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing."""

    def step(self) -> dict[str, Any]:
        """Train in a worker group of this trial's own, which records the first step itself."""
        from ray.train.torch import TorchTrainer

        trainer = TorchTrainer(
            nested_worker,
            train_loop_config={**self._config, "began_unix_s": self._began_unix_s},
            scaling_config=train.ScalingConfig(num_workers=1),
            run_config=train.RunConfig(name=self.trial_id, storage_path=self._config["scratch"]),
        )
        trainer.fit()
        return {"loss_val": 0.0, "done": True}


def nested_worker(config: dict[str, Any]) -> None:
    """Do for one trial, from nothing, what a lane's worker and the loop do."""
    import torch
    from ray.train.torch import get_device

    from vibesweep.training.trial_run import TrialRun
    from vibesweep.training.worker_context import WorkerContext
    from vibesweep.training.workers import World

    torch.set_num_threads(1)
    world = World(device=str(get_device()))
    context = WorkerContext.open(MODEL, Path(config["shards"]), world)
    settings = settings_with(SETTINGS, config["point"])
    run = TrialRun(context, settings, 1)
    report = dataclasses.replace(run.advance(1), first_step_ago_s=run.first_step_ago_s)
    record_trial(Path(config["notes"]), settings.batch_clips, config["began_unix_s"], report)


def warm_trials(shards: Path, work: Path) -> pd.DataFrame:
    """Return the times of all trials but the first of a sweep as users run it."""
    first = {"batch_clips": BATCHES[-1], "seed": TRIALS}
    sweep = Sweep(
        space={"batch_clips": CategoricalDistribution(BATCHES), "seed": IntDistribution(0, TRIALS)},
        try_first=(first, *POINTS),
        corpus=str(shards),
        settings=SETTINGS,
        budget=Budget(max_steps=1, grace_steps=1),
        trials=len(POINTS) + 1,
        lanes=1,
    )
    with mock.patch.object(tuning, "LaneTrial", TimedLaneTrial):
        run_sweep(sweep, "warm", work=work, console=Console(stderr=True))
    return pd.read_json(work / "warm.jsonl", lines=True).iloc[1:]


def nested_trials(shards: Path, work: Path) -> pd.DataFrame:
    """Return the times of trials that each start a TorchTrainer."""
    notes = work / "nested.jsonl"
    fixed = {"shards": str(shards), "notes": str(notes), "scratch": str(work / "train")}
    tuner = tune.Tuner(
        tune.with_resources(NestedTrial, beside_the_driver()),
        param_space={**fixed, "point": tune.grid_search(POINTS)},
        tune_config=tune.TuneConfig(
            metric="loss_val", mode="min", max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(name="nested", storage_path=str(work / "tune"), verbose=0),
    )
    tuner.fit()
    return pd.read_json(notes, lines=True)


def record_trial(notes: Path, batch_clips: int, began_unix_s: float, report: Report) -> None:
    """Append one trial's times; there is one step, so its length follows from the rate."""
    assert report.first_step_ago_s is not None
    done_s = time.time() - report.first_step_ago_s - began_unix_s
    begun_s = done_s - 1 / report.steps_per_s
    line = {"batch_clips": batch_clips, "done_s": done_s, "begun_s": begun_s}
    with notes.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def measures(sides: dict[str, pd.DataFrame]) -> list[Measure]:
    """Return the medians of both sides for each size of step, the headline last."""
    found = []
    columns = {
        "begun_s": "before the first step begins",
        "done_s": "until the first step is done",
    }
    for clips in sorted(BATCHES, reverse=True):
        medians = {side: median_times(times, clips) for side, times in sides.items()}
        for column, what in columns.items():
            for side, times in medians.items():
                name = f"{side}, {what}, {clips} clips a step, s"
                found.append(Measure(name, float(times[column])))
            ratio = float(medians[NESTED][column] / medians[WARM][column])
            is_headline = clips == BATCHES[0] and column == "done_s"
            goal = GOAL if is_headline else None
            found.append(Measure(f"times less {what}, {clips} clips a step", ratio, goal))
    return found


def median_times(times: pd.DataFrame, clips: int) -> pd.Series:
    """Return the median times of the trials with steps of so many clips."""
    chosen = times[times["batch_clips"] == clips]
    assert len(chosen) == TRIALS
    return chosen.median()


def main() -> None:
    """Run both sides and print the figures."""
    with tempfile.TemporaryDirectory(prefix="turnaround") as folder:
        work = Path(folder)
        os.environ[NOTES] = str(work / "warm.jsonl")
        # For the nested side too: Train's controller polls its workers as often as a lane's does,
        # not every 2 s.
        os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = str(POLL_S)
        ray.init(address="local", include_dashboard=True, log_to_driver=False)
        corpus = write_demo_corpus(work / "corpus", recordings=RECORDINGS)
        shards = work / "shards"
        preprocess(corpus, shards, MODEL.family.clip_encoder(MODEL.address))
        warm = warm_trials(shards, work)
        nested = nested_trials(shards, work)
        ray.shutdown()
    title = f"From a trial's start to its first optimizer step (medians of {TRIALS})"
    print_measures(title, measures({NESTED: nested, WARM: warm}))


if __name__ == "__main__":
    main()
