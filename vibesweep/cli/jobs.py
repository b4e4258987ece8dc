"""Verbs that hand a sweep to a cluster's job server, and those that follow it there."""

from __future__ import annotations

import sys

from vibesweep.cli.application import Work, app, say_next
from vibesweep.cli.job_server import follow_job, submit_job
from vibesweep.cli.sweep_options import (
    Corpus,
    JobName,
    JobServer,
    MaxCost,
    MaxFailedFraction,
    MaxGpuHours,
    MaxHours,
    Model,
    Name,
    PricePerHour,
    RepeatBest,
    Set,
    SpaceFile,
    Track,
    Trials,
    WarmStart,
    loaded_sweep,
    run_options_of_a_job,
)


@app.command()
def submit(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    max_failed_fraction: MaxFailedFraction = None,
    fixed: Set = None,
    name: Name = None,
    work: Work = ".",
    track: Track = "",
    repeat_best: RepeatBest = None,
    warm_start: WarmStart = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    max_cost: MaxCost = None,
    price_per_hour: PricePerHour = None,
    address: JobServer = None,
) -> None:
    """Hand a sweep to a cluster's job server and leave it there.

    `run --address` does the same and shows its output.
    """
    sweep, options = loaded_sweep(
        space, corpus, model, trials, max_failed_fraction, fixed, repeat_best
    )
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.jobs.address import required_job_server

    allowance = Allowance(max_hours, max_gpu_hours, max_cost, price_per_hour)
    server = required_job_server(address)
    sweep_name = space.stem if name is None else name
    given = options | run_options_of_a_job(track, allowance, warm_start)
    submit_job(server, space, sweep, given, sweep_name, work)
    say_next("attach", sweep_name, "--address", server)


@app.command()
def attach(sweep: JobName, address: JobServer = None) -> None:
    """Show the output of a sweep that a job server runs.

    It begins at the beginning, and goes on until the sweep ends. Ctrl-C leaves the sweep alone.
    """
    from vibesweep.sweep.jobs.address import required_job_server

    follow_job(required_job_server(address), sweep)


@app.command()
def logs(sweep: JobName, address: JobServer = None) -> None:
    """Print the output so far of a job server's sweep."""
    from vibesweep.sweep.jobs.address import required_job_server
    from vibesweep.sweep.jobs.attach import logs as job_logs

    server = required_job_server(address)
    sys.stdout.write(job_logs(server, sweep))
