"""A sweep as MLflow and Weights & Biases are told of it: read back from their own stores."""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from optuna.distributions import CategoricalDistribution
from rich.console import Console
from wandb.proto import wandb_internal_pb2

from tests import tiny
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.sweep.record import SweepRecord
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.trackers import Tracker, figures_of, open_trackers

RATES = [1e-3, 1e-5]
HEAD = struct.Struct("<IHB")
"""Checksum, size and kind of a piece in LevelDB's log format."""
WHOLE, LAST = 1, 4
BLOCK_BYTES = 1 << 15
BUDGET = Budget(max_steps=8, grace_steps=4, reduction_factor=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="module")
def record(ray_cluster: str, folder: Path) -> SweepRecord:
    """Run two trials that both trackers are told of, with no server anywhere."""
    sweep = Sweep(
        space={"learning_rate": CategoricalDistribution(RATES)},
        try_first=tuple({"learning_rate": rate} for rate in RATES),
        corpus=str(tiny.write_shards(folder / "shards")),
        model=str(tiny.write_base(folder / "base")),
        settings=TrialSettings(method="full", batch_clips=4),
        budget=BUDGET,
        trials=len(RATES),
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        environment.setenv("WANDB_MODE", "offline")
        environment.setenv("WANDB_DIR", str(folder))
        quiet = Console(quiet=True)
        ran = run_sweep(sweep, "tracked", work=folder, console=quiet, track=("mlflow", "wandb"))
    return ran.read()


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_trial(record: SweepRecord, folder: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("vibesweep")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {f"tracked_{trial.number}" for trial in record.trials}
    for trial in record.trials:
        run = runs[f"tracked_{trial.number}"]
        assert run.info.status == "FINISHED"
        assert run.data.tags["sweep"] == "tracked"
        assert float(run.data.params["swept/learning_rate"]) == trial.swept["learning_rate"]
        assert run.data.params["settings/method"] == "full"
        curve = {
            point.step: point.value
            for point in client.get_metric_history(run.info.run_id, "loss_val")
        }
        assert list(curve) == [step for step in BUDGET.report_steps if step <= trial.step]
        assert curve[trial.step] == trial.loss_val


def entries(path: Path) -> Iterator[Any]:
    """Read a file of W&B's: a head of 7 bytes, then LevelDB's log format."""
    content = path.read_bytes()
    message = vars(wandb_internal_pb2)["Record"]
    place = 7
    entry = b""
    while place + HEAD.size <= len(content):
        if BLOCK_BYTES - place % BLOCK_BYTES < HEAD.size:  # too little for a head: padding
            place += BLOCK_BYTES - place % BLOCK_BYTES
        _checksum, size, kind = HEAD.unpack_from(content, place)
        place += HEAD.size
        entry += content[place : place + size]
        place += size
        if kind in (WHOLE, LAST):
            record = message()
            record.ParseFromString(entry)
            yield record
            entry = b""


def read_run(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the config and the history of a run that W&B wrote offline."""
    config: dict[str, Any] = {}
    history = []
    for entry in entries(path):
        for item in entry.run.config.update:
            config[item.key] = json.loads(item.value_json)
        items = entry.history.item
        if items:
            found = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
            history.append(found)
    return config, history


@pytest.mark.slow
def test_wandb_has_written_a_run_for_each_trial(record: SweepRecord, folder: Path) -> None:
    files = list(folder.glob("wandb/offline-run-*/*.wandb"))
    runs = {}
    for path in files:
        config, history = read_run(path)
        runs[config["number"]] = (config, history)
    assert set(runs) == {trial.number for trial in record.trials}
    for trial in record.trials:
        config, history = runs[trial.number]
        assert config["settings"]["method"] == "full"
        assert config["swept"] == trial.swept
        assert history[-1]["loss_val"] == trial.loss_val
        assert [row["step"] for row in history] == [
            step for step in BUDGET.report_steps if step <= trial.step
        ]


class Refusing:
    """Ray's callback of a tracker whose server has gone."""

    calls = 0

    def log_trial_start(self, trial: Any) -> None:
        self.calls += 1
        raise ConnectionError("the server has gone")

    log_trial_end = log_trial_start


def test_a_tracker_that_fails_ends_no_sweep() -> None:
    said: list[str] = []
    callback = Refusing()
    tracker = Tracker("mlflow", callback, said.append)
    trial = SimpleNamespace()
    tracker.on_trial_start(0, [], trial)
    tracker.on_trial_complete(0, [], trial)
    assert callback.calls == 1
    assert said == ["warning: mlflow is told no more of this sweep: the server has gone"]


def test_a_tracker_that_is_not_known_is_refused() -> None:
    with pytest.raises(SweepError, match=r"no such tracker.*Choose of mlflow, wandb"):
        open_trackers(["tensorbord"], "mine", print)


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SweepError, match=r'pip install "vibesweep\[mlflow\]"'):
        open_trackers(["mlflow"], "mine", print)


def test_a_diverged_trials_figures_are_finite() -> None:
    report = {"step": 3, "loss_val": math.inf, "steps_per_s": 2.0, "curve": ()}
    result = {"step": 3, "loss_val": math.inf, "rung": 1, "report": report, "reason": "nan"}
    assert figures_of(result) == {
        "step": 3,
        "steps_per_s": 2.0,
        "rung": 1,
        "timesteps_total": 3,
        "training_iteration": 3,
    }
