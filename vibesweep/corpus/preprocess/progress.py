"""How encoding gets on, for people: a bar on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
        recordings: encoded or rejected, in this run or before.
        of: all recordings.
        speech_s: seconds of speech that this run has encoded.
        worked_s: seconds that this run's tasks worked, by stage.
    """

    recordings: int
    of: int
    speech_s: float = 0.0
    worked_s: Mapping[str, float] = field(default_factory=dict)

    def plus(self, part: PartSummary) -> Encoded:
        """With one more part."""
        worked = Counter(self.worked_s)
        worked.update(part.worked_s)
        return Encoded(
            self.recordings + part.recordings, self.of, self.speech_s + part.speech_s, worked
        )


@contextmanager
def shown(console: Console) -> Iterator[Callable[[Encoded], None]]:
    """Show what the function that it yields is told: recordings, hours of speech a minute and the time left."""
    columns = (
        TextColumn("encoding"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} recordings, {task.fields[speed]}"),
    )
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield _Teller(console, bar, bar.add_task("", total=None, speed=""))


class _Teller:
    def __init__(self, console: Console, bar: Progress, task: TaskID) -> None:
        self._console, self._bar, self._task = console, bar, task
        self._began = self._told = time.monotonic()
        self._at_first: int | None = None

    def __call__(self, encoded: Encoded) -> None:
        now = time.monotonic()
        if self._at_first is None:
            self._at_first, self._began = encoded.recordings, now
        hours, minutes = encoded.speech_s / 3_600, max(now - self._began, 1e-3) / 60
        speed = f"{hours:.2f} h of speech, {hours / minutes:.2f} h a minute"
        self._bar.update(self._task, completed=encoded.recordings, total=encoded.of, speed=speed)
        done = encoded.recordings - self._at_first
        if not self._console.is_terminal and now - self._told >= LINE_EVERY_S and done:
            left_min = minutes * (encoded.of - encoded.recordings) / done
            self._told = now
            self._console.print(
                f"{encoded.recordings} of {encoded.of} recordings, {speed}, {left_min:.1f} minutes left",
                highlight=False,
            )
