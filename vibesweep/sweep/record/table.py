"""A sweep's record as lines of text, and how its figures are written."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vibesweep.quality.measures import measure_named
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import ENDED, SweepState, TrialState

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
BROKEN_OFF = (TrialState.DIVERGED, TrialState.FAILED)
"""Ends that a reader is told of beside the best trial, whose checkpoint was written before."""


def summary_of(record: SweepRecord, now_unix_s: float) -> str:
    """Say in one line how many trials are where, which is the best, and how long it will take."""
    parts = [_counts(record)]
    best = record.best
    if best is not None:
        found = best_figures(record, best)
        ended = f", {best.state}" if best.state in BROKEN_OFF else ""
        by_ear = ", chosen by ear" if best.number == record.chosen else ""
        parts.append(f"best {found} (trial {best.number}{ended}{by_ear})")
    base = record.base_loss_val
    if base is not None:
        wins = ", which no trial beats" if record.base_wins else ""
        parts.append(f"untouched base {base:.4f}{wins}")
    if record.reached:
        parts.append(record.reached)
    left_s = _seconds_left(record, now_unix_s)
    if left_s is not None:
        parts.append(f"about {format_seconds(left_s)} left")
    return ", ".join(parts)


def line_of(trial: TrialRecord) -> str:
    """Say in one line where a trial stands."""
    parts = [
        f"trial {trial.number:3d} {trial.state:8s}",
        f"rung {trial.rung}",
        f"step {trial.step:4d}",
        f"loss {format_loss(trial.loss_val)}",
    ]
    if trial.best_loss_val is not None and trial.best_step != trial.step:
        best = format_loss(trial.best_loss_val)
        parts.append(f"(best {best} at step {trial.best_step})")
    if trial.step:
        parts.append(f"{trial.steps_per_s:.1f} steps/s")
    if trial.trained_parameters:
        parts.append(f"trains {format_millions(trial.trained_parameters)}")
    swept = [f"{name}={format_value(value)}" for name, value in trial.swept.items()]
    parts.append(" ".join(swept))
    for note in (clone_text(trial), trial.reason):
        if note:
            parts.append(f"({note})")
    return " ".join(parts)


def clones_lines(record: SweepRecord) -> list[str]:
    """Say of each clone, in a line, what it goes on from and what it has otherwise."""
    known = {trial.number: trial for trial in record.trials}
    lines: list[str] = []
    for trial in record.trials:
        if trial.cloned_from is None:
            continue
        line = f"trial {trial.number} was {clone_text(trial)}"
        parent = known.get(trial.cloned_from)
        changed = _changes(trial, parent) if parent else []
        lines.append(": ".join([line, *changed]))
    return lines


def clone_text(trial: TrialRecord) -> str:
    """Say what a clone goes on from; empty for a trial that is none."""
    if trial.cloned_from is None:
        return ""
    return f"cloned from trial {trial.cloned_from} at step {trial.cloned_at_step}"


def _changes(clone: TrialRecord, parent: TrialRecord) -> list[str]:
    """List a clone's settings that are not its parent's, in one text; nothing for none."""
    before = parent.settings
    changed = [
        f"{name}={format_value(value)}"
        for name, value in clone.settings.items()
        if value != before.get(name)
    ]
    return [" ".join(changed)] if changed else []


def swept_names(record: SweepRecord) -> list[str]:
    """Return every name that the space suggested for some trial, in order of first appearance."""
    names: dict[str, None] = {}
    for trial in record.trials:
        names.update(dict.fromkeys(trial.swept))
    return list(names)


def format_value(value: Any) -> str:
    """Write a number in three digits, and anything else as it is."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """Write a duration in h, min or s."""
    if seconds >= 5_400:
        return f"{seconds / 3_600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s"


def _counts(record: SweepRecord) -> str:
    total = record.trials_wanted
    states = Counter(trial.state for trial in record.trials)
    waiting = total - len(record.trials) + states[TrialState.WAITING]
    running = states[TrialState.RUNNING]
    ended = sum(states[state] for state in ENDED)
    lanes = "1 lane" if record.lanes == 1 else f"{record.lanes} lanes"
    return f"{ended} of {total} ended, {running} running on {lanes}, {waiting} waiting"


def _seconds_left(record: SweepRecord, now_unix_s: float) -> float | None:
    """Estimate how long the sweep will still run; ``None`` if nothing can be said.

    Of one that was resumed nobody knows for how long it did not run.
    """
    if record.resumed:
        return None
    total = record.trials_wanted
    ended = [trial for trial in record.trials if trial.state in ENDED]
    if record.state != SweepState.RUNNING or not 0 < len(ended) < total:
        return None
    started = min(trial.started_unix_s for trial in record.trials)
    seconds_per_trial = (now_unix_s - started) / len(ended)
    return seconds_per_trial * (total - len(ended))


def format_millions(parameters: int) -> str:
    """Write a number of parameters in millions."""
    return f"{parameters / 1e6:.2f} M"


def format_bytes(count: float) -> str:
    """Write a number of bytes in three digits, in the largest unit that fits."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"


def format_loss(loss: float | None) -> str:
    """Write a loss in four decimals, or a dash where there is none."""
    if loss is None:
        return "-"
    return f"{loss:.4f}"


def best_figures(record: SweepRecord, trial: TrialRecord) -> str:
    """Write what a trial is ranked by: its loss, and what was heard of the measures that count."""
    loss = format_loss(trial.best_loss_val)
    aim = record.aim
    if not aim.measures:
        return loss
    told = [f"loss {loss}"]
    for name in aim.measures:
        figure = format_heard(trial, name)
        told.append(f"{measure_named(name).title} {figure}")
    if not aim.is_kept(trial.best_heard):
        told.append("outside its limits")
    return ", ".join(told)


def format_heard(trial: TrialRecord, name: str) -> str:
    """Write a measure of a trial's best report in three digits, or a dash where there is none."""
    value = trial.best_heard.get(name)
    return "-" if value is None else f"{value:.3g}"


def ranked(record: SweepRecord) -> list[TrialRecord]:
    """Return the trials, best first; those without a loss come last."""
    best = record.best

    def place(trial: TrialRecord) -> tuple[bool, float]:
        return trial is not best, record.score(trial)

    return sorted(record.trials, key=place)
