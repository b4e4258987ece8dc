"""What the search itself takes for a result: a suggestion and its reports, after many trials.

    python -m tests.benchmarks.search_scale [--trials 100 1000 10000]

The study is kept in memory and has so many trials, a third of which came far. Then 20 trials more
are suggested, report, and end, through the searcher and the scheduler that a sweep uses. It is the
process's own time, so that other programs on the machine do not count.
"""

from __future__ import annotations

import argparse
import random
import time
from statistics import median
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import Budget
from vibesweep.sweep.search.scheduler import METRIC, TIME, StepAsha
from vibesweep.sweep.search.searcher import StepSearch

BUDGET = Budget(max_steps=270, grace_steps=10)
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-6, 1e-2, log=True),
    "weight_decay": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.3),
    "ema": FloatDistribution(0.9, 0.999),
    "lora_rank": IntDistribution(4, 64, log=True),
    "batch_clips": CategoricalDistribution([1, 2, 4, 8]),
    "optimizer": CategoricalDistribution(["adamw", "lion", "muon"]),
    "schedule": CategoricalDistribution(["cosine", "linear", "constant"]),
}
MEASURED = 20
GOAL_MS = 20.0


def former_trial(number: int, scheduler: StepAsha) -> FrozenTrial:
    """Make up a trial that has ended, and tell the scheduler of it."""
    draws = random.Random(number)
    reports = len(BUDGET.report_steps) if number % 3 == 0 else 1
    losses = {step: draws.random() for step in BUDGET.report_steps[:reports]}
    tuned: Any = SimpleNamespace(trial_id=f"former {number}", config={})
    for step, loss in losses.items():
        scheduler.on_trial_result(None, tuned, {METRIC: loss, TIME: step})
    scheduler.on_trial_complete(None, tuned, {METRIC: loss, TIME: step})
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(number)).ask(SPACE)
    return optuna.trial.create_trial(
        state=TrialState.PRUNED,
        params=asked.params,
        distributions=SPACE,
        intermediate_values=losses,
        value=min(losses.values()),
    )


def result_ms(trials: int) -> float:
    """Return the median milliseconds of a suggestion with a report and an end, after so many."""
    search = StepSearch(SPACE, max_steps=BUDGET.last_step, trials=trials + MEASURED)
    scheduler = StepAsha(BUDGET)
    search.study.add_trials(former_trial(number, scheduler) for number in range(trials))
    taken_ms = []
    for number in range(MEASURED):
        result = {METRIC: number / MEASURED, TIME: BUDGET.report_steps[0]}
        tuned: Any = SimpleNamespace(trial_id=f"new {number}", config={})
        began_s = time.process_time()
        search.suggest(tuned.trial_id)
        scheduler.on_trial_result(None, tuned, result)
        scheduler.on_trial_complete(None, tuned, result)
        search.on_trial_complete(tuned.trial_id, result)
        taken_ms.append((time.process_time() - began_s) * 1_000)
    return median(taken_ms)


def main() -> None:
    """Measure after each number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = []
    for trials in parser.parse_args().trials:
        what = f"ms a suggestion and its report, after {trials} trials"
        found.append(Measure(what, result_ms(trials), GOAL_MS, False))
    print_measures("the search itself", found)


if __name__ == "__main__":
    main()
