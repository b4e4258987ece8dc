"""Sweeps that are killed: a short one in a process of its own, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import optuna
import pandas as pd
import psutil
from ray.util.state import list_actors, list_placement_groups

from tests import tiny
from tests.reports import read_reports
from tests.waiting import wait_until
from vibesweep.config import Budget
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.states import FINISHED, GOING
from vibesweep.sweep.record.study import STUDY_NAME, study_storage

MARK = "OF_A_CHAOS_TEST"
"""The environment variable by which a sweep's processes are known."""
TEMPORARY = "tmp"
NOT_OURS = ("pymp-", "wandb-")
"""In names of temporary folders that others make at import and leave where they are killed:
Ray's dashboard, for sockets, and wandb, which Ray Tune imports where it is installed."""
PATIENCE_S = 400.0
"""How long may pass until something happens that must: on a machine with other work, Ray and torch
take minutes to come up."""
BUDGET = Budget(max_steps=24, grace_steps=4, reduction_factor=2)
TRIALS = 6
SPACE = """
from vibesweep import Budget, Sweep, TrialSettings


def space(trial):
    trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
    trial.suggest_categorical("lora_rank", [2, 4])


sweep = Sweep(
    space,
    corpus={shards!r},
    model={base!r},
    settings=TrialSettings(method="lora", batch_clips=4),
    budget=Budget({budget.max_steps}, {budget.grace_steps}, {budget.reduction_factor}),
    trials={trials},
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
    """Where sweeps run, and the environment of their processes.

    Attributes:
        work: their folder.
        environment: of their drivers.
        inside: says what a command begins with that is to run where drivers do.
    """

    work: Path
    environment: dict[str, str]
    inside: Callable[[], Sequence[str]] = tuple

    @property
    def space(self) -> Path:
        """The space file of every sweep here."""
        return self.work / "space.py"

    def said(self, name: str) -> Path:
        """Return the file of what a sweep has said."""
        return self.work / f"{name}.txt"

    def folder(self, name: str) -> SweepFolder:
        """Return a sweep's folder."""
        return SweepFolder(self.work / "sweeps" / name)


def make_place(work: Path, budget: Budget = BUDGET, **environment: str) -> Place:
    """Write shards, a base and a space file."""
    shards = str(tiny.write_shards(work / "shards_made"))
    base = str(tiny.write_base(work / "base"))
    own = {"PYTHONUNBUFFERED": "1", MARK: str(work), "TMPDIR": str(work / TEMPORARY)}
    place = Place(work, {**os.environ, **own, "RAY_TMPDIR": gettempdir(), **environment})
    (work / TEMPORARY).mkdir()
    space = SPACE.format(shards=shards, base=base, budget=budget, trials=TRIALS)
    place.space.write_text(space)
    return place


@contextmanager
def running(place: Place, name: str, *, resume: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sweep in a process group of its own, which does not outlive the block."""
    how = "resume" if resume else "new"
    program = [sys.executable, "-c", RUN, str(place.space), str(place.work), name, how]
    command = [*place.inside(), *program]
    with place.said(name).open("ab") as said:
        process = subprocess.Popen(
            command,
            env=place.environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finish(place: Place, name: str, *, resume: bool = False) -> SweepRecord:
    """Run a sweep to its end and return its record."""
    with running(place, name, resume=resume) as process:
        code = process.wait(timeout=PATIENCE_S)
        assert code == 0, place.said(name).read_text()
    return place.folder(name).read()


def wait_for_reports(
    place: Place, name: str, process: subprocess.Popen[bytes], reports: int
) -> bool:
    """Wait until a sweep has told of so many reports in all; False where it ends before."""
    wait_until(lambda: _reports(place, name) >= reports or process.poll() is not None, PATIENCE_S)
    return process.poll() is None


def _reports(place: Place, name: str) -> int:
    events = Path(str(place.folder(name).events))
    return events.read_bytes().count(b'"trial_reported"') if events.is_file() else 0


class Kill(StrEnum):
    """What is killed, by SIGKILL."""

    WORKER = "ray::RayTrainWorker"
    CONTROLLER = "ray::TrainController"
    TRIAL = "ray::LaneTrial"
    DRIVER = "the driver"
    GROUP = "the driver's process group"
    RAYLET = "raylet"
    """Of a Ray that the sweep has brought up itself."""


OF_A_SWEEP = (
    "LaneDispatcher",
    "LaneTrial",
    "PlacementGroupCleaner",
    "RayTrainWorker",
    "TrainController",
)
"""Classes of a sweep's actors. Ray's own keeper of Train's runs is one for the whole cluster."""
ITS_OWN = (Kill.WORKER, Kill.CONTROLLER, Kill.TRIAL)
"""Kills after which a sweep goes on by itself."""


def kill(process: subprocess.Popen[bytes], what: Kill) -> bool:
    """Kill something of a sweep, once it is there; wait for the driver's end where that is due.

    Args:
        process: the sweep's driver.
        what: processes of Ray are looked for among those that the driver or this process started.

    Returns:
        Whether something was killed: the sweep may have ended before.
    """
    if what is Kill.DRIVER:
        process.kill()
    elif what is Kill.GROUP:
        os.killpg(process.pid, signal.SIGKILL)
    elif not _kill_of_ray(process, what):
        return False
    if what not in ITS_OWN:
        process.wait(timeout=PATIENCE_S)
    return True


def _kill_of_ray(process: subprocess.Popen[bytes], what: Kill) -> bool:
    def is_due() -> bool:
        return bool(_processes(process, what)) or process.poll() is not None

    assert wait_until(is_due, PATIENCE_S), f"no {what} comes up"
    victims = _processes(process, what)
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    return bool(victims)


def _processes(driver: subprocess.Popen[bytes], what: Kill) -> list[psutil.Process]:
    roots = [psutil.Process(driver.pid)]
    if what is not Kill.RAYLET:  # this process's cluster is other tests' too
        roots.append(psutil.Process())
    found = []
    for root in roots:
        for process in root.children(recursive=True):
            with suppress(psutil.Error):
                command = process.cmdline()  # empty where it has ended and nobody has waited for it
                if command and Path(command[0]).name.startswith(what):
                    found.append(process)
    return found


def left_in(dashboard: str) -> set[str]:
    """Return sweeps' actors, and all placement groups, that are alive in a cluster."""
    alive = ("state", "=", "ALIVE")
    actors = list_actors(address=dashboard, filters=[alive], limit=1_000)
    groups = list_placement_groups(address=dashboard, limit=1_000)
    ours = [one for one in actors if one.class_name in OF_A_SWEEP]
    held = [one for one in groups if one.state != "REMOVED"]
    left = {f"actor {one.class_name} {one.actor_id}" for one in ours}
    return left | {f"placement group {one.placement_group_id}" for one in held}


@dataclass(frozen=True)
class Moment:
    """When what is killed: after so many reports in all, and so many seconds."""

    reports: int
    what: StrEnum
    delay_s: float = 0.0


def left_behind(place: Place) -> list[str]:
    """List what sweeps have left: processes, with their ports and memory, and temporary files.

    A process is known by its environment, which its children have from it. What Ray itself keeps of
    a session, its logs, lies elsewhere.
    """
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.environ().get(MARK) == str(place.work)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                left.append(f"process {process.pid} {process.name()}")
    files = [path.name for path in (place.work / TEMPORARY).iterdir()]
    ours = [name for name in files if not any(other in name for other in NOT_OURS)]
    return left + [f"temporary file {name}" for name in ours]


@dataclass(frozen=True)
class Killer:
    """How things are killed, and after which of them a sweep goes on by itself.

    Attributes:
        kill: kills something of the sweep of this driver, and waits for the driver's end where that
            is due; returns whether something was killed.
        goes_on: kills after which the sweep goes on by itself.
    """

    kill: Callable[[subprocess.Popen[bytes], Any], bool] = kill
    goes_on: Collection[StrEnum] = ITS_OWN


def run_with_kills(
    place: Place, name: str, moments: Iterable[Moment], killer: Killer | None = None
) -> list[StrEnum]:
    """Run a sweep to its end; after each kill that ends it, do what a user does: run it on.

    Args:
        place: where it runs.
        name: its name.
        moments: when what is killed.
        killer: how; by default processes of this host.

    Returns:
        The kills that were done before it had ended.
    """
    killer = killer or Killer()
    done: list[StrEnum] = []
    to_do = deque(moments)
    ended = False
    while not ended:
        folder = place.folder(name)
        resume = folder.holds_sweep()  # killed before, it has left nothing to resume
        if resume and _left_as(folder) == SweepState.DONE:  # killed after its last trial
            break
        with running(place, name, resume=resume) as process:
            killed = _kill_in_turn(place, name, process, to_do, killer)
            done += killed
            ended = not killed or killed[-1] in killer.goes_on
            if ended:
                code = process.wait(timeout=PATIENCE_S)
                assert code == 0, place.said(name).read_text()
    return done


def _left_as(folder: SweepFolder) -> SweepState:
    """Return the state of a sweep whose driver has died; from another host that takes a while."""
    assert wait_until(lambda: folder.read().state not in GOING, PATIENCE_S)
    return folder.read().state


def _kill_in_turn(
    place: Place,
    name: str,
    process: subprocess.Popen[bytes],
    to_do: deque[Moment],
    killer: Killer,
) -> list[StrEnum]:
    """Kill one thing after another, until the driver has ended or nothing is left to kill."""
    killed = []
    while to_do and wait_for_reports(place, name, process, to_do[0].reports):
        moment = to_do.popleft()
        time.sleep(moment.delay_s)
        if process.poll() is None and killer.kill(process, moment.what):
            killed.append(moment.what)
        if process.poll() is not None:
            break
    return killed


@dataclass(frozen=True)
class Damage:
    """What a sweep that was killed and resumed has lost or done twice, or otherwise than alone."""

    lost: tuple[str, ...]
    twice: tuple[str, ...]
    other: tuple[str, ...]

    def __str__(self) -> str:
        """List it; the empty string where nothing is wrong."""
        return "; ".join(self.lost + self.twice + self.other)


def damage(folder: SweepFolder, undisturbed: SweepRecord) -> Damage:
    """Compare a sweep that was killed and resumed with the same one, undisturbed."""
    record = folder.read()
    ended = {trial.number for trial in record.trials if trial.state in FINISHED}
    lost = [f"trial {number} is lost" for number in range(TRIALS) if number not in ended]
    study = optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))
    reports: pd.DataFrame = read_reports(folder)
    told_twice = reports[reports.duplicated(["number", "step"])]
    twice = [f"trial {row.number} told step {row.step} twice" for row in told_twice.itertuples()]
    if len(study.trials) != TRIALS or len(record.trials) != TRIALS:
        twice.append(f"{len(study.trials)} trials were suggested, {len(record.trials)} run")
    other = []
    if record.state != SweepState.DONE:
        other.append(f"it is {record.state}")
    if not all(trial.state.is_finished() for trial in study.trials):
        other.append("a trial still runs in Optuna's study")
    for mine, alone in zip(record.trials, undisturbed.trials, strict=False):
        if _outcome(mine) != _outcome(alone):
            other.append(f"trial {mine.number} is {_outcome(mine)}, undisturbed {_outcome(alone)}")
    return Damage(tuple(lost), tuple(twice), tuple(other))


def _outcome(trial: TrialRecord) -> tuple[str, int, float | None]:
    return trial.state.value, trial.step, trial.best_loss_val
