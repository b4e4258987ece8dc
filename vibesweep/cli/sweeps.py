"""Verbs that run a sweep, here or on a cluster's job server, and those that follow it there."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibesweep.cli.application import INTERRUPTED, Work, app, console, error_console, say
from vibesweep.errors import VibesweepError

if TYPE_CHECKING:
    from vibesweep.config import Sweep

SpaceFile = Annotated[Path, typer.Argument(help="A Python file that defines `sweep = Sweep(...)`.")]
Corpus = Annotated[
    str | None, typer.Option(help="A corpus folder, a folder of shards, or demo; a path or URI.")
]
Model = Annotated[
    str | None, typer.Option(help="A base's name or folder, or vibevoice:<folder or hub id>.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try.")]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the folder sweeps/NAME; the space file's name unless given."),
]
JobName = Annotated[str, typer.Argument(help="A sweep's name.")]
JobServer = Annotated[
    str | None,
    typer.Option(
        "--address",
        help=(
            "A cluster's job server, http://HEAD:8265; "
            "RAY_API_SERVER_ADDRESS and RAY_ADDRESS are looked at too."
        ),
    ),
]


@app.command()
def run(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    name: Name = None,
    work: Work = ".",
    address: JobServer = None,
) -> None:
    """Run the sweep that a space file defines, then export its best trial and speak with it.

    Given a cluster's job server, it runs there; its output comes here, and Ctrl-C leaves it alone.
    """
    sweep, options = _load(space, corpus, model, trials)
    sweep_name = name or space.stem
    from vibesweep.sweep.jobs.address import job_server

    server = job_server(address)
    if server is None:
        _run_here(sweep, sweep_name, work, space)
        return
    _submit(server, space, sweep, options, sweep_name, work)
    _follow(server, sweep_name)


def _run_here(sweep: Sweep, name: str, work: str, space: Path) -> None:
    from vibesweep.sweep.early import check_sweep

    checked = check_sweep(sweep, name, work, say)
    from vibesweep.sweep.run import run_sweep  # imports Ray, which most mistakes need not wait for

    folder = run_sweep(sweep, name, work=work, console=console, space_file=space, checked=checked)
    if folder.read().best is None:
        return
    from vibesweep.delivery.best import deliver_best

    bundle, sample = deliver_best(folder)
    say(f"best model: {bundle}")
    if isinstance(sample, VibesweepError):
        # The sweep and its best model are there all the same
        say(f"no sample:  {sample}", error_console, style="yellow")
    else:
        say(f"hear it:    {sample}")


def _load(
    space: Path, corpus: str | None, model: str | None, trials: int | None
) -> tuple[Sweep, dict[str, Any]]:
    """Load the space file's sweep, changed by the options; return it and the options given."""
    from vibesweep.sweep.search.space_file import load_space

    options = {"corpus": corpus, "model": model, "trials": trials}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    sweep = load_space(space)
    return dataclasses.replace(sweep, **given), given


def _submit(
    server: str, space: Path, sweep: Sweep, options: dict[str, Any], name: str, work: str
) -> None:
    from vibesweep.sweep.jobs.submit import submit as submit_job

    job = submit_job(server, space, sweep, name, work, options)
    say(f"job {job} runs sweep {name} at {server}")


def _follow(server: str, name: str) -> None:
    from vibesweep.sweep.jobs.attach import follow

    if not follow(server, name, _write, say):
        raise typer.Exit(INTERRUPTED)


def _write(output: str) -> None:
    """Write a job's output as it comes, into a pipe too."""
    sys.stdout.write(output)
    sys.stdout.flush()


@app.command()
def submit(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    name: Name = None,
    work: Work = ".",
    address: JobServer = None,
) -> None:
    """Hand a sweep to a cluster's job server, as `run --address` does, and leave it alone."""
    sweep, options = _load(space, corpus, model, trials)
    from vibesweep.sweep.jobs.address import required_job_server

    server = required_job_server(address)
    _submit(server, space, sweep, options, name or space.stem, work)


@app.command()
def attach(sweep: JobName, address: JobServer = None) -> None:
    """Show the output of a sweep that a job server runs, from its beginning.

    Ctrl-C leaves the sweep alone.
    """
    from vibesweep.sweep.jobs.address import required_job_server

    _follow(required_job_server(address), sweep)


@app.command()
def logs(sweep: JobName, address: JobServer = None) -> None:
    """Print the output so far of a sweep that a job server runs or ran."""
    from vibesweep.sweep.jobs.address import required_job_server
    from vibesweep.sweep.jobs.attach import logs as job_logs

    server = required_job_server(address)
    sys.stdout.write(job_logs(server, sweep))


@app.command()
def stop(sweep: JobName, address: JobServer = None) -> None:
    """End a sweep that a job server runs, as Ctrl-C ends one here: its results are kept."""
    from vibesweep.sweep.jobs.address import required_job_server
    from vibesweep.sweep.jobs.stop import stop as stop_job

    server = required_job_server(address)
    stop_job(server, sweep, say)
