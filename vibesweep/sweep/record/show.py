"""Sweeps that have ended or still run, as tables for a terminal."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.record.progress import format_seconds, summary_of, table_of
from vibesweep.sweep.record.record import SweepRecord, list_sweeps


def sweeps_table(work: StorageAddress) -> RenderableType:
    """Every sweep in a folder that sweeps work in: state, trials, best loss, how long it took."""
    records = list_sweeps(work)
    if not records:
        return Text(f"no sweeps in {StoragePath.of(work)}")
    table = Table("sweep", "state", "trials", "best loss", "untouched base", "took", "model")
    for record in records:
        best = f"{record.best.best_loss_val:.4f}" if record.best else "-"
        base = "-" if record.base_loss_val is None else f"{record.base_loss_val:.4f}"
        took = format_seconds((record.ended_unix_s or time.time()) - record.started_unix_s)
        table.add_row(
            record.name,
            record.state,
            f"{len(record.trials)}/{record.sweep['trials']}",
            best,
            base,
            took,
            record.model,
        )
    return table


def sweep_table(record: SweepRecord) -> RenderableType:
    """One sweep: its trials, best first, and the sum of it."""
    lines = [
        f"{record.state}: {summary_of(record, time.time())}",
        f"model {record.model}, shards {record.shards}",
    ]
    reasons = [
        f"trial {trial.number} {trial.state}: {trial.reason}"
        for trial in record.trials
        if trial.reason
    ]
    return Group(table_of(record), Text("\n".join(lines + reasons)))
