"""Very many short trials on one lane, one after another: does anything grow from trial to trial?

    python -m tests.benchmarks.soak [--trials 300]

It is a sweep as users run it, of a tiny model and four steps a trial. Twice a second the processes
are looked at that live as long as the sweep: its driver, the dispatcher, the lane's worker and the
trials' actor. Compared are the trials after the first tenth, in which caches fill, and the last:
memory, open files, threads, what Ray's object store holds, and the time from a trial's start to its
first step. Trials of eight settings come round, so that the later ones are as the earlier ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from rich.console import Console

from tests import tiny
from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.record import SweepFolder
from vibesweep.sweep.run import run_sweep

LOOK_S = 0.5
SHARE = 5
"""Compared are one fifth of the trials early on, and the last fifth."""
DRIVER = "the driver"
LONG_LIVED = ("ray::LaneDispatcher", "ray::LaneTrial", "ray::RayTrainWorker")
MOST_MORE_MEMORY = 0.05
MOST_MORE_HANDLES = 2.0
MOST_LONGER = 1.2


@dataclass(frozen=True)
class Look:
    """What a process held at a moment.

    Attributes:
        trials: how many had ended.
        process: which one it was.
        memory_mb: resident megabytes.
        files: open files and sockets.
        threads: its threads.
        store_mb: megabytes in Ray's object store, whosever they are.
    """

    trials: int
    process: str
    memory_mb: float
    files: int
    threads: int
    store_mb: float


@contextmanager
def looked_at(folder: SweepFolder) -> Iterator[list[Look]]:
    """Look at a sweep's processes again and again, in a thread, until the block ends."""
    looks: list[Look] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            looks.extend(looks_now(folder))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()


def looks_now(folder: SweepFolder) -> Iterator[Look]:
    """Look at each process that is there."""
    trials = ended_trials(folder)
    store_mb = object_store_mb()
    driver = psutil.Process()
    for process in (driver, *driver.children(recursive=True)):
        with suppress(psutil.Error):
            name = DRIVER if process == driver else long_lived_name(process)
            if name is not None:
                yield Look(
                    trials,
                    name,
                    process.memory_info().rss / 1e6,
                    process.num_fds(),
                    process.num_threads(),
                    store_mb,
                )


def long_lived_name(process: psutil.Process) -> str | None:
    """Return which of the sweep's own actors a process is, if any."""
    command = process.cmdline()
    title = command[0] if command else ""
    names = [name for name in LONG_LIVED if title.startswith(name)]
    return names[0].removeprefix("ray::") if names else None


def ended_trials(folder: SweepFolder) -> int:
    """Count the trials that have ended, by the sweep's log."""
    log = folder.events.local
    if log is None or not log.is_file():
        return 0
    return log.read_bytes().count(b'"trial_ended"')


def object_store_mb() -> float:
    """Return how many megabytes Ray's object store holds."""
    if not ray.is_initialized():
        return 0.0
    name = "object_store_memory"
    held = ray.cluster_resources().get(name, 0.0) - ray.available_resources().get(name, 0.0)
    return float(held) / 1e6


def measures(looks: list[Look], waits_s: list[float]) -> list[Measure]:
    """Compare the trials after the first tenth with the last ones; the headline last."""
    trials = len(waits_s)
    early = range(trials // 10, trials // 10 + trials // SHARE)
    late = range(trials - trials // SHARE, trials)
    found = [Measure("trials", trials)]
    growth = []
    for process in sorted({look.process for look in looks}):
        own = [look for look in looks if look.process == process]
        before = [look for look in own if look.trials in early]
        after = [look for look in own if look.trials in late]
        if not before or not after:  # one of a trial that came and went
            continue
        memory = [statistics.median(look.memory_mb for look in some) for some in (before, after)]
        files = [statistics.median(look.files for look in some) for some in (before, after)]
        threads = [statistics.median(look.threads for look in some) for some in (before, after)]
        growth.append(memory[1] / memory[0] - 1.0)
        found += [
            Measure(f"{process}: MB, early", memory[0]),
            Measure(f"{process}: MB, late", memory[1]),
            Measure(f"{process}: more files", files[1] - files[0], MOST_MORE_HANDLES, False),
            Measure(f"{process}: more threads", threads[1] - threads[0], MOST_MORE_HANDLES, False),
        ]
    stores = [
        statistics.median(look.store_mb for look in looks if look.trials in some)
        for some in (early, late)
    ]
    turnarounds = [statistics.median(waits_s[index] for index in some) for some in (early, late)]
    return [
        *found,
        Measure("object store: more MB", stores[1] - stores[0], 1.0, at_least=False),
        Measure("from a trial's start to its first step, early, s", turnarounds[0]),
        Measure("the same, late, s", turnarounds[1], MOST_LONGER * turnarounds[0], at_least=False),
        Measure("largest growth of a process's memory", max(growth), MOST_MORE_MEMORY, False),
    ]


def main() -> None:
    """Run the sweep and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=300)
    trials = parser.parse_args().trials
    settings = [
        {"learning_rate": rate, "lora_rank": rank} for rate in (1e-4, 1e-3) for rank in (2, 4, 6, 8)
    ]
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        work = Path(place)
        ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False)
        sweep = Sweep(
            space=lambda trial: {
                "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True),
                "lora_rank": trial.suggest_categorical("lora_rank", [2, 4, 6, 8]),
            },
            corpus=str(tiny.write_shards(work / "shards_made")),
            model=str(tiny.write_base(work / "base")),
            settings=TrialSettings(batch_clips=4),
            budget=Budget(max_steps=4, grace_steps=4),
            try_first=tuple(settings * (trials // len(settings) + 1))[:trials],
            trials=trials,
            lanes=1,
        )
        folder = SweepFolder(work / "sweeps" / "soak")
        with looked_at(folder) as looks:
            run_sweep(sweep, "soak", work=work, console=Console(stderr=True))
        record = folder.read()
        ray.shutdown()
    waits_s = [
        trial.first_step_unix_s - trial.started_unix_s
        for trial in record.trials
        if trial.first_step_unix_s
    ]
    print_measures(f"{trials} short trials on one lane", measures(looks, waits_s))


if __name__ == "__main__":
    main()
