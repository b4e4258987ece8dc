"""Progress: a bar on a terminal, lines in a log, JSON for programs, nothing where it is quiet."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TextIO, cast

import pytest
from rich.console import Console

from vibesweep import progress
from vibesweep.progress import JsonLines, shown_on, telling


class Clock:
    """Time that a test moves."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 7.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def encode(console: Console, clock: Clock) -> None:
    """Do a step of 10 recordings, two of them in a former run, 20 s each."""
    with shown_on(console), telling("encoding", "recordings") as tell:
        for done in range(2, 11):
            tell(done, 10)
            with telling("inside", "things") as inner:
                inner(1, 2)
            clock.now_s += 20


def test_a_log_gets_a_line_every_half_minute(clock: Clock) -> None:
    log = io.StringIO()
    encode(Console(file=log), clock)
    first, second, *others = log.getvalue().splitlines()
    assert first == "encoding: 4 of 10 recordings, 3 a minute, 2.0 minutes left"
    assert second == "encoding: 6 of 10 recordings, 3 a minute, 1.3 minutes left"
    assert len(others) == 2


def test_a_terminal_gets_a_bar(clock: Clock) -> None:
    terminal = io.StringIO()
    encode(Console(file=terminal, force_terminal=True, width=120), clock)
    assert "10 of 10 recordings" in terminal.getvalue()
    assert "inside" not in terminal.getvalue()


def test_a_quiet_console_and_nobody_get_nothing(clock: Clock) -> None:
    log = io.StringIO()
    encode(Console(file=log, quiet=True), clock)
    with telling("encoding", "recordings") as tell:
        tell(1, 2)
    assert log.getvalue() == ""


def test_a_program_gets_lines_of_json(clock: Clock) -> None:
    log = io.StringIO()
    console = Console(file=cast(TextIO, JsonLines(log)))
    console.print("one\ntwo")
    encode(console, clock)
    one, two, first, *_ = map(json.loads, log.getvalue().splitlines())
    assert (one, two) == ({"unix_s": 7.0, "line": "one"}, {"unix_s": 7.0, "line": "two"})
    assert first["step"] == "encoding"
    assert (first["done"], first["of"], first["left_s"]) == (4, 10, 120.0)


@pytest.mark.parametrize("option", ["--quiet", "--json-log"])
def test_the_options_stand_before_the_verb(option: str) -> None:
    command = [sys.executable, "-m", "vibesweep", option, "list", "--work", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if option == "--quiet":
        assert done.stdout == ""
    else:
        assert json.loads(done.stdout)["line"] == "no sweeps in /nowhere"
