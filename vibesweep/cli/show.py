"""Verbs that show sweeps: as tables, as data, and as a report."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from vibesweep.cli.application import Work, app, console, say, say_next, work_option
from vibesweep.cli.sweep_options import SweepName


@app.command("list")
def list_all(work: Work = ".") -> None:
    """List the sweeps, with their state and best loss."""
    from vibesweep.sweep.record import list_sweeps
    from vibesweep.sweep.record.show import sweeps_table

    found = list_sweeps(work)
    console.print(sweeps_table(found, work))
    if found.records:
        say_next("show", found.records[-1].name, *work_option(work))


@app.command()
def show(
    sweep: SweepName,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as JSON.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the trials as CSV.")] = False,
    pareto: Annotated[
        str | None,
        typer.Option(
            help="Show the trials that none beats in both loss and this: step_ms, peak_memory_mb, "
            "trained_parameters, best_step, or a measure that they were heard by."
        ),
    ] = None,
    work: Work = ".",
) -> None:
    """Show a sweep's trials, best first."""
    from vibesweep.sweep.record import find_sweep
    from vibesweep.sweep.record.front import front_table
    from vibesweep.sweep.record.show import sweep_table, trials_csv
    from vibesweep.sweep.record.states import RESUMABLE

    if sum((as_json, as_csv, pareto is not None)) > 1:
        raise typer.BadParameter("choose one of --json, --csv and --pareto")
    record = find_sweep(sweep, work).read()
    if pareto is not None:
        console.print(front_table(record, pareto))
        return
    if as_csv:
        sys.stdout.write(trials_csv(record))
        return
    if not as_json:
        console.print(sweep_table(record))
        if record.state in RESUMABLE:
            say_next("resume", sweep, *work_option(work))
        if record.best is not None:
            say_next("export", sweep, *work_option(work), "--out", "FOLDER")
        return
    facts = dataclasses.asdict(record)
    facts["best"] = record.best.id if record.best else None
    text = json.dumps(facts, indent=1)
    sys.stdout.write(f"{text}\n")


@app.command()
def report(sweep: SweepName, work: Work = ".") -> None:
    """Write a sweep's report: one HTML file that opens offline. The sweep may still run."""
    from vibesweep.delivery.report.write import write_report
    from vibesweep.sweep.record import find_sweep

    say(f"report:     {write_report(find_sweep(sweep, work))}")
