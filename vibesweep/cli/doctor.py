"""The verb that looks whether this machine can run sweeps."""

from __future__ import annotations

import typer

from vibesweep.cli.application import Work, app, say, say_next

PROBLEMS_FOUND = 1
STYLES = {"ok": None, "note": "yellow", "problem": "red"}
SUBJECT_WIDTH = 18


@app.command()
def doctor(work: Work = ".") -> None:
    """Look whether this machine can run sweeps.

    Where it cannot, what to do is said.
    """
    from vibesweep.doctor.examination import examine

    problems = 0
    for finding in examine(work):
        problems += finding.state == "problem"
        style = STYLES[finding.state]
        say(f"{finding.state:8} {finding.subject:{SUBJECT_WIDTH}} {finding.found}", style=style)
        if finding.fix:
            say(f"{'':8} {'':{SUBJECT_WIDTH}} -> {finding.fix}", style=style)
    if problems:
        say("1 problem" if problems == 1 else f"{problems} problems", style="red")
        raise typer.Exit(PROBLEMS_FOUND)
    say_next("run", "SPACE.py", "--corpus", "CORPUS")
