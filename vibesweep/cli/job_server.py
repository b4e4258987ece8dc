"""A sweep handed to a cluster's job server, and its output followed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vibesweep.cli.application import INTERRUPTED, say

if TYPE_CHECKING:
    from vibesweep.config import Sweep


def submit_job(
    server: str, space: Path, sweep: Sweep, options: dict[str, Any], name: str, work: str
) -> None:
    """Hand a sweep to a job server, with the options that were given, and say so."""
    from vibesweep.sweep.jobs.submit import submit as hand_over

    job = hand_over(server, space, sweep, name, work, options)
    say(f"job {job} runs sweep {name} at {server}")


def follow_job(server: str, name: str) -> None:
    """Show a job's output until it ends; Ctrl-C leaves it alone, and gives 130."""
    from vibesweep.sweep.jobs.attach import follow

    if not follow(server, name, _write, say):
        raise typer.Exit(INTERRUPTED)


def _write(output: str) -> None:
    """Write a job's output as it comes, into a pipe too."""
    sys.stdout.write(output)
    sys.stdout.flush()
