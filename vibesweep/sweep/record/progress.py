"""A running sweep on the terminal: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import line_of, summary_of
from vibesweep.sweep.record.trials_table import TrialsTable


class Progress:
    """Shows a sweep's record whenever it has changed."""

    def __init__(self, console: Console) -> None:
        """Show on this console."""
        self._console = console
        self._live: Live | None = None
        self._shown: dict[str, tuple[TrialState, int]] = {}
        self._record: SweepRecord | None = None
        self._note = ""

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Keep the live table open for as long as the block lasts, if there is a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield self

    def say(self, line: str) -> None:
        """Print one line above the table."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, record: SweepRecord) -> None:
        """Show the record as it stands."""
        self._record = record
        if self._live is not None:
            self._draw(self._live, record)
        else:
            self._say_changes(record)

    def note(self, line: str) -> None:
        """Keep one line beneath the table, instead of the last; an empty one takes it away."""
        if line == self._note:
            return
        self._note = line
        if self._live is not None and self._record is not None:
            self._draw(self._live, self._record)
        elif self._live is None and line:
            self.say(line)

    def _say_changes(self, record: SweepRecord) -> None:
        for trial in record.trials:
            stands = (trial.state, trial.step)
            if self._shown.get(trial.id) != stands:
                self._shown[trial.id] = stands
                self.say(line_of(trial))

    def _draw(self, live: Live, record: SweepRecord) -> None:
        lines = [Text(summary_of(record, time.time()))]
        worse = overfitting_line(record)
        if worse:
            lines.append(Text(worse, style="yellow"))
        if self._note:
            lines.append(Text(self._note, style="yellow"))
        live.update(Group(TrialsTable(record), *lines), refresh=True)
