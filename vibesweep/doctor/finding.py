"""What a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vibesweep.errors import VibesweepError


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Sweeps run, but something is slower than it might be, or missing for some of them."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of an examination.

    Attributes:
        subject: what was looked at, in a word or two.
        found: what was found, as a clause without a full stop.
        state: how bad it is.
        fix: what to do about it, as an instruction; empty where all is well.
    """

    subject: str
    found: str
    state: State = State.OK
    fix: str = ""


def note(subject: str, found: str, fix: str) -> Finding:
    """Make a finding that no sweep fails for."""
    return Finding(subject, found, State.NOTE, fix)


def problem(subject: str, found: str, fix: str) -> Finding:
    """Make a finding that sweeps fail for."""
    return Finding(subject, found, State.PROBLEM, fix)


def refused(subject: str, error: VibesweepError) -> Finding:
    """Make a problem of an error that a verb would end with."""
    found = f"{error.where}: {error.found}" if error.where else error.found
    return problem(subject, found, error.fix)
