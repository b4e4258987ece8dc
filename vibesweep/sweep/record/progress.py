"""A sweep on the terminal: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import COMPLETE, DIVERGED, ENDED, FAILED, RUNNING, WAITING

STYLES = {COMPLETE: "green", DIVERGED: "red", FAILED: "bold red", RUNNING: "cyan"}
ROWS_SHOWN = 24


class Progress:
    """Shows a sweep's record whenever it has changed."""

    def __init__(self, console: Console) -> None:
        """Show on this console."""
        self._console = console
        self._live: Live | None = None
        self._told: dict[str, tuple[str, int]] = {}
        self._record: SweepRecord | None = None
        self._note = ""

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Hold the live table open, if there is a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield self

    def say(self, line: str) -> None:
        """Say one line above the table."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, record: SweepRecord) -> None:
        """Show the record as it stands."""
        self._record = record
        if self._live is not None:
            self._draw(self._live, record)
            return
        for trial in record.trials:
            if self._told.get(trial.id) != (trial.state, trial.step):
                self._told[trial.id] = (trial.state, trial.step)
                self.say(line_of(trial))

    def note(self, line: str) -> None:
        """Keep one line beneath the table, in place of the last; the empty one takes it away."""
        if line == self._note:
            return
        self._note = line
        if self._live is None:
            if line:
                self.say(line)
        elif self._record is not None:
            self._draw(self._live, self._record)

    def _draw(self, live: Live, record: SweepRecord) -> None:
        lines = [
            Text(summary_of(record, time.time())),
            *([Text(self._note, style="yellow")] if self._note else []),
        ]
        live.update(Group(table_of(record), *lines), refresh=True)


def table_of(record: SweepRecord) -> Table:
    """The trials, best first."""
    names = swept_names(record)
    heads = ("trial", "state", "rung", *names, "trains", "step", "loss", "steps/s")
    table = Table(*heads, title=f"sweep {record.name}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    best = record.best
    ranked = sorted(record.trials, key=lambda t: (t.best_loss_val is None, t.best_loss_val or 0.0))
    for trial in ranked[:ROWS_SHOWN]:
        style = "bold green" if trial is best else STYLES.get(trial.state, "")
        values = [format_value(trial.swept[name]) if name in trial.swept else "" for name in names]
        trains = f"{trial.trained_parameters / 1e6:.2f} M" if trial.trained_parameters else ""
        done = (trains, str(trial.step), _loss(trial), f"{trial.steps_per_s:.1f}")
        table.add_row(str(trial.number), trial.state, str(trial.rung), *values, *done, style=style)
    return table


def summary_of(record: SweepRecord, now_unix_s: float) -> str:
    """One line: how many trials are where, the best, the time left."""
    ended = sum(trial.state in ENDED for trial in record.trials)
    total = record.sweep["trials"]
    running = sum(trial.state == RUNNING for trial in record.trials)
    parts = [
        f"{ended} of {total} ended, {running} running on {record.lanes} lanes, {total - len(record.trials)} {WAITING}"
    ]
    if record.best is not None and record.best.best_loss_val is not None:
        parts.append(f"best {record.best.best_loss_val:.4f} (trial {record.best.number})")
    if record.base_loss_val is not None:
        parts.append(f"untouched base {record.base_loss_val:.4f}")
    if record.state == RUNNING and 0 < ended < total:
        first = min(trial.started_unix_s for trial in record.trials)
        parts.append(f"about {format_seconds((now_unix_s - first) / ended * (total - ended))} left")
    return ", ".join(parts)


def line_of(trial: TrialRecord) -> str:
    """One trial as a line of text."""
    values = " ".join(f"{name}={format_value(value)}" for name, value in trial.swept.items())
    reason = f" ({trial.reason})" if trial.reason else ""
    rate = f" {trial.steps_per_s:.1f} steps/s" if trial.step else ""
    size = f" trains {trial.trained_parameters / 1e6:.2f} M" if trial.trained_parameters else ""
    stands = f"trial {trial.number:3d} {trial.state:8s} rung {trial.rung} step {trial.step:4d} loss {_loss(trial)}"
    return f"{stands}{rate}{size} {values}{reason}"


def swept_names(record: SweepRecord) -> list[str]:
    """Every name that some trial's space suggested, in order of first appearance."""
    return list(dict.fromkeys(name for trial in record.trials for name in trial.swept))


def format_value(value: Any) -> str:
    """Numbers short, the rest as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def format_seconds(seconds: float) -> str:
    """As h, min or s."""
    if seconds >= 5_400:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _loss(trial: TrialRecord) -> str:
    return "-" if trial.best_loss_val is None else f"{trial.best_loss_val:.4f}"
