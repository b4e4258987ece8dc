"""The verb that runs a sweep, here or on a cluster's job server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vibesweep.cli.application import Work, app, names_in, say
from vibesweep.cli.job_server import follow_job, submit_job
from vibesweep.cli.run_here import SweepHere, run_here
from vibesweep.cli.sweep_options import (
    Corpus,
    JobServer,
    LongerTrials,
    MaxCost,
    MaxFailedFraction,
    MaxGpuHours,
    MaxHours,
    Model,
    Name,
    PricePerHour,
    RepeatBest,
    Resume,
    Set,
    SpaceFile,
    Track,
    Trials,
    WarmStart,
    loaded_sweep,
    run_options_of_a_job,
)
from vibesweep.errors import SweepError

if TYPE_CHECKING:
    from vibesweep.config import Sweep
    from vibesweep.sweep.record.folder import SweepFolder


@app.command()
def run(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    max_failed_fraction: MaxFailedFraction = None,
    fixed: Set = None,
    name: Name = None,
    work: Work = ".",
    resume: Resume = False,
    max_steps: LongerTrials = None,
    track: Track = "",
    repeat_best: RepeatBest = None,
    warm_start: WarmStart = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    max_cost: MaxCost = None,
    price_per_hour: PricePerHour = None,
    address: JobServer = None,
) -> None:
    """Run a space file's sweep, and take its best voice away.

    The best trial is exported and speaks, and a report is written. Given a cluster's job
    server, it runs there; its output comes here, and Ctrl-C leaves it alone.
    """
    say(f"checking {space}")  # the libraries behind it take seconds to load
    sweep, options = loaded_sweep(
        space, corpus, model, trials, max_failed_fraction, fixed, repeat_best
    )
    sweep_name = space.stem if name is None else name
    if max_steps is not None and not resume:
        fix = "a new sweep has the budget of its space; --resume makes that of an old one longer"
        raise SweepError("--max-steps is given without --resume", where=str(space), fix=fix)
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.jobs.address import job_server

    allowance = Allowance(max_hours, max_gpu_hours, max_cost, price_per_hour)
    server = job_server(address)
    if server is not None:
        longer = {} if max_steps is None else {"max-steps": max_steps}
        of_this_run = run_options_of_a_job(track, allowance, warm_start)
        given = options | {"resume": resume} | longer | of_this_run
        submit_job(server, space, sweep, given, sweep_name, work)
        follow_job(server, sweep_name)
        return
    folder = _folder_named(sweep_name, work)
    if resume:
        sweep = _as_it_began(sweep, options, folder, max_steps)
    asked = SweepHere(
        sweep=sweep,
        folder=folder,
        work=work,
        space=space,
        resume=resume,
        track=names_in(track),
        allowance=allowance,
        warm_start=tuple(warm_start or ()),
    )
    run_here(asked)


def _folder_named(name: str, work: str) -> SweepFolder:
    from vibesweep.storage import StoragePath
    from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name

    check_name(name)
    return SweepFolder(StoragePath.of(work) / SWEEPS / name)


def _as_it_began(
    sweep: Sweep, options: dict[str, Any], folder: SweepFolder, max_steps: int | None
) -> Sweep:
    """Take what the command line said when the sweep began, unless it says otherwise now."""
    from vibesweep.sweep.resume import as_it_began

    return as_it_began(sweep, folder, options, max_steps)
