"""Shows how encoding gets on: a bar on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from vibesweep.corpus.preprocess.parts import PartSummary

LINE_EVERY_S = 30.0


@dataclass(frozen=True)
class Encoded:
    """How far a run is.

    Attributes:
        recordings: how many are encoded or rejected, in this run or before.
        of: number of all recordings.
        speech_s: seconds of speech that this run has encoded.
    """

    recordings: int
    of: int
    speech_s: float = 0.0

    def plus(self, part: PartSummary) -> Encoded:
        """Add one more part."""
        return Encoded(self.recordings + part.recordings, self.of, self.speech_s + part.speech_s)


@contextmanager
def shown(console: Console) -> Iterator[Callable[[Encoded], None]]:
    """Yield a function that shows the progress that it is told.

    On a terminal a bar shows recordings, hours of speech a minute and the time left; elsewhere a
    line comes every 30 seconds.
    """
    columns = (
        TextColumn("encoding"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} recordings, {task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        yield _Teller(console, bar, bar.add_task("", total=None, speed="")).tell


class _Teller:
    """Shows progress on a bar or in lines."""

    def __init__(self, console: Console, bar: Progress, task: TaskID) -> None:
        self._console = console
        self._bar = bar
        self._task = task
        self._began_s = time.monotonic()
        self._last_line_s = self._began_s
        self._before: int | None = None

    def tell(self, encoded: Encoded) -> None:
        """Show how far the run is."""
        now_s = time.monotonic()
        if self._before is None:
            self._before = encoded.recordings
            self._began_s = now_s
        minutes = max(now_s - self._began_s, 1e-3) / 60
        hours = encoded.speech_s / 3_600
        speed = f"{hours:.2f} h of speech, {hours / minutes:.2f} h a minute"
        self._bar.update(self._task, completed=encoded.recordings, total=encoded.of, speed=speed)
        done = encoded.recordings - self._before
        line_due = now_s - self._last_line_s >= LINE_EVERY_S
        if done and line_due and not self._console.is_terminal:
            self._last_line_s = now_s
            left_min = minutes * (encoded.of - encoded.recordings) / done
            line = (
                f"{encoded.recordings} of {encoded.of} recordings, {speed},"
                f" {left_min:.1f} minutes left"
            )
            self._console.print(line, highlight=False)
