"""The one command of the tests that brings up a Ray of its own: Ctrl-C ends it and all of it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState as OptunaState
from typer.testing import CliRunner

from tests.waiting import wait_until
from vibesweep.cli import app
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.sweep.record import SweepFolder, SweepState, TrialState
from vibesweep.sweep.record.study import STUDY_NAME, study_storage
from vibesweep.sweep.signals import STOPPING

SPACE = """
from vibesweep import Budget, Sweep, TrialSettings

def space(trial):
    trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True)

sweep = Sweep(space, corpus="talks", settings=TrialSettings(batch_clips=4),
              budget=Budget(20_000, 5, 10_000), trials=4, lanes=1)
"""


@dataclass(frozen=True)
class Stopped:
    """What a sweep that Ctrl-C stopped said, and where it lies."""

    work: Path
    code: int
    before: str
    after: str
    left: list[str]
    """Processes of its Ray that outlived it."""

    @property
    def folder(self) -> SweepFolder:
        return SweepFolder(self.work / "sweeps" / "long")


@pytest.fixture(scope="module")
def short() -> Iterator[str]:
    """Yield a short path, for a Ray's sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="vs", dir="/tmp") as folder:
        yield folder


@pytest.fixture(scope="module")
def stopped(short: str, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """Type ``run``, and Ctrl-C once a trial has reported."""
    work = tmp_path_factory.mktemp("own_ray")
    write_demo_corpus(work / "talks", recordings=6)
    (work / "long.py").write_text(SPACE)
    environment = os.environ | {"RAY_TMPDIR": short, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}
    environment.pop("RAY_ADDRESS", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "vibesweep", "run", "long.py"],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if "steps/s" in line:
            break
    process.send_signal(signal.SIGINT)
    after, _ = process.communicate(timeout=240)
    wait_until(lambda: not marked(short), 30.0)
    return Stopped(work, process.returncode, "".join(before), after, marked(short))


def marked(mark: str) -> list[str]:
    """Return processes whose environment carries this value of RAY_TMPDIR; a zombie has none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"RAY_TMPDIR={mark}\0".encode() in path.read_bytes():
                found.append((path.parent / "comm").read_text().strip())
    return found


def test_it_says_what_is_kept_and_how_to_go_on(stopped: Stopped) -> None:
    said = stopped.before + stopped.after
    assert stopped.code == 130, said
    assert "Traceback" not in said
    assert "Ray's dashboard: http://" in stopped.before
    assert STOPPING in stopped.after
    last = stopped.after.splitlines()[-1]
    assert "0 of 4 trials have ended, 1 were cut short" in last
    assert "vibesweep show" in last
    assert "vibesweep resume long`" in last


def test_its_ray_is_gone(stopped: Stopped) -> None:
    assert stopped.left == []


def test_the_record_holds_all_that_was_reported(stopped: Stopped) -> None:
    folder = stopped.folder
    record = folder.read()
    assert record.state == SweepState.STOPPED
    assert [trial.state for trial in record.trials] == [TrialState.STOPPED]
    _, best, checkpoint = folder.best_checkpoint()
    assert best.best_loss_val is not None
    assert math.isfinite(best.best_loss_val)
    assert {path.suffix for path in Path(str(checkpoint)).iterdir()} == {".safetensors", ".json"}
    study = optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))
    (trial,) = study.trials
    assert trial.state == OptunaState.RUNNING, "it goes on when the sweep is resumed"
    assert trial.intermediate_values
    assert len(pd.read_parquet(str(folder.reports))) == len(trial.intermediate_values)


def test_what_was_found_is_exported(stopped: Stopped) -> None:
    kept = stopped.work / "kept"
    verb = ["export", str(stopped.folder.place), "--out", str(kept)]
    CliRunner().invoke(app, verb, catch_exceptions=False)
    assert (kept / "config.json").is_file()
