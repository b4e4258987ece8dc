"""Verbs that stop, pause and resume a sweep from another terminal, and train a trial again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibesweep.cli.application import Work, app, names_in, say, work_option
from vibesweep.cli.run_here import SweepHere, go_on_with, run_here
from vibesweep.cli.sweep_options import JobServer, SweepName, Track
from vibesweep.errors import SweepError
from vibesweep.storage import StoragePath

if TYPE_CHECKING:
    from vibesweep.sweep.record import SweepFolder

Changed = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another value of a setting, name=value; repeat it."),
]
NewName = Annotated[str | None, typer.Option("--name", help="Name of the clone's sweep.")]
MaxSteps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the whole trial; the sweep's unless given.")
]
TrialName = Annotated[
    str | None, typer.Argument(help="One trial's number: it ends at its next report.")
]


@app.command()
def stop(
    sweep: SweepName, trial: TrialName = None, work: Work = ".", address: JobServer = None
) -> None:
    """End a sweep, or one trial of it; its results are kept.

    It ends as by Ctrl-C, wherever it runs.
    """
    from vibesweep.sweep.jobs.address import job_server

    server = job_server(address)
    if trial is not None:
        _stop_trial(_folder_of(sweep, work, server), trial)
    elif server is not None:
        from vibesweep.sweep.jobs.stop import stop as stop_job

        stop_job(server, sweep, say)
    else:
        from vibesweep.sweep.asking import ask_to_stop

        folder = _folder_of(sweep, work, server)
        record = ask_to_stop(folder, say)
        say(f"{record.name} is {record.state}: {folder.place}")


def _stop_trial(folder: SweepFolder, named: str) -> None:
    from vibesweep.sweep.asking import ask_to_stop_trial

    trial = ask_to_stop_trial(folder, named)
    say(f"trial {trial.number} ends at its next report; its checkpoint is kept")


@app.command()
def pause(sweep: SweepName, work: Work = ".", address: JobServer = None) -> None:
    """Have a sweep wait after the reports in hand.

    The states of its trials are saved. Its lanes keep their memory and compute nothing. To give the
    memory back too, stop it then; `resume` goes on after either.
    """
    from vibesweep.sweep.asking import ask
    from vibesweep.sweep.jobs.address import job_server
    from vibesweep.sweep.record.requests import Request, Wish

    ask(_folder_of(sweep, work, job_server(address)), Request(Wish.PAUSE))
    go_on = shlex.join(["resume", sweep, *work_option(work)])
    say(f"paused after the reports in hand; to go on: vibesweep {go_on}")


@app.command()
def resume(
    sweep: SweepName, work: Work = ".", track: Track = "", address: JobServer = None
) -> None:
    """Go on with a sweep that was paused, stopped or interrupted.

    One that is paused goes on where it runs; any other goes on here.
    """
    from vibesweep.sweep.asking import ask, is_running
    from vibesweep.sweep.jobs.address import job_server
    from vibesweep.sweep.record.requests import Request, Wish

    server = job_server(address)
    folder = _folder_of(sweep, work, server)
    if is_running(folder):
        ask(folder, Request(Wish.GO_ON))
        say("going on")
    elif server is not None:
        fix = f"`vibesweep run SPACE --name {folder.place.name} --resume --address {server}`"
        raise SweepError("its job has ended", where=str(folder.place), fix=f"{fix} goes on with it")
    else:
        go_on_with(folder, names_in(track))


@app.command()
def rerun(
    sweep: SweepName,
    trial: Annotated[str, typer.Argument(help="The trial's number.")],
    work: Work = ".",
) -> None:
    """Train one trial of a sweep again, and compare its losses."""
    from vibesweep.sweep.record import find_sweep
    from vibesweep.sweep.rerun import rerun as train_again

    compared = train_again(find_sweep(sweep, work), trial, say)
    if all(report.same for report in compared):
        say(f"all {len(compared)} reports are the same to the bit")
        return
    largest = max(abs(report.loss_val - report.loss_then) for report in compared)
    say(f"the largest difference is {largest:.2g}", style="yellow")


@app.command()
def clone(
    sweep: SweepName,
    trial: Annotated[str, typer.Argument(help="The trial's number.")],
    fixed: Changed = None,
    name: NewName = None,
    max_steps: MaxSteps = None,
    work: Work = ".",
    address: JobServer = None,
) -> None:
    """Train a trial on from where it is, with other settings; its steps count on.

    It joins its sweep, where that runs. With --name or --max-steps, or where it has ended, it is a
    sweep of its own, which begins with the trial's best weights.
    """
    from vibesweep.config import Sweep
    from vibesweep.sweep.asking import is_running
    from vibesweep.sweep.jobs.address import job_server
    from vibesweep.sweep.search.fixed import with_fixed

    source = _folder_of(sweep, work, job_server(address))
    changes = with_fixed(Sweep({}), fixed or []).fixed
    if name is not None or max_steps is not None or not is_running(source):
        _clone_as_sweep(source, trial, changes, name, max_steps, work)
        return
    from vibesweep.sweep.clone_inside import clone_inside

    made = clone_inside(source, trial, changes)
    goes_on = f"trial {trial} goes on from step {made.step} as a further trial of {sweep}"
    say(f"{goes_on}, in the next place that is free")


def _clone_as_sweep(
    source: SweepFolder,
    trial: str,
    changes: Mapping[str, Any],
    name: str | None,
    max_steps: int | None,
    work: str,
) -> None:
    """Train a trial on as a sweep of its own, here."""
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.clone import clone_of
    from vibesweep.sweep.record import SweepFolder
    from vibesweep.sweep.record.folder import SWEEPS, check_name
    from vibesweep.sweep.search.space_file import load_space

    made = clone_of(source, trial, changes, max_steps)
    new_name = name or made.name
    check_name(new_name)
    folder = SweepFolder(StoragePath.of(work) / SWEEPS / new_name)
    with made.as_file() as space:
        say(f"trial {trial} goes on from step {made.step} as the sweep {new_name}")
        run_here(SweepHere(load_space(space), folder, work, space, False, (), Allowance()))


def _folder_of(sweep: str, work: str, server: str | None) -> SweepFolder:
    """Return the folder of a sweep that runs here, or of one that a job server runs."""
    from vibesweep.sweep.record import SweepFolder, find_sweep

    if server is None:
        return find_sweep(sweep, work)
    from vibesweep.sweep.jobs.server import job_folder

    return SweepFolder(job_folder(server, sweep))
