"""How far a sweep's trials come: its scheduler over made-up losses, on a simulated clock.

A sweep makes its own plan here once a lane has measured its pace, so no torch is imported.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from types import SimpleNamespace
from typing import Any, NamedTuple

from ray.tune.schedulers import TrialScheduler

from vibesweep.config import Budget, Sweep
from vibesweep.sweep.record.plan import SweepPlan
from vibesweep.sweep.search.scheduler import METRIC, TIME, StepAsha
from vibesweep.sweep.search.space import points_of
from vibesweep.training.lanes.messages import Pace

TRIAL_S = 0.5
"""Seconds from trial to trial on a warm lane: .2 to 1.1 were measured (docs/design/lanes.md)."""
FIRST_BEST_OF = 10
"""A point of try_first is taken to be as good as the best of so many that are drawn."""
MOST_SIMULATED = 2_000
"""Trials over all simulations: half a second."""
MOST_SIMULATIONS = 60
FEWEST_TO_SPREAD = 20
"""Simulations that say how far sweeps of one plan lie apart."""
LEFT_OUT = 0.05
"""Share of the simulations at either end that are less likely than what is told."""
MOST_REPORTS = 200_000
"""Reports over all simulations, for budgets with very many validations."""


@dataclass(frozen=True)
class Expected:
    """What a sweep is expected to train: means over simulations.

    Attributes:
        reaching: trials that come to each rung, and then to the end.
        steps: optimizer steps of all trials.
        lane_s: seconds in which lanes train, all lanes together.
        wall_s: seconds from the first trial's start to the last one's end.
        likely_steps: least and most steps of nine simulations in ten; nothing where few were made.
        likely_wall_s: the same of the seconds.
    """

    reaching: tuple[float, ...]
    steps: float
    lane_s: float
    wall_s: float
    likely_steps: tuple[float, ...] = ()
    likely_wall_s: tuple[float, ...] = ()


class _Arrival(NamedTuple):
    """A trial comes to one of its reports, by the report's number."""

    unix_s: float
    trial: int
    report: int


def plan_of_pace(sweep: Sweep, lanes: int, pace: Pace, *, measured: bool = True) -> SweepPlan:
    """Work out trials, steps and time of a sweep whose budget is in steps.

    Args:
        sweep: what is searched.
        lanes: how many there are.
        pace: of a lane.
        measured: whether that was measured, or reckoned.
    """
    budget = sweep.budget
    resources = sweep.resources
    good = min(len(points_of(sweep)), sweep.trials)
    at_once = sweep.trials_at_once(lanes)
    expected = expect(budget, sweep.trials, at_once, pace, TRIAL_S, good=good)
    known = pace.step_s is not None
    whole_s = TRIAL_S + seconds_to(budget.last_step, len(budget.report_steps), pace)
    return SweepPlan(
        trials=sweep.trials,
        lanes=lanes,
        unit="GPU" if resources.gpus_per_worker else "CPU",
        devices=resources.workers * (resources.gpus_per_worker or resources.cpus_per_worker),
        marks=(*budget.rung_steps, budget.last_step),
        reaching=expected.reaching,
        steps=expected.steps,
        step_s=pace.step_s,
        validation_s=pace.validation_s,
        measured=measured,
        wall_s=expected.wall_s if known else None,
        likely_steps=expected.likely_steps,
        likely_wall_s=expected.likely_wall_s if known else (),
        whole_trial_s=whole_s if known else None,
        made_unix_s=time.time(),
    )


def expect(
    budget: Budget, trials: int, at_once: int, pace: Pace, trial_s: float = 0.0, good: int = 0
) -> Expected:
    """Simulate a sweep whose trials keep their order of loss from rung to rung.

    Args:
        budget: in steps.
        trials: how many there are.
        at_once: trials that train at the same time.
        pace: of a lane; where no step was measured, one takes a second.
        trial_s: seconds that a lane takes from trial to trial.
        good: how many of the first are likely to be good.
    """
    reports = trials * len(budget.report_steps)
    allowed = min(MOST_SIMULATIONS, MOST_SIMULATED // trials, MOST_REPORTS // reports)
    count = max(1, allowed)
    draws = random.Random(0)
    runs = []
    for _ in range(count):
        losses = [draws.random() for _ in range(trials)]
        for number in range(good):
            losses[number] = min(draws.random() for _ in range(FIRST_BEST_OF))
        runs.append(_simulate(budget, losses, at_once, pace, trial_s))
    columns = zip(*(run.reaching for run in runs), strict=True)
    return Expected(
        reaching=tuple(fmean(column) for column in columns),
        steps=fmean(run.steps for run in runs),
        lane_s=fmean(run.lane_s for run in runs),
        wall_s=fmean(run.wall_s for run in runs),
        likely_steps=_likely([run.steps for run in runs]),
        likely_wall_s=_likely([run.wall_s for run in runs]),
    )


def _likely(values: Sequence[float]) -> tuple[float, ...]:
    """Return the least and the most of the values, the outermost left out."""
    count = len(values)
    if count < FEWEST_TO_SPREAD:
        return ()
    ordered = sorted(values)
    left_out = round(LEFT_OUT * count)
    return ordered[left_out], ordered[-1 - left_out]


def seconds_to(step: int, validations: int, pace: Pace) -> float:
    """Return how long one trial takes to a step, with this number of validations."""
    step_s = 1.0 if pace.step_s is None else pace.step_s
    training_s = step * step_s
    validating_s = validations * pace.validation_s
    return training_s + validating_s


def _simulate(
    budget: Budget, losses: list[float], at_once: int, pace: Pace, trial_s: float
) -> Expected:
    """Run one sweep: a seat that is free takes the next trial."""
    reports = budget.report_steps
    taken_s = []
    for count, step in enumerate(reports, 1):
        trained_s = seconds_to(step, count, pace)
        taken_s.append(trial_s + trained_s)
    scheduler = StepAsha(budget)
    waiting = iter(range(len(losses)))
    reached: list[int] = []
    lane_s = 0.0
    now_s = 0.0
    coming = [_Arrival(taken_s[0], trial, 0) for trial in islice(waiting, at_once)]
    while coming:
        now_s, trial, report = heapq.heappop(coming)
        step = reports[report]
        if step < budget.last_step and _goes_on(scheduler, trial, step, losses):
            more_s = taken_s[report + 1] - taken_s[report]
            again = _Arrival(now_s + more_s, trial, report + 1)
            heapq.heappush(coming, again)
            continue
        reached.append(step)
        lane_s += taken_s[report]
        another = next(waiting, None)
        if another is not None:
            first = _Arrival(now_s + taken_s[0], another, 0)
            heapq.heappush(coming, first)
    reaching = []
    for mark in (*budget.rung_steps, budget.last_step):
        came = [step for step in reached if step >= mark]
        reaching.append(float(len(came)))
    return Expected(tuple(reaching), sum(reached), lane_s, now_s)


def _goes_on(scheduler: StepAsha, number: int, step: int, losses: list[float]) -> bool:
    """Ask the scheduler, as Ray Tune would."""
    trial: Any = SimpleNamespace(trial_id=str(number), config={})
    result = {METRIC: losses[number], TIME: step}
    decision = scheduler.on_trial_result(None, trial, result)
    return decision == TrialScheduler.CONTINUE
