"""How long steps get on: a bar on a terminal, a line now and then elsewhere, JSON for programs.

Whoever does a long step tells how far it is (:func:`telling`), and does not know who looks on; the
command line chooses that once (:func:`shown_on`).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0

_console: ContextVar[Console | None] = ContextVar("console", default=None)


Say = Callable[[str], None]
"""Takes a line for the user, such as one that warns."""


class Tell(Protocol):
    """Takes how far a step is."""

    def __call__(self, done: float, of: float | None = None, detail: str = "") -> None:
        """Take it.

        Args:
            done: how much is done.
            of: how much there is; None where nobody knows.
            detail: what else is to be said, in place of the rate.
        """


@contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Show all steps of the block on a console."""
    before = _console.set(console)
    try:
        yield
    finally:
        _console.reset(before)


@contextmanager
def telling(what: str, unit: str) -> Iterator[Tell]:
    """Give a function that is told how far a step is; steps inside of this one are not shown.

    Args:
        what: the step, such as ``encoding``.
        unit: what is counted, in the plural.
    """
    console = _console.get()
    before = _console.set(None)
    try:
        if console is None or console.quiet:
            yield _to_nobody
        elif console.is_terminal:
            with _bar(console) as bar:
                yield _Step(what, unit, _Bar(bar, what)).tell
        else:
            yield _Step(what, unit, _Lines(console)).tell
    finally:
        _console.reset(before)


class JsonLines(io.TextIOBase):
    """A file for a console: each line that is printed becomes a line of JSON."""

    def __init__(self, out: TextIO) -> None:
        """Write to this file."""
        self._out = out
        self._begun = ""

    def write(self, text: str) -> int:
        """Keep text until its line is whole."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self.record(line=line.rstrip())
        return len(text)

    def record(self, **facts: Any) -> None:
        """Write facts as a line of JSON, after the time."""
        text = json.dumps({"unix_s": round(time.time(), 3), **facts}, ensure_ascii=False)
        self._out.write(f"{text}\n")
        self._out.flush()


def _to_nobody(done: float, of: float | None = None, detail: str = "") -> None:
    pass


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[reached]}", markup=False),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class _Shown(Protocol):
    def show(self, facts: dict[str, Any], reached: str) -> None:
        """Show how far a step is, as facts and in words."""


class _Step:
    """Works out the rate and the time left."""

    def __init__(self, what: str, unit: str, shown: _Shown) -> None:
        self._what = what
        self._unit = unit
        self._shown = shown
        self._began_s = time.monotonic()
        self._first: float | None = None

    def tell(self, done: float, of: float | None = None, detail: str = "") -> None:
        """Show how far the step is."""
        now_s = time.monotonic()
        if self._first is None:  # what was done before counts for no rate
            self._first = done
            self._began_s = now_s
        seconds = max(now_s - self._began_s, 1e-3)
        a_second = (done - self._first) / seconds
        share = f"{done:.4g}" if of is None else f"{done:.4g} of {of:.4g}"
        parts = [f"{share} {self._unit}", detail or f"{60 * a_second:.3g} a minute"]
        facts = {"step": self._what, "done": done, "of": of, "unit": self._unit, "left_s": None}
        if of is not None and a_second:
            facts["left_s"] = round((of - done) / a_second, 1)
        self._shown.show(facts, ", ".join(parts))


class _Bar:
    """Shows a step on a terminal."""

    def __init__(self, bar: Progress, what: str) -> None:
        self._bar = bar
        self._task: TaskID = bar.add_task(what, total=None, reached="")

    def show(self, facts: dict[str, Any], reached: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=facts["done"], total=facts["of"], reached=reached)


class _Lines:
    """Shows a step as lines, one every so often."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_s = time.monotonic()

    def show(self, facts: dict[str, Any], reached: str) -> None:
        """Print a line, if it is time for one."""
        now_s = time.monotonic()
        if now_s - self._last_s < LINE_EVERY_S:
            return
        self._last_s = now_s
        if isinstance(self._console.file, JsonLines):
            self._console.file.record(**facts)
            return
        left_s = facts["left_s"]
        left = "" if left_s is None else f", {left_s / 60:.1f} minutes left"
        line = f"{facts['step']}: {reached}{left}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
