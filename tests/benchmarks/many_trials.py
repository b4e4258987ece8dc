"""Ten thousand trials on 64 lanes of instant fake training: what the driver takes for each result.

    python -m tests.benchmarks.many_trials [--trials 0 1000 10000]

A sweep that has had so many trials is resumed for some hundred more. Everything that a sweep's
driver does at a result is the sweep's own: the search with Optuna's journal, ASHA, the log with
TensorBoard's curves, the table of a terminal, and the gauges. They are called as Ray Tune's
controller calls them, one result after another. Tune itself is left out: it has a process for each
trial that runs, and 64 of them need another machine. A trial's losses fall towards a level that its
settings decide; no time passes for training. The trials before are made up as tests.sweeps has
them, and none of them is measured.

The folder that a sweep of so many trials leaves is then listed, shown and reported as a user does,
each in a process of its own. Goals are for seconds of CPU: other work on the machine makes the
clock's longer.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import psutil
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from tests.benchmarks.measure import Measure, print_measures
from tests.sweeps import BASE_LOSS, BUDGET, SPACE, write_sweep
from vibesweep.config import Report, StepRecord, Sweep, TrialSettings
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.folder import SWEEPS
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.metrics import points_of
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.staged_folder import staged_folder_for
from vibesweep.sweep.record.standing import Standing
from vibesweep.sweep.record.states import outcome_of
from vibesweep.sweep.record.study import quiet_optuna, study_storage
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch

LANES = 64
MORE = 128
"""Trials that are measured."""
CURVE_STEPS = 2
"""Steps of a report's curve, which TensorBoard gets."""
MOST_RESULT_MS = 20.0
MOST_OPEN_S = 3.0
NAME = "many"


@dataclass
class Taken:
    """What the driver took.

    Attributes:
        results: seconds of each result, by the clock.
        suggestions: seconds of each suggestion.
        cpu_s: seconds of CPU in all of them.
        confirmed: how often the disk was asked to confirm a write.
        resume_s: seconds of CPU until the first suggestion.
        grown_mb: megabytes that the process has grown by.
    """

    results: list[float] = field(default_factory=list)
    suggestions: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    confirmed: int = 0
    resume_s: float = 0.0
    grown_mb: float = 0.0


class Driver:
    """A sweep's driver without Ray Tune around it."""

    def __init__(
        self, sweep: Sweep, folder: SweepFolder, log: SweepLog, former: Replay, lanes: int
    ) -> None:
        self.taken = Taken()
        self._search = SweepSearch(sweep, study_storage(folder.journal))
        self._scheduler: Any = StepAsha(sweep.budget)  # Ray wants its own classes
        self._log = log
        self._rng = np.random.default_rng(0)
        self._lanes = lanes
        self._left = more_trials(lanes)
        log.end_pruned(self._scheduler.replay(former.reports))
        self._search.resume(former)

    def run(self) -> None:
        """Keep all lanes busy until every trial has ended."""
        running: deque[tuple[Any, list[float]]] = deque()
        while self._left or running:
            while self._left and len(running) < self._lanes:
                running.append(self._start())
            trial, losses = running.popleft()
            began = time.perf_counter()
            goes_on = self._report(trial, losses)
            self.taken.results.append(time.perf_counter() - began)
            if goes_on:
                running.append((trial, losses))

    def _start(self) -> tuple[Any, list[float]]:
        self._left -= 1
        number = self._left
        began = time.perf_counter()
        config = self._search.suggest(f"tune_{number}")
        self.taken.suggestions.append(time.perf_counter() - began)
        trial = SimpleNamespace(config=config, trial_id=f"tune_{number}")
        self._scheduler.on_trial_add(None, trial)
        self._log.on_trial_start(0, [], trial)
        rate = config["swept"]["learning_rate"]
        level = 0.2 + 0.1 * math.log10(rate / 1e-3) ** 2 + 0.01 * self._rng.random()
        return trial, [level]

    def _report(self, trial: Any, losses: list[float]) -> bool:
        """Take a trial's next report; return whether it goes on."""
        level, *earlier = losses
        step = BUDGET.report_steps[len(earlier)]
        loss = level + (BASE_LOSS - level) * math.exp(-step / 6)
        losses.append(loss)
        result = result_of(step, loss, min(losses[1:]))
        self._log.on_trial_result(0, [], trial, result)
        decision = self._scheduler.on_trial_result(None, trial, result)
        if decision == TrialScheduler.CONTINUE and not result["done"]:
            self._search.on_trial_result(trial.trial_id, result)
            return True
        self._scheduler.on_trial_complete(None, trial, result)
        self._search.on_trial_complete(trial.trial_id, result)
        self._log.on_trial_complete(0, [], trial)
        return False


def result_of(step: int, loss: float, best: float) -> dict[str, Any]:
    """Return what a trial's actor hands to Ray Tune at a report."""
    first = step - CURVE_STEPS + 1
    curve = [StepRecord(at, loss, 1e-3, 1.0) for at in range(first, step + 1)]
    report = Report(
        step,
        loss,
        loss,
        10.0,
        tuple(curve),
        first_step_ago_s=1.0,
        trained_parameters=610_000,
        best_loss_val=best,
        best_step=step,
        lane="lane-0",
        device="cpu",
    )
    outcome = outcome_of(report, BUDGET)
    return {
        "step": step,
        "loss_val": loss,
        "best_loss_val": best,
        "rung": sum(step >= rung for rung in BUDGET.rung_steps),
        "report": dataclasses.asdict(report),
        "outcome": outcome,
        "reason": "",
        "errors": [],
        "done": outcome is not None,
    }


def more_trials(lanes: int) -> int:
    """Return how many trials are measured on so many lanes: each lane has two at least."""
    return max(MORE, 2 * lanes)


def run_sweep(work: Path, trials: int, lanes: int = LANES) -> Taken:
    """Resume a sweep that has had so many trials; return what its next ones took."""
    place = work / SWEEPS / NAME
    with mock.patch.object(os, "fsync"):  # a made-up past need not outlive the machine
        write_sweep(place, trials, lanes=lanes, state=SweepState.RUNNING)
    folder = SweepFolder(place)
    wanted = trials + more_trials(lanes)
    sweep = Sweep(SPACE, budget=BUDGET, trials=wanted, settings=TrialSettings(batch_clips=4))
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=160))
    standing = Standing()

    def show(now: SweepRecord) -> None:
        progress.show(now)
        screen.seek(0)
        screen.truncate()

    def tell(now: SweepRecord) -> None:
        list(points_of(now, standing))

    before_mb = own_mb()
    began = time.process_time()
    with ExitStack() as running:
        running.enter_context(claimed(folder, None, resume=True))
        staged = running.enter_context(staged_folder_for(folder, print, resume=True))
        running.enter_context(progress.shown())
        running.enter_context(quiet_optuna())
        former = staged.folder.replay()
        former.record.sweep["trials"] = sweep.trials
        log = SweepLog(staged, former.record, (show, tell), lambda _: None, former)
        driver = Driver(sweep, staged.folder, log, former, lanes)
        taken = driver.taken
        taken.resume_s = time.process_time() - began
        cpu_began = time.process_time()
        with mock.patch.object(os, "fsync", wraps=os.fsync) as confirm:
            driver.run()
        taken.cpu_s = time.process_time() - cpu_began
        taken.confirmed = confirm.call_count
        taken.grown_mb = own_mb() - before_mb
        log.close(SweepState.DONE)
    return taken


def own_mb() -> float:
    """Return this process's memory in megabytes."""
    return float(psutil.Process().memory_info().rss) / 1e6


def opened(work: Path, *command: str) -> float:
    """Return the seconds of CPU that a command takes, from its start to its end."""
    typed = [sys.executable, "-m", "vibesweep", *command, "--work", str(work)]
    environment = os.environ | {"COLUMNS": "160"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(typed, cwd=work, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measures(trials: int) -> list[Measure]:
    """Resume one sweep and measure it."""
    with tempfile.TemporaryDirectory(prefix="many-") as place:
        work = Path(place)
        taken = run_sweep(work, trials)
        curves = work / SWEEPS / NAME / "tensorboard"
        files = sum(path.is_file() for path in curves.rglob("*"))
        verbs = {"show": (NAME,), "list": (), "report": (NAME,)}
        seconds = {verb: opened(work, verb, *names) for verb, names in verbs.items()}
    results = len(taken.results)
    whole_s = sum(taken.results) + sum(taken.suggestions)
    of = f"after {trials:,} trials"
    milliseconds = {
        "a suggestion": 1e3 * statistics.fmean(taken.suggestions),
        "a result": 1e3 * statistics.fmean(taken.results),
    }
    found = [Measure(f"{of}: {name}, ms", value) for name, value in milliseconds.items()]
    found += [
        Measure(f"{of}: confirmed writes for each result", taken.confirmed / results),
        Measure(f"{of}: files of curves for each new trial", files / MORE),
        Measure(f"{of}: memory that the driver took, MB", taken.grown_mb),
        Measure(f"{of}: until resumed, s of CPU", taken.resume_s),
    ]
    found += [
        Measure(f"{of}: `{verb}`, s of CPU", value, MOST_OPEN_S, at_least=False)
        for verb, value in seconds.items()
    ]
    name = f"{of}: driver's time for each result with its share of suggestions, ms"
    each_ms = 1e3 * whole_s / results
    cpu_ms = 1e3 * taken.cpu_s / results
    found.append(Measure(name, each_ms))
    return [*found, Measure(f"{name} of CPU", cpu_ms, MOST_RESULT_MS, at_least=False)]


def main() -> None:
    """Run the sweeps and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[0, 1_000, 10_000])
    found = []
    for trials in parser.parse_args().trials:
        found += measures(trials)
    print_measures(f"{MORE} more trials on {LANES} lanes of instant training", found)


if __name__ == "__main__":
    main()
