"""A sweep's plan as lines of text, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from vibesweep.sweep.plan.forecast import heard_line
from vibesweep.sweep.plan.planning import Needs, WholePlan
from vibesweep.sweep.record.plan import SweepPlan, format_hours, likely, likely_time
from vibesweep.sweep.record.table import format_bytes, format_millions, format_value
from vibesweep.sweep.search.survey import Problem, SpaceSurvey
from vibesweep.training.sizes import TrialSize


def plan_lines(whole: WholePlan, price_per_hour: float | None) -> Iterator[str]:
    """Say what a sweep will take.

    Args:
        whole: the plan.
        price_per_hour: what a GPU costs an hour, or a CPU where trials take no GPU.
    """
    plan = whole.plan
    needs = whole.needs
    yield from _survey_lines(whole.survey)
    many = "lane" if plan.lanes == 1 else "lanes"
    holds = f"{plan.devices:g} {plan.unit}"
    yield f"trials:     {plan.trials} on {plan.lanes} {many} of {holds} ({whole.lanes_from})"
    corpus = whole.corpus
    heard = heard_line(whole.sweep.budget, corpus.clips, corpus.speech_s, whole.typical)
    yield f"budget:     {heard}"
    yield f"trains:     {_trained(needs.smallest, needs.largest)}"
    yield f"reach:      {_reaching(plan)}"
    steps = likely(f"about {plan.steps:.0f}", [f"{steps:.0f}" for steps in plan.likely_steps])
    yield f"steps:      {steps}, of {plan.full_steps} with no trial stopped early"
    yield from _time_lines(whole, price_per_hour)
    yield f"disk:       {needs.disk}"
    yield f"memory:     {_memory(needs)}"


def _memory(needs: Needs) -> str:
    """Say what a lane holds, of which activations are not known before."""
    trials = "the largest trial"
    if needs.trials_of_a_lane > 1:
        trials = f"the largest {needs.trials_of_a_lane} trials at a time, or of as many as fit"
    memory = format_bytes(needs.memory_bytes)
    return f"{memory} a lane for weights, gradients and optimizer of {trials}; activations besides"


def plan_as_json(whole: WholePlan, price_per_hour: float | None) -> dict[str, Any]:
    """Return the figures of a plan."""
    plan = whole.plan
    hours = plan.device_hours
    survey = whole.survey
    return {
        **dataclasses.asdict(plan),
        "device_hours": hours,
        "cost": None if hours is None or price_per_hour is None else hours * price_per_hour,
        "full_steps": plan.full_steps,
        "full_device_hours": plan.full_hours,
        "grid_trials": survey.grid_trials,
        "needs": dataclasses.asdict(whole.needs),
        "corpus": dataclasses.asdict(whole.corpus),
        "draws": survey.draws,
        "errors": [_problem_as_json(problem) for problem in survey.problems],
    }


def _problem_as_json(problem: Problem) -> dict[str, Any]:
    return {
        "error": str(problem.error),
        "count": problem.count,
        "drawn_again": problem.drawn_again,
        "example": dict(problem.swept),
    }


def _survey_lines(survey: SpaceSurvey) -> Iterator[str]:
    if not survey.problems:
        yield f"space:      {survey.draws} settings drawn, and the model takes all of them"
        return
    refused = sum(problem.count for problem in survey.problems)
    yield f"space:      {survey.draws} settings drawn, {refused} of them in error:"
    for problem in survey.problems:
        values = [f"{name}={format_value(value)}" for name, value in problem.swept.items()]
        example = " ".join(values)
        what = _what_becomes_of(problem)
        yield f"            {problem.count} {what}, as {example}: {problem.error}"


def _what_becomes_of(problem: Problem) -> str:
    if problem.ends_the_sweep:
        return "for which no sweep begins"
    return "drawn again" if problem.drawn_again else "would fail"


def _trained(smallest: TrialSize, largest: TrialSize) -> str:
    least = format_millions(smallest.trained)
    most = format_millions(largest.trained)
    trained = most if least == most else f"{least} to {most}"
    return f"{trained} parameters"


def _reaching(plan: SweepPlan) -> str:
    first, *others = zip(plan.marks, plan.reaching, strict=True)
    parts = [f"{first[1]:.3g} trials to step {first[0]}"]
    parts += [f"{trials:.3g} to step {step}" for step, trials in others]
    return ", ".join(parts)


def _time_lines(whole: WholePlan, price_per_hour: float | None) -> Iterator[str]:
    plan = whole.plan
    hours = plan.device_hours
    full = plan.full_hours
    if plan.step_s is None or plan.wall_s is None or hours is None or full is None:
        yield (
            "time:       unknown here: name accelerator_type in TrialResources,"
            " or plan on a machine with such a GPU"
        )
        return
    source = "measured here" if plan.measured else "reckoned from the model's size, a rough guess"
    yield f"a step:     {plan.step_s:.2g} s, a validation {plan.validation_s:.2g} s ({source})"
    unit = f"{plan.unit}-hours"
    cost = "" if price_per_hour is None else f", which cost {hours * price_per_hour:.2f}"
    yield f"time:       {likely_time(plan, plan.wall_s)}, {format_hours(hours)} {unit}{cost}"
    saved = 100 * (1 - hours / full)
    line = f"saving:     {saved:.0f} % of {format_hours(full)} {unit} with no trial stopped early"
    grid = whole.survey.grid_trials
    if grid is not None:
        grid_hours = full / plan.trials * grid
        line += f"; a full grid of {grid} trials takes {format_hours(grid_hours)}"
    yield line
