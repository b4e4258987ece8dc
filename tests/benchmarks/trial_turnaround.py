"""From a trial's start to its first optimizer step: a warm lane against a ``TorchTrainer`` nested in each Tune trial.

    python -m tests.benchmarks.trial_turnaround

Same work in both: the base mel-tiny, a small demo corpus, LoRA, one optimizer step and its validation, one trial at a time on one
worker of one core. A trial starts when Tune hands it its config (``setup`` or ``reset_config``, in an actor that is reused in both)
and its first step ends where :class:`vibesweep.config.Report` says so. The step's own computing is in both figures, and is nearly
all of the warm one; so the headline takes the smallest step (one clip), the same is told for four clips, and the time before the
step begins is told too. The warm side is ``run_sweep`` itself. Its first trial is not counted: it is the first to use each kernel.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import ray
from ray import train, tune
from rich.console import Console

from tests.benchmarks.measure import Measure, tell
from vibesweep.config import Budget, Report, Sweep, TrialSettings
from vibesweep.corpus.demo.dialogues import write_demo_corpus
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.sweep import run
from vibesweep.sweep.search.space import settings_with
from vibesweep.sweep.trial import LaneTrial, beside_the_driver
from vibesweep.training.lanes.lane import POLL_S

TRIALS = 5
RECORDINGS = 12
GOAL = 40.0
SETTINGS = TrialSettings(method="lora")
BATCHES = (1, 4)
POINTS = [{"batch_clips": clips, "seed": number} for number in range(TRIALS) for clips in BATCHES]


class TimedLaneTrial(LaneTrial):
    """The sweep's own trial, which also notes when it was handed its config and when its first step was done."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Note the start."""
        self._began_unix_s = time.time()
        return super().reset_config(new_config)

    def step(self) -> dict[str, Any]:
        """Note the first step."""
        result = super().step()
        _note(
            Path(os.environ["TURNAROUND_NOTES"]),
            self._settings.batch_clips,
            self._began_unix_s,
            Report(**result["report"]),
        )
        return result


class NestedTrial(tune.Trainable):
    """The usual way: each trial brings up a worker group of its own."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial's config."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the next trial."""
        self._began_unix_s, self._config = time.time(), new_config
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing."""

    def step(self) -> dict[str, Any]:
        """Train in a worker group of this trial's own, which notes the first step itself."""
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
    """What a lane's worker and the loop do for one trial, from nothing."""
    import torch
    from ray.train.torch import get_device

    from vibesweep.training.loop import TrialRun
    from vibesweep.training.worker_context import WorkerContext, World

    torch.set_num_threads(1)
    context = WorkerContext.open(
        "mel-tiny", Path(config["shards"]), World(device=str(get_device()))
    )
    settings = settings_with(SETTINGS, config["point"])
    _note(
        Path(config["notes"]),
        settings.batch_clips,
        config["began_unix_s"],
        TrialRun(context, settings, 1).advance(1),
    )


def warm(shards: Path, work: Path) -> pd.DataFrame:
    """Each trial but the first of a sweep as users run it."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

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
    with mock.patch.object(run, "LaneTrial", TimedLaneTrial):
        run.run_sweep(sweep, "warm", work=work, console=Console(stderr=True))
    return pd.read_json(work / "warm.jsonl", lines=True).iloc[1:]


def nested(shards: Path, work: Path) -> pd.DataFrame:
    """Each trial where a trial starts a TorchTrainer."""
    notes = work / "nested.jsonl"
    fixed = {"shards": str(shards), "notes": str(notes), "scratch": str(work / "train")}
    tune.Tuner(
        tune.with_resources(NestedTrial, beside_the_driver()),
        param_space={**fixed, "point": tune.grid_search(POINTS)},
        tune_config=tune.TuneConfig(
            metric="loss_val", mode="min", max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(name="nested", storage_path=str(work / "tune"), verbose=0),
    ).fit()
    return pd.read_json(notes, lines=True)


def _note(notes: Path, batch_clips: int, began_unix_s: float, report: Report) -> None:
    """Enter one trial; the step's own length follows from its rate, for there is one step."""
    done_s = report.first_step_unix_s - began_unix_s
    with notes.open("a", encoding="utf-8") as file:
        file.write(
            json.dumps(
                {
                    "batch_clips": batch_clips,
                    "done_s": done_s,
                    "begun_s": done_s - 1 / report.steps_per_s,
                }
            )
            + "\n"
        )


def measures(warm_trials: pd.DataFrame, nested_trials: pd.DataFrame) -> list[Measure]:
    """Medians of both sides for each size of step, the headline last."""
    found = []
    for clips in sorted(BATCHES, reverse=True):
        sides = {"nested TorchTrainer": nested_trials, "warm lane": warm_trials}
        medians = {
            name: side[side["batch_clips"] == clips].median() for name, side in sides.items()
        }
        assert all(len(side[side["batch_clips"] == clips]) == TRIALS for side in sides.values())
        for what, column in (
            ("before the first step begins", "begun_s"),
            ("until the first step is done", "done_s"),
        ):
            values = {name: float(row[column]) for name, row in medians.items()}
            found += [
                Measure(f"{name}, {what}, {clips} clips a step, s", value)
                for name, value in values.items()
            ]
            goal = GOAL if (clips, column) == (BATCHES[0], "done_s") else None
            found.append(
                Measure(
                    f"times less {what}, {clips} clips a step",
                    values["nested TorchTrainer"] / values["warm lane"],
                    goal,
                )
            )
    return found


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory(prefix="turnaround") as folder:
        work = Path(folder)
        # For the nested side too: Train's controller looks at its workers as often as a lane's does, not every 2 s.
        os.environ.update(
            RAY_TRAIN_HEALTH_CHECK_INTERVAL_S=str(POLL_S), TURNAROUND_NOTES=str(work / "warm.jsonl")
        )
        ray.init(address="local", include_dashboard=True, log_to_driver=False)
        preprocess(write_demo_corpus(work / "corpus", recordings=RECORDINGS), work / "shards")
        found = measures(warm(work / "shards", work), nested(work / "shards", work))
        ray.shutdown()
    tell(f"From a trial's start to its first optimizer step (medians of {TRIALS})", found)


if __name__ == "__main__":
    main()
