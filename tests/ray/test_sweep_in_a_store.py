"""A sweep whose corpus, shards, checkpoints and record are all in an object store."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
import ray
import torch
from rich.console import Console
from typer.testing import CliRunner

from tests import tiny
from tests.reports import read_reports
from tests.waiting import wait_until
from vibesweep.cli import app
from vibesweep.config import TrialSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, read_manifest
from vibesweep.delivery.best import deliver_best
from vibesweep.delivery.export import export
from vibesweep.errors import SweepError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import fetched_folder, upload_folder
from vibesweep.sweep.record import SweepFolder, SweepState
from vibesweep.sweep.record.study import STUDY_NAME, study_storage
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training.data.stream import StreamFeed
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

pytestmark = pytest.mark.usefixtures("ray_cluster")

SPACE = """
import optuna
from vibesweep import Budget, Sweep, TrialSettings

def tenth_power(exponent: float) -> float:
    return 10.0**exponent

def space(trial: optuna.Trial) -> dict[str, float]:
    low = trial.suggest_categorical("optimizer", ["adamw", "lion", "adafactor"]) == "lion"
    return {"learning_rate": tenth_power(-4 if low else -3)}

sweep = Sweep(space=space, settings=TrialSettings(method="lora", batch_clips=2), trials=3, lanes=1,
              budget=Budget(max_steps=4, grace_steps=2, reduction_factor=2))
"""
LEFT = ["sweep.json", "events.jsonl", "trials.parquet", "study.journal", "space.py"]


@dataclass(frozen=True)
class Ran:
    """A sweep, and the folder in the store that it worked in."""

    work: str
    folder: SweepFolder


@pytest.fixture(scope="module")
def ran(ray_cluster: str, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Three trials; their space lies where no worker can import it from."""
    here = tmp_path_factory.mktemp("here")
    upload_folder(
        write_demo_corpus(here / "talks", recordings=8),
        StoragePath.of(bucket.format("talks")),
        "metadata.csv",
    )
    space = here / "only_the_driver_sees_this.py"
    space.write_text(SPACE)
    sweep, work = replace(load_space(space), corpus=bucket.format("talks")), bucket.format("work")
    folder = run_sweep(
        sweep, "away", work=work, console=Console(file=io.StringIO(), width=200), space_file=space
    )
    deliver_best(folder)
    return Ran(work, folder)


def test_all_of_it_lies_in_the_store(ran: Ran) -> None:
    record, place = ran.folder.read(), ran.folder.place
    assert place.local is None
    assert record.state == SweepState.DONE
    assert len(record.trials) == 3
    assert {file.name for file in place.files()} == set(LEFT)
    assert {folder.name for folder in place.folders()} == {
        "tensorboard",
        "artifacts",
        "checkpoints",
        "best",
    }
    assert {folder.name for folder in ran.folder.checkpoints.folders()} == {
        trial.id for trial in record.trials
    }
    for checkpoint in ran.folder.checkpoints.folders():
        assert sorted(Path(file.name).suffix for file in checkpoint.files()) == [
            ".json",
            ".safetensors",
        ]
    assert ran.folder.space.read_bytes().decode() == SPACE
    assert record.shards.startswith("s3://")
    assert read_manifest(record.shards).clips["train"] > 0
    assert {file.name for file in ran.folder.best.files() if file.name.endswith(".wav")} == {
        "sample.wav",
        "base_sample.wav",
    }


def test_study_table_and_curves_are_whole(ran: Ran) -> None:
    record = ran.folder.read()
    with fetched_folder(ran.folder.place) as copy:
        study = optuna.load_study(
            study_name=STUDY_NAME, storage=study_storage(copy / "study.journal")
        )
        assert [trial.user_attrs["outcome"] for trial in study.trials] == [
            trial.state for trial in record.trials
        ]
        table = pd.read_parquet(copy / "trials.parquet")
        assert table.groupby("number")["step"].max().to_dict() == {
            trial.number: trial.step for trial in record.trials
        }
        curves = [
            b"".join(path.read_bytes() for path in folder.iterdir())
            for folder in (copy / "tensorboard").glob("trial_*")
        ]
        assert len(curves) == 3
        assert all(b"loss/val_best" in curve for curve in curves)


def test_the_verbs_read_from_there(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = CliRunner()
    assert "away" in typed.invoke(app, ["list", "--work", ran.work], catch_exceptions=False).output
    assert (
        "done: 3 of 3 ended"
        in typed.invoke(app, ["show", str(ran.folder.place)], catch_exceptions=False).output
    )
    monkeypatch.setenv("VIBESWEEP_WORK", ran.work)
    typed.invoke(app, ["export", "away", "--out", "voice"], catch_exceptions=False)
    assert (tmp_path / "voice" / "config.json").is_file()
    said = ["synthesize", str(ran.folder.best), "--text", "Good evening.", "--out", "x.wav"]
    typed.invoke(app, said, catch_exceptions=False)
    assert (tmp_path / "x.wav").stat().st_size > 20_000


def test_its_name_is_taken_there(ran: Ran) -> None:
    with ran.folder.space.fetched() as path:
        sweep = load_space(path)
    with pytest.raises(SweepError, match="there is a sweep named away already"):
        run_sweep(sweep, "away", work=ran.work)


def test_a_stream_from_the_store_gives_what_memory_does(bucket: str, tmp_path: Path) -> None:
    base, here = tiny.write_base(tmp_path / "base"), tiny.write_shards(tmp_path / "shards")
    there = StoragePath.of(bucket.format("streamed"))
    upload_folder(here, there, MANIFEST_FILE)
    settings = TrialSettings(method="full", learning_rate=1e-3, batch_clips=4)
    kept, streamed = (
        WorkerContext.open(ModelRef.parse(str(base)), here, World()),
        WorkerContext.open(ModelRef.parse(str(base)), there, World(), max_clip_bytes=0),
    )
    assert isinstance(streamed.feed, StreamFeed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    losses = [
        [step.loss for step in TrialRun(context, settings, 4).advance(4).curve]
        for context in (kept, streamed)
    ]
    torch.set_num_threads(threads)
    assert losses[0] == losses[1]


DRIVER = """
import sys
from dataclasses import replace
from rich.console import Console
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.run import run_sweep
from optuna.distributions import FloatDistribution

work, base, shards = sys.argv[1:]
sweep = Sweep({"learning_rate": FloatDistribution(1e-4, 1e-3)}, corpus=shards, model=base,
              settings=TrialSettings(batch_clips=4), budget=Budget(200_000, 5, 100_000),
              trials=2, lanes=1)
run_sweep(sweep, "killed", work=work, console=Console(width=200))
"""


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_what_it_had_reported(bucket: str, tmp_path: Path) -> None:
    base, shards = tiny.write_base(tmp_path / "base"), tiny.write_shards(tmp_path / "shards")
    folder = SweepFolder(StoragePath.of(bucket.format("work")) / "sweeps" / "killed")
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    command = [sys.executable, "-c", DRIVER, bucket.format("work"), str(base), str(shards)]
    with (tmp_path / "said").open("w") as said:
        driver = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)

    def reported() -> bool:
        return folder.holds_sweep() and any(trial.step >= 15 for trial in folder.read().trials)

    assert wait_until(lambda: reported() or driver.poll() is not None, 120.0), (
        tmp_path / "said"
    ).read_text()
    assert driver.poll() is None, (tmp_path / "said").read_text()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    record, best, _ = folder.best_checkpoint()
    assert record.state == SweepState.INTERRUPTED
    with fetched_folder(folder.place) as copy:
        (trial,) = optuna.load_study(
            study_name=STUDY_NAME, storage=study_storage(copy / "study.journal")
        ).trials
        told = read_reports(SweepFolder(copy))["step"]
    assert set(range(5, best.step + 1, 5)) <= set(told), "the log goes last"
    assert set(range(5, best.step + 1, 5)) <= set(trial.intermediate_values)
    assert (export(folder, tmp_path / "voice") / "config.json").is_file()
