"""The table of a sweep's trials, which shows every value whole however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from vibesweep.quality.measures import measure_named
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import (
    format_heard,
    format_loss,
    format_millions,
    format_value,
    ranked,
    swept_names,
)

STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.DIVERGED: "red",
    TrialState.FAILED: "bold red",
    TrialState.RUNNING: "cyan",
}
SPARE = ("rung", "trains", "steps/s")
"""Headings that a narrow terminal does without, the first one first."""
ROWS_SHOWN = 24
GAP = 1
"""Columns of the terminal that the box has between two of the table's, and at each edge."""


@dataclass(frozen=True)
class Row:
    """One trial, or the untouched base: a text for each heading."""

    cells: dict[str, str]
    style: str

    def under(self, heads: Sequence[str]) -> list[str]:
        """Return the texts for some headings."""
        return [self.cells[head] for head in heads]


class TrialsTable:
    """The trials, best first: a row each, or a column each where rows would not fit.

    What all trials share is no column; it stands beneath, in one line. A narrow terminal does
    without the spare headings before the table is turned on its side, with all of them.

    Attributes:
        rows: the trials that are shown.
        heads: the headings.
        shared: what the space suggested alike for every trial, as text.
    """

    def __init__(self, record: SweepRecord) -> None:
        """Lay out the trials of a record."""
        self._title = f"sweep {record.name}"
        names = swept_names(record)
        self.rows = list(_rows(record, names))
        alike = [name for name in names if _is_alike(record, name)]
        self.shared = {}
        for name in alike:
            value = record.trials[0].swept[name]
            self.shared[name] = format_value(value)
        swept = [name for name in names if name not in alike]
        heard = [measure_named(name).title for name in record.aim.measures]
        figures = ["step", "loss", "best", *heard, "steps/s"]
        self.heads = ["trial", "state", "rung", *swept, "trains", *figures]
        sizes = {trial.trained_parameters for trial in record.trials}
        if len(sizes) < 2:
            self.heads.remove("trains")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as the terminal allows."""
        heads = self._fitting_heads(options.max_width)
        if heads:
            yield self._upright(heads)
        else:
            yield from self._on_its_side(options.max_width)
        if self.shared:
            pairs = [f"{name}={value}" for name, value in self.shared.items()]
            listed = " ".join(pairs)
            yield Text(f"all trials: {listed}")

    def _fitting_heads(self, width: int) -> list[str]:
        """Return the headings with which rows fit; none if they never do."""
        heads = list(self.heads)
        for spare in ("", *SPARE):
            heads = [head for head in heads if head != spare]
            lines = [row.under(heads) for row in self.rows]
            if _width([heads, *lines]) <= width:
                return heads
        return []

    def _upright(self, heads: Sequence[str]) -> Table:
        table = _plain_table(self._title, heads)
        for row in self.rows:
            cells = row.under(heads)
            table.add_row(*cells, style=row.style)
        return table

    def _on_its_side(self, width: int) -> Iterator[Table]:
        """Make tables with a column for each trial, as many in each as fit."""
        title = self._title
        left = self.rows
        while left:
            count = max(self._fitting(left, width), 1)
            yield self._sideways(title, left[:count])
            left = left[count:]
            title = ""

    def _fitting(self, rows: Sequence[Row], width: int) -> int:
        """Return how many of these trials fit beside each other."""
        for count in range(1, len(rows) + 1):
            columns = self._columns(rows[:count])
            if _width(columns) > width:
                return count - 1
        return len(rows)

    def _columns(self, rows: Sequence[Row]) -> list[list[str]]:
        """Return the lines of a table on its side: a heading, then each trial's value."""
        lines = []
        for head in self.heads:
            values = [row.cells[head] for row in rows]
            lines.append([head, *values])
        return lines

    def _sideways(self, title: str, rows: Sequence[Row]) -> Table:
        first, *others = self._columns(rows)
        table = _plain_table(title, first)
        for column, row in zip(table.columns[1:], rows, strict=True):
            column.style = row.style
        for line in others:
            table.add_row(*line)
        return table


def _plain_table(title: str, heads: Sequence[str]) -> Table:
    table = Table(title=title or None, box=box.SIMPLE_HEAD, padding=0)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _width(lines: Sequence[Sequence[str]]) -> int:
    """Return how wide a table of these lines is."""
    width = GAP
    for column in zip(*lines, strict=True):
        longest = max(column, key=cell_len)
        width += cell_len(longest) + GAP
    return width


def _is_alike(record: SweepRecord, name: str) -> bool:
    """Tell whether several trials have the same value of what the space suggests."""
    first, *others = [trial.swept.get(name) for trial in record.trials] or [None]
    shown = repr(first)
    return bool(others) and all(repr(value) == shown for value in others)


def _rows(record: SweepRecord, names: Sequence[str]) -> Iterator[Row]:
    """Yield the untouched base, and then the best trials."""
    best = None if record.base_wins else record.best
    if record.base_loss_val is not None:
        style = "bold green" if record.base_wins else ""
        heard = dict.fromkeys([measure_named(name).title for name in record.aim.measures], "")
        yield Row(_cells_of_base(record.base_loss_val, names) | heard, style)
    for trial in ranked(record)[:ROWS_SHOWN]:
        style = "bold green" if trial is best else STYLES.get(trial.state, "")
        heard = {
            measure_named(name).title: format_heard(trial, name) for name in record.aim.measures
        }
        yield Row(_cells(trial, names) | heard, style)


def _cells(trial: TrialRecord, names: Sequence[str]) -> dict[str, str]:
    swept = {name: format_value(trial.swept.get(name, "")) for name in names}
    trains = format_millions(trial.trained_parameters) if trial.trained_parameters else ""
    return {
        **swept,
        "trial": str(trial.number),
        "state": trial.state.value,
        "rung": str(trial.rung),
        "trains": trains,
        "step": str(trial.step),
        "loss": format_loss(trial.loss_val),
        "best": _best_with_step(trial),
        "steps/s": f"{trial.steps_per_s:.1f}",
    }


def _cells_of_base(loss_val: float, names: Sequence[str]) -> dict[str, str]:
    """Make the row of the untouched base, which is the trial of no training."""
    loss = format_loss(loss_val)
    known = {"trial": "base", "state": "untouched", "step": "0", "loss": loss, "best": loss}
    return {**dict.fromkeys((*names, "rung", "trains", "steps/s"), ""), **known}


def _best_with_step(trial: TrialRecord) -> str:
    best = format_loss(trial.best_loss_val)
    if trial.best_loss_val is None:
        return best
    return f"{best} @{trial.best_step}"
