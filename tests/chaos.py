"""Sweeps that are killed: a short one in a process of its own, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd

from tests import tiny
from tests.reports import read_reports
from vibesweep.config import Budget
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState
from vibesweep.sweep.record.states import FINISHED
from vibesweep.sweep.record.study import STUDY_NAME, study_storage

BUDGET = Budget(max_steps=24, grace_steps=4, reduction_factor=2)
TRIALS = 6
SPACE = f"""
from vibesweep import Budget, Sweep, TrialSettings


def space(trial):
    trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
    trial.suggest_categorical("lora_rank", [2, 4])


sweep = Sweep(
    space,
    corpus={{shards!r}},
    model={{base!r}},
    settings=TrialSettings(method="lora", batch_clips=4),
    budget=Budget({BUDGET.max_steps}, {BUDGET.grace_steps}, {BUDGET.reduction_factor}),
    trials={TRIALS},
    lanes=1,
)
"""
RUN = """
import sys
from pathlib import Path
from rich.console import Console
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.search.space_file import load_space

space, work, name, resume = sys.argv[1:]
run_sweep(load_space(Path(space)), name, work=work, console=Console(width=200),
          space_file=Path(space), resume=resume == "resume")
"""


@dataclass(frozen=True)
class Place:
    """Where sweeps run, and the environment of their processes."""

    work: Path
    environment: dict[str, str]

    @property
    def space(self) -> Path:
        """The space file of every sweep here."""
        return self.work / "space.py"

    def folder(self, name: str) -> SweepFolder:
        """Return a sweep's folder."""
        return SweepFolder(self.work / "sweeps" / name)


def make_place(work: Path, **environment: str) -> Place:
    """Write shards, a base and a space file."""
    shards = str(tiny.write_shards(work / "shards_made"))
    base = str(tiny.write_base(work / "base"))
    place = Place(work, {**os.environ, "PYTHONUNBUFFERED": "1", **environment})
    place.space.write_text(SPACE.format(shards=shards, base=base))
    return place


@contextmanager
def running(place: Place, name: str, *, resume: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run a sweep in a process group of its own, which does not outlive the block."""
    how = "resume" if resume else "new"
    command = [sys.executable, "-c", RUN, str(place.space), str(place.work), name, how]
    process = subprocess.Popen(
        command,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(place: Place, name: str, *, resume: bool = False) -> SweepRecord:
    """Run a sweep to its end and return its record."""
    with running(place, name, resume=resume) as process:
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    return place.folder(name).read()


def wait_for_reports(process: subprocess.Popen[str], reports: int) -> list[str]:
    """Read what a sweep says until it has told of so many reports."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        reports -= " steps/s " in line
        if reports <= 0:
            break
    return said


def kill(process: subprocess.Popen[str], how: Callable[[int, int], None] = os.kill) -> None:
    """Kill the driver, or by ``os.killpg`` its whole process group, and wait for its end."""
    how(process.pid, signal.SIGKILL)
    process.wait()


def what_is_wrong(folder: SweepFolder, undisturbed: SweepRecord) -> list[str]:
    """List what a sweep that was killed and resumed has lost or done twice."""
    record = folder.read()
    wrong = []
    if record.state != SweepState.DONE:
        wrong.append(f"it is {record.state}")
    ended = [trial.number for trial in record.trials if trial.state in FINISHED]
    if sorted(ended) != list(range(TRIALS)):
        wrong.append(f"trials {sorted(ended)} have ended")
    reports: pd.DataFrame = read_reports(folder)
    twice = reports[reports.duplicated(["number", "step"])]
    wrong += [f"trial {row.number} told step {row.step} twice" for row in twice.itertuples()]
    study = optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))
    if not all(trial.state.is_finished() for trial in study.trials):
        wrong.append("a trial still runs in Optuna's study")
    wrong += [
        f"trial {mine.number} has {mine.best_loss_val}, undisturbed {other.best_loss_val}"
        for mine, other in zip(record.trials, undisturbed.trials, strict=False)
        if (mine.number, mine.state, mine.step, mine.best_loss_val)
        != (other.number, other.state, other.step, other.best_loss_val)
    ]
    if len(study.trials) != TRIALS:
        wrong.append(f"{len(study.trials)} trials were suggested")
    return wrong
