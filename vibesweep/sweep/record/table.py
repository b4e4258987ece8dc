"""A sweep's record as lines and tables of text."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from rich import box
from rich.table import Table

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import ENDED, SweepState, TrialState

STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.DIVERGED: "red",
    TrialState.FAILED: "bold red",
    TrialState.RUNNING: "cyan",
}
ROWS_SHOWN = 24
BROKEN_OFF = (TrialState.DIVERGED, TrialState.FAILED)
"""Ends that a reader is told of beside the best trial, whose checkpoint was written before."""
WORSE_SHARE = 0.02
"""All losses are on the same noise, yet from report to report they waver by a percent or so."""
BEST_LOOKED_AT = 3
LOOKED_AT = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.STOPPED)
"""States of trials that can be judged by how they ended."""


def table_of(record: SweepRecord) -> Table:
    """Make the table of the trials, best first."""
    names = swept_names(record)
    heads = ("trial", "state", "rung", *names, "trains", "step", "loss", "best", "steps/s")
    title = f"sweep {record.name}"
    table = Table(*heads, title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    best = record.best
    for trial in _ranked(record)[:ROWS_SHOWN]:
        style = STYLES.get(trial.state, "")
        if trial is best:
            style = "bold green"
        table.add_row(*_cells(trial, names), style=style)
    return table


def summary_of(record: SweepRecord, now_unix_s: float) -> str:
    """Say in one line how many trials are where, which is the best, and how long it will take."""
    parts = [_counts(record)]
    best = record.best
    if best is not None:
        ended = f", {best.state}" if best.state in BROKEN_OFF else ""
        parts.append(f"best {_loss(best.best_loss_val)} (trial {best.number}{ended})")
    base = record.base_loss_val
    if base is not None:
        parts.append(f"untouched base {base:.4f}")
    left_s = _seconds_left(record, now_unix_s)
    if left_s is not None:
        parts.append(f"about {format_seconds(left_s)} left")
    return ", ".join(parts)


def overfitting_line(record: SweepRecord) -> str:
    """Say that the best trials got worse before their end, which is over-fitting, or nothing.

    The checkpoints hold the best step's weights all the same.
    """
    ended = [trial for trial in _ranked(record) if trial.state in LOOKED_AT]
    best = ended[:BEST_LOOKED_AT]
    worse = [trial for trial in best if _got_worse(trial)]
    most_got_worse = 2 * len(worse) > len(best)
    if not most_got_worse and best[:1] != worse[:1]:
        return ""
    if not worse:
        return ""
    first = worse[0]
    return (
        f"over-fitting: {len(worse)} of the best {len(best)} trials got worse before their end "
        f"(trial {first.number}: {_loss(first.best_loss_val)} at step {first.best_step}, "
        f"{_loss(first.loss_val)} at step {first.step}). The best step's weights are kept; "
        "fewer steps, a lower learning rate or more recordings would do better."
    )


def line_of(trial: TrialRecord) -> str:
    """Say in one line where a trial stands."""
    parts = [
        f"trial {trial.number:3d} {trial.state:8s}",
        f"rung {trial.rung}",
        f"step {trial.step:4d}",
        f"loss {_loss(trial.loss_val)}",
    ]
    if trial.best_loss_val is not None and trial.best_step != trial.step:
        parts.append(f"(best {_loss(trial.best_loss_val)} at step {trial.best_step})")
    if trial.step:
        parts.append(f"{trial.steps_per_s:.1f} steps/s")
    if trial.trained_parameters:
        parts.append(f"trains {_millions(trial)}")
    swept = [f"{name}={format_value(value)}" for name, value in trial.swept.items()]
    parts.append(" ".join(swept))
    if trial.reason:
        parts.append(f"({trial.reason})")
    return " ".join(parts)


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


def _best_first(trial: TrialRecord) -> float:
    best = trial.best_loss_val
    return math.inf if best is None else best


def _cells(trial: TrialRecord, names: list[str]) -> list[str]:
    cells = [str(trial.number), trial.state.value, str(trial.rung)]
    for name in names:
        value = trial.swept.get(name, "")
        cells.append(format_value(value))
    trains = ""
    if trial.trained_parameters:
        trains = _millions(trial)
    rate = f"{trial.steps_per_s:.1f}"
    losses = [_loss(trial.loss_val), _best_with_step(trial)]
    return [*cells, trains, str(trial.step), *losses, rate]


def _counts(record: SweepRecord) -> str:
    total = record.sweep["trials"]
    waiting = total - len(record.trials)
    states = Counter(trial.state for trial in record.trials)
    running = states[TrialState.RUNNING]
    ended = sum(states[state] for state in ENDED)
    lanes = record.lanes
    return f"{ended} of {total} ended, {running} running on {lanes} lanes, {waiting} waiting"


def _seconds_left(record: SweepRecord, now_unix_s: float) -> float | None:
    """Estimate how long the sweep will still run; ``None`` if nothing can be said."""
    total: int = record.sweep["trials"]
    ended = [trial for trial in record.trials if trial.state in ENDED]
    if record.state != SweepState.RUNNING or not 0 < len(ended) < total:
        return None
    started = min(trial.started_unix_s for trial in record.trials)
    seconds_per_trial = (now_unix_s - started) / len(ended)
    return seconds_per_trial * (total - len(ended))


def _millions(trial: TrialRecord) -> str:
    millions = trial.trained_parameters / 1e6
    return f"{millions:.2f} M"


def _loss(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.4f}"


def _best_with_step(trial: TrialRecord) -> str:
    best = _loss(trial.best_loss_val)
    return best if trial.best_loss_val is None else f"{best} @{trial.best_step}"


def _ranked(record: SweepRecord) -> list[TrialRecord]:
    return sorted(record.trials, key=_best_first)


def _got_worse(trial: TrialRecord) -> bool:
    """Tell whether a trial's last loss is above its best by more than losses waver."""
    last, best = trial.loss_val, trial.best_loss_val
    if last is None or best is None or trial.step <= trial.best_step:
        return False
    return last > best * (1 + WORSE_SHARE)
