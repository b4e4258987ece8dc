"""Tables of a report, as text: what page.html sets in rows and cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vibesweep.config.costs import PEAK_MEMORY_MB, STEP_MS
from vibesweep.delivery.report.filling import filling_of
from vibesweep.quality.measures import measure_named
from vibesweep.quality.quality_file import Quality
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState
from vibesweep.sweep.record.table import (
    format_heard,
    format_loss,
    format_seconds,
    format_value,
    swept_names,
)

TRIALS_SHOWN = 50
NUMBERS_SHOWN = 12
WIDE_COLUMNS = 6
BROKEN = (TrialState.DIVERGED, TrialState.FAILED)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: what it shows, and what of it was left out.
        heads: the columns' heads.
        rows: cells, as many in each row as there are heads; the first one is the row's head.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def is_wide(self) -> bool:
        """Whether it may need more room than a text's lines."""
        return len(self.heads) > WIDE_COLUMNS


def table_of_trials(record: SweepRecord, best_first: Sequence[TrialRecord]) -> Table:
    """Tabulate the best trials with their settings."""
    names = swept_names(record)
    heard = record.aim.measures
    shown = best_first[:TRIALS_SHOWN]
    taken = []
    for head, written in TAKEN.items():
        if any(map(written, shown)):
            taken.append(head)
    rows = []
    if record.base_loss_val is not None:
        figures = len(heard) + len(taken)
        row = _row_of_base(record.base_loss_val, len(names), figures)
        rows.append(row)
    for trial in shown:
        row = _row_of(trial, names, heard, taken)
        rows.append(row)
    caption = f"All {len(shown)} trials with a validation loss, best first"
    if len(best_first) > len(shown):
        caption = (
            f"The best {len(shown)} of {len(best_first)} trials with a validation loss; "
            "every report of every trial is in trials.parquet, in the sweep's folder"
        )
    titles = [measure_named(name).title for name in heard]
    heads = ("trial", "state", *names, "steps", "best loss", "at step", *titles, *taken, "took")
    return Table(caption, heads, rows)


def _row_of_base(loss_val: float, settings: int, figures: int) -> list[str]:
    """Make the row of the untouched base, which has no settings and no figures but its loss."""
    no_settings = [""] * settings
    no_figures = [""] * figures
    loss = format_loss(loss_val)
    return ["base", "untouched", *no_settings, "0", loss, "0", *no_figures, ""]


def _row_of(
    trial: TrialRecord, names: Sequence[str], heard: Sequence[str], taken: Sequence[str]
) -> list[str]:
    """Make a trial's row: its settings, then how far it came, and what it took."""
    row = [str(trial.number), trial.state.value]
    for name in names:
        value = trial.swept.get(name, "")
        row.append(format_value(value))
    row.append(str(trial.step))
    row.append(format_loss(trial.best_loss_val))
    row.append(str(trial.best_step))
    for name in heard:
        row.append(format_heard(trial, name))
    for head in taken:
        written = TAKEN[head]
        row.append(written(trial))
    row.append(_took(trial))
    return row


def table_of_broken(record: SweepRecord) -> Table | None:
    """Tabulate why trials diverged or failed; ``None`` if none did."""
    numbers: dict[tuple[TrialState, str], list[str]] = defaultdict(list)
    for trial in record.trials:
        if trial.state in BROKEN:
            ending = (trial.state, trial.reason)
            numbers[ending].append(str(trial.number))
    if not numbers:
        return None
    rows = []
    for ending in sorted(numbers, key=lambda ending: -len(numbers[ending])):
        state, reason = ending
        trials = numbers[ending]
        count = str(len(trials))
        rows.append([reason, state.value, count, _listed(trials)])
    heads = ("reason", "state", "how many", "trials")
    return Table("Trials that broke off, by reason", heads, rows)


def table_of_voices(quality: Quality) -> Table:
    """Tabulate what was measured in each voice."""
    measures = quality.measures
    rows = []
    for voice in quality.rows:
        row = [voice.name]
        for measure in measures:
            value = voice.mean(measure.name)
            row.append("-" if value is None else f"{value:.3g}")
        rows.append(row)
    caption = "What was measured in the voices, on average over the texts"
    heads = ["voice", *(measure.title for measure in measures)]
    return Table(caption, heads, rows)


def _step_ms(trial: TrialRecord) -> str:
    return f"{trial.step_ms:.0f}" if trial.step_ms else ""


def _peak_mb(trial: TrialRecord) -> str:
    return f"{trial.peak_memory_mb:.0f}" if trial.peak_memory_mb else ""


def _filled(trial: TrialRecord) -> str:
    filling = filling_of(trial)
    return f"{100 * filling:.1f} %" if filling else ""


TAKEN = {STEP_MS.title: _step_ms, PEAK_MEMORY_MB.title: _peak_mb, "filling": _filled}
"""What a trial took, by the heads of columns that are left out where no trial has any."""


def _listed(numbers: Sequence[str]) -> str:
    shown = ", ".join(numbers[:NUMBERS_SHOWN])
    more = len(numbers) - NUMBERS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _took(trial: TrialRecord) -> str:
    if trial.ended_unix_s is None:
        return ""
    return format_seconds(trial.ended_unix_s - trial.started_unix_s)
