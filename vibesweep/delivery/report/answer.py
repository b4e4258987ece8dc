"""What a reader wants to know first: the best settings, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from vibesweep.delivery.report.costs import Costs
from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.tables import Table
from vibesweep.quality.aim import listening_line
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState
from vibesweep.sweep.record.overfitting import WORSE_SHARE, overfitting_line
from vibesweep.sweep.record.plan import format_hours
from vibesweep.sweep.record.states import GOING
from vibesweep.sweep.record.table import best_figures, format_loss, format_seconds, format_value

EDGE_SHARE = 0.05
"""A best value in this share of its range, at either end, may have a better one outside."""
GOOD_SHARE = 0.25
"""The trials whose settings are told beside the best one's."""


@dataclass(frozen=True)
class Answer:
    """The head of a report.

    Attributes:
        headline: the outcome in a sentence.
        settings: the best trial's settings; ``None`` where no trial has a loss.
        certainty: what speaks for and against it, a sentence each.
        spent: what it cost and saved, a sentence each.
    """

    headline: str
    settings: Table | None
    certainty: Sequence[str]
    spent: Sequence[str]


def answer_of(facts: Facts, costs: Costs) -> Answer:
    """Put the outcome of a sweep into words."""
    validated = facts.validated
    return Answer(
        headline=headline_of(facts.record),
        settings=_settings(facts, validated) if validated else None,
        certainty=list(_certainty(facts, validated)) if validated else [],
        spent=list(_spent(facts, costs)),
    )


def headline_of(record: SweepRecord) -> str:
    """Say in one sentence which trial is the best, and how it stands to the untouched base."""
    best = record.best
    if best is None or best.best_loss_val is None:
        if record.state in GOING:
            return "No trial has been validated yet."
        return "No trial was trained as far as its first validation."
    base = record.base_loss_val
    if record.aim.measures and best.number != record.chosen:
        return f"Trial {best.number} is the best of those heard: {best_figures(record, best)}."
    found = f"validation loss {format_loss(best.best_loss_val)}"
    if base is None:
        return f"Trial {best.number} is the best so far: {found}."
    if record.base_wins:
        return (
            f"No trial is better than the untouched base, whose validation loss is {base:.4f}. "
            f"Trial {best.number} comes next, with {format_loss(best.best_loss_val)}."
        )
    if best.number == record.chosen:
        return (
            f"Trial {best.number} was chosen by ear, over trials of a smaller loss: {found}; "
            f"the untouched base's is {base:.4f}."
        )
    lower = 100 * (1 - best.best_loss_val / base)
    return (
        f"Trial {best.number} is the best: {found}, {lower:.0f} % below the untouched base's "
        f"{base:.4f}."
    )


def _settings(facts: Facts, validated: Sequence[TrialRecord]) -> Table:
    best = validated[0]
    good = validated[: max(1, math.ceil(GOOD_SHARE * len(validated)))]
    rows = []
    for name, value in best.swept.items():
        others = [trial.swept[name] for trial in good if name in trial.swept]
        searched = _range(facts.distributions.get(name))
        rows.append([name, format_value(value), _spread(others), searched])
    heads = ("setting", "best trial", f"best {len(good)} trials", "searched")
    return Table("The best settings", heads, rows)


def _spread(values: Sequence[Any]) -> str:
    """Write the values of several trials: from the least to the largest, or each choice."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        least, largest = format_value(min(values)), format_value(max(values))
        return least if least == largest else f"{least} to {largest}"
    return ", ".join(dict.fromkeys(format_value(value) for value in values))


def _range(distribution: BaseDistribution | None) -> str:
    match distribution:
        case CategoricalDistribution():
            return ", ".join(format_value(choice) for choice in distribution.choices)
        case FloatDistribution() | IntDistribution():
            low, high = format_value(distribution.low), format_value(distribution.high)
            return f"{low} to {high}" + (", log" if distribution.log else "")
    return "not known"


# How sure


def _certainty(facts: Facts, validated: Sequence[TrialRecord]) -> Iterator[str]:
    best = validated[0]
    yield _trained(best, facts.budget.last_step)
    aim = facts.record.aim
    if aim.measures:
        line = listening_line(aim, facts.budget)
        yield f"{line[0].upper()}{line[1:]}."
    elif len(validated) > 1 and best.number != facts.record.chosen:
        yield _lead(validated)
    yield from _at_edges(facts, best)
    worse = overfitting_line(facts.record)
    if worse:
        yield worse[0].upper() + worse[1:]
    if len({trial.settings.get("seed") for trial in validated}) == 1:
        yield (
            "Every trial was trained with the same seed, on the same data order and noise. "
            "How much another seed would change was not measured."
        )


def _trained(best: TrialRecord, max_steps: int) -> str:
    number = f"Trial {best.number}"
    if best.state == TrialState.COMPLETE:
        return f"{number} was trained to its end, step {best.step}."
    return f"{number} is {best.state.value} at step {best.step} of {max_steps}."


def _lead(validated: Sequence[TrialRecord]) -> str:
    first, second = (trial.best_loss_val or 0.0 for trial in validated[:2])
    waver = f"{100 * WORSE_SHARE:.0f} %"
    largest = first * (1 + WORSE_SHARE)
    close = [trial for trial in validated[1:] if (trial.best_loss_val or 0.0) <= largest]
    if not close:
        lead = 100 * (second / first - 1)
        return (
            f"The next best, trial {validated[1].number}, is {lead:.0f} % behind, "
            f"more than the {waver} or so by which losses waver."
        )
    numbers = ", ".join(str(trial.number) for trial in close[:5])
    which = f"trial {numbers}" if len(close) == 1 else f"{len(close)} trials ({numbers})"
    if len(close) > 5:
        which = f"{len(close)} trials ({numbers} and others)"
    verb = "is" if len(close) == 1 else "are"
    return (
        f"{which[0].upper()}{which[1:]} {verb} within {waver} of it, and losses waver by about as "
        "much: which of them is the best is not certain."
    )


def _at_edges(facts: Facts, best: TrialRecord) -> Iterator[str]:
    for name, value in best.swept.items():
        distribution = facts.distributions.get(name)
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            continue
        place = place_in(distribution, value)
        if place is not None and not EDGE_SHARE < place < 1 - EDGE_SHARE:
            end = "lower" if place < 0.5 else "upper"
            shown = format_value(value)
            yield (
                f"The best {name}, {shown}, lies at the {end} end of what was searched: "
                "a better one may lie beyond."
            )


def place_in(distribution: FloatDistribution | IntDistribution, value: float) -> float | None:
    """Return where a value lies from 0 to 1 in its range, in log where that is its scale."""
    low, high = float(distribution.low), float(distribution.high)
    if low == high:
        return None
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


# What it cost


def _spent(facts: Facts, costs: Costs) -> Iterator[str]:
    yield _held(facts, costs)
    if costs.full is None:
        return
    saved = 100 * (1 - costs.trained / costs.full)
    yield (
        f"Random search would have trained the same {costs.trials} trials to step "
        f"{facts.budget.last_step} in about {format_hours(costs.full)} {costs.unit}-hours "
        f"at the pace of each; stopping the worse ones early saved {saved:.0f} % of that."
    )


def _held(facts: Facts, costs: Costs) -> str:
    """Say how long the sweep held its lanes."""
    unit = f"{costs.unit}-hours"
    if costs.held is None:
        trained = format_hours(costs.trained)
        return (
            "The sweep was interrupted, so that nobody knows how long it held its lanes; "
            f"training and validation took {trained} {unit}."
        )
    record = facts.record
    ended = record.ended_unix_s or facts.made_unix_s
    took = format_seconds(ended - record.started_unix_s)
    lanes = "1 lane" if record.lanes == 1 else f"{record.lanes} lanes"
    verb = "The sweep has run for" if record.ended_unix_s is None else "The sweep took"
    held = f"{format_hours(costs.held)} {unit}"
    if not costs.trained:
        return f"{verb} {took} on {lanes}: {held}."
    share = 100 * costs.trained / costs.held
    return f"{verb} {took} on {lanes}: {held}, {share:.0f} % of them training."
