"""Sweeps that run or have ended, as tables for a terminal."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.record.folder import FoundSweeps
from vibesweep.sweep.record.front import front_table, metrics_of
from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.plan import comparison
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.seeds import seeds_line
from vibesweep.sweep.record.table import (
    clones_lines,
    format_seconds,
    ranked,
    summary_of,
    swept_names,
)
from vibesweep.sweep.record.trials_table import TrialsTable

STANDING = (
    "number",
    "state",
    "reason",
    "rung",
    "step",
    "loss_val",
    "loss_train",
    "best_loss_val",
    "best_step",
    "steps_per_s",
    "step_ms",
    "peak_memory_mb",
    "trained_parameters",
    "tokens",
    "row_tokens",
)
"""Fields of a trial's record, before what the space suggested."""
OF_CLONES = ("cloned_from", "cloned_at_step")
"""The same in a sweep that has clones."""


FORMULA_SIGNS = ("=", "+", "-", "@", "\t")


def sweeps_table(found: FoundSweeps, work: StorageAddress) -> RenderableType:
    """Show every sweep that worked in a folder: state, trials, best loss, how long it took.

    Sweeps whose record cannot be read come last, with the reason beneath the table.
    """
    if not found.records and not found.unreadable:
        return Text(f"no sweeps in {StoragePath.of(work)}")
    table = Table()
    for head in ("sweep", "state", "trials", "best loss", "untouched base", "took", "model"):
        # Names and paths go on in the next line; figures stay whole
        long = head in ("sweep", "model")
        table.add_column(head, overflow="fold", no_wrap=not long)
    for record in found.records:
        table.add_row(*_cells(record))
    for name in found.unreadable:
        table.add_row(name, "unreadable")
    reasons = [Text(str(error), style="yellow") for error in found.unreadable.values()]
    return Group(table, *reasons)


def sweep_table(record: SweepRecord) -> RenderableType:
    """Show one sweep: its trials, best first, and its summary."""
    lines = [
        f"{record.state}: {summary_of(record, time.time())}",
        f"model {record.model}, shards {record.shards}",
    ]
    worse = overfitting_line(record)
    if worse:
        lines.append(worse)
    seeds = seeds_line(record)
    if seeds:
        lines.append(seeds)
    lines += clones_lines(record)
    for trial in record.trials:
        if trial.reason:
            lines.append(f"trial {trial.number} {trial.state}: {trial.reason}")
    found: list[RenderableType] = [TrialsTable(record), Text("\n".join(lines))]
    compared = comparison(record)
    if record.aim.second in metrics_of(record):
        found.append(front_table(record, record.aim.second))
    if compared is not None:
        found.append(compared)
    return Group(*found)


def trials_csv(record: SweepRecord) -> str:
    """Write the trials as CSV, best first: how each stands, and what the space suggested for it."""
    text = io.StringIO()
    columns = trial_columns(record)
    table = csv.writer(text, lineterminator="\n")
    table.writerow([_no_formula(name) for name in columns])
    for row in trial_rows(record):
        values = [row.get(name) for name in columns]
        table.writerow([_no_formula(value) for value in values])
    return text.getvalue()


def trial_columns(record: SweepRecord) -> list[str]:
    """Name the columns of :func:`trial_rows`."""
    of_clones = OF_CLONES if record.clones else ()
    return [*STANDING, *of_clones, *swept_names(record)]


def trial_rows(record: SweepRecord) -> list[dict[str, Any]]:
    """Return a row for each trial, best first: how it stands, and what the space suggested."""
    rows = []
    for trial in ranked(record):
        stands = {name: getattr(trial, name) for name in (*STANDING, *OF_CLONES)}
        rows.append(stands | trial.swept)
    return rows


def _no_formula(value: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would take for a formula and run."""
    if not isinstance(value, str):
        return value
    plain = value.replace("\r", " ")  # which csv writes without quotes, and cannot read
    return f"'{plain}" if plain.lstrip(" ").startswith(FORMULA_SIGNS) else plain


def _cells(record: SweepRecord) -> list[str]:
    best = record.best
    ended_unix_s = record.ended_unix_s or time.time()
    return [
        record.name,
        record.state.value,
        f"{len(record.trials)}/{record.trials_wanted}",
        "-" if best is None else f"{best.best_loss_val:.4f}",
        "-" if record.base_loss_val is None else f"{record.base_loss_val:.4f}",
        format_seconds(ended_unix_s - record.started_unix_s),
        record.model,
    ]
