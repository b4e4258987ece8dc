"""How little training a search needs: recorded learning curves, replayed through what a sweep uses.

    python -m tests.benchmarks.search_efficiency [--tasks DIR] [--workers 8] [--seats 1]
        [--seeds 20] [--methods NAME ...]

Printed is the mean normalised regret when as many evaluations are used up as 10, 30 and 100 whole
trainings have: (best loss seen so far - smallest loss in the table) / (median first loss - smallest
loss), at most 1, over all tasks and seeds, with its standard error over seeds. The headline is the
mean of the three with vibesweep's defaults. `--methods` runs some of the searches alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import optuna

from tests.benchmarks import replayed_methods as methods
from tests.benchmarks.learning_curves import CurveTable
from tests.benchmarks.measure import DATA, Measure, print_measures
from tests.benchmarks.replay import Method, Replay
from tests.benchmarks.syne_tune_methods import SYNE_TUNE, why_not

BUDGETS = (10, 30, 100)
GOALS = (0.18, 0.06, 0.03)
TASKS = DATA / "taskset"
OURS = "vibesweep"
MakeMethod = Callable[[CurveTable, int], Method]

METHODS: dict[str, MakeMethod] = {
    "random search": methods.random_search,
    "Ray's ASHA, random": methods.ray_asha_random,
    "Ray's ASHA, TPE": methods.ray_asha_tpe,
    "Optuna's TPE, Hyperband": methods.OptunaHyperband,
    **SYNE_TUNE,
    "vibesweep, good guesses": partial(methods.vibesweep_guessing, good=True),
    "vibesweep, bad guesses": partial(methods.vibesweep_guessing, good=False),
    OURS: methods.vibesweep_defaults,
}


def mean_regrets(
    make: MakeMethod, tables: Sequence[CurveTable], seeds: int, workers: int, seats: int
) -> np.ndarray:
    """Return the regrets [seeds, tasks, budgets]."""
    found = np.empty((seeds, len(tables), len(BUDGETS)))
    for seed in range(seeds):
        np.random.seed(seed)  # Ray's ASHA and Syne Tune draw from numpy's own generator
        for number, table in enumerate(tables):
            replay = Replay(table, seed)
            found[seed, number] = replay.regrets(make(table, seed), BUDGETS, workers, seats)
    return found


def measures_of(name: str, regrets: np.ndarray) -> list[Measure]:
    """Return the regret at each budget, its standard error, and the mean of all."""
    by_seed = regrets.mean(axis=1)
    errors = by_seed.std(axis=0, ddof=1) / np.sqrt(len(by_seed)) if len(by_seed) > 1 else None
    found = []
    for place, budget in enumerate(BUDGETS):
        goal = GOALS[place] if name == OURS else None
        what = f"{name}: regret at {budget} trainings"
        found.append(Measure(what, float(by_seed[:, place].mean()), goal, False))
        if errors is not None:
            found.append(Measure(f"{what}, standard error", float(errors[place])))
    mean_goal = sum(GOALS) / len(GOALS) if name == OURS else None
    found.append(Measure(f"{name}: mean of the regrets", float(regrets.mean()), mean_goal, False))
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=Path, default=TASKS, help="a folder of Parquet tables")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seats", type=int, default=1, help="trials that a worker trains together")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    return parser.parse_args()


def main() -> None:
    """Replay every table through every search and print the figures."""
    options = arguments()
    paths = sorted(options.tasks.glob("*.parquet"))
    if not paths:
        print(f"skipped: there are no tables of learning curves in {options.tasks}")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables = [CurveTable.read(path) for path in paths]
    found: list[Measure] = []
    for name in options.methods:
        reason = why_not() if name in SYNE_TUNE else None
        if reason:
            print(f"{name}: skipped, {reason}")
            continue
        began = time.perf_counter()
        regrets = mean_regrets(METHODS[name], tables, options.seeds, options.workers, options.seats)
        found += measures_of(name, regrets)
        by_task = zip(tables, regrets.mean(axis=(0, 2)), strict=True)
        listed = ", ".join(f"{table.task} {mean:.3f}" for table, mean in by_task)
        print(f"{name}: {time.perf_counter() - began:.0f} s; {listed}", flush=True)
    what = f"{options.workers} workers of {options.seats}, {options.seeds} seeds"
    print_measures(f"regret over {len(tables)} tasks, {what}", found)


if __name__ == "__main__":
    main()
