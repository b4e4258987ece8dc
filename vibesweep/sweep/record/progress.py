"""A running sweep on the terminal: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.standing import Standing
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import line_of, summary_of
from vibesweep.sweep.record.trials_table import TrialsTable

DRAWING_SHARE = 0.05
"""Share of the driver's time in which the table may be drawn."""


class Progress:
    """Shows a sweep's record whenever it has changed."""

    def __init__(self, console: Console) -> None:
        """Show on this console."""
        self._console = console
        self._live: Live | None = None
        self._shown: dict[str, tuple[TrialState, int]] = {}
        self._standing = Standing()
        self._drawing = threading.RLock()
        self._later: threading.Timer | None = None
        self._rested_s = 0.0
        self._record: SweepRecord | None = None
        self._note = ""

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Keep the live table open for as long as the block lasts, if there is a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            try:
                yield self
            finally:
                self._draw_what_waits()

    def say(self, line: str) -> None:
        """Print one line above the table."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def say_each(self, *lines: str) -> None:
        """Print the lines that are not empty."""
        for line in lines:
            if line:
                self.say(line)

    def show(self, record: SweepRecord) -> None:
        """Show the record as it stands."""
        self._record = record
        if self._live is None:
            self._say_changes(record)
            return
        with self._drawing:
            rest_s = self._rested_s - time.monotonic()
            if rest_s <= 0:
                self._draw(self._live, record)
            elif self._later is None:
                self._later = threading.Timer(rest_s, self._draw_what_waits)
                self._later.daemon = True
                self._later.start()

    def note(self, line: str) -> None:
        """Keep one line beneath the table, instead of the last; an empty one takes it away."""
        if line == self._note:
            return
        self._note = line
        if self._live is not None and self._record is not None:
            with self._drawing:
                self._draw(self._live, self._record)
        elif self._live is None and line:
            self.say(line)

    def _say_changes(self, record: SweepRecord) -> None:
        for trial in self._standing.update(record):
            stands = (trial.state, trial.step)
            if self._shown.get(trial.id) != stands:
                self._shown[trial.id] = stands
                self.say(line_of(trial))

    def _draw_what_waits(self) -> None:
        """Draw what has changed since the last drawing, if anything has."""
        with self._drawing:
            if self._later is None:
                return
            self._later.cancel()
            self._later = None
            if self._live is not None and self._record is not None:
                self._draw(self._live, self._record)

    def _draw(self, live: Live, record: SweepRecord) -> None:
        """Draw the table; then a rest, since a large one takes longer than a result."""
        began_s = time.monotonic()
        lines = [Text(summary_of(record, time.time()))]
        worse = overfitting_line(record)
        if worse:
            lines.append(Text(worse, style="yellow"))
        if self._note:
            lines.append(Text(self._note, style="yellow"))
        live.update(Group(TrialsTable(record), *lines), refresh=True)
        ended_s = time.monotonic()
        self._rested_s = ended_s + (ended_s - began_s) / DRAWING_SHARE
