"""Verbs that run a sweep, here or on a cluster's job server, and those that follow it there."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibesweep.cli.application import (
    INTERRUPTED,
    Work,
    app,
    console,
    ctrl_c_says,
    error_console,
    names_in,
    say,
    say_next,
    user_error,
    with_hint,
)
from vibesweep.errors import StorageError, SweepError, VibesweepError

if TYPE_CHECKING:
    from vibesweep.config import Sweep
    from vibesweep.delivery.judge import Judged
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.record import SweepRecord
    from vibesweep.sweep.record.folder import SweepFolder

SpaceFile = Annotated[Path, typer.Argument(help="A Python file that defines `sweep = Sweep(...)`.")]
Corpus = Annotated[
    str | None, typer.Option(help="A corpus folder, a folder of shards, or demo; a path or URI.")
]
Model = Annotated[
    str | None, typer.Option(help="A base's name or folder, or vibevoice:<folder or hub id>.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Fix a setting, name=value, whatever the space suggests for it; repeat it.",
    ),
]
MaxFailedFraction = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="End the sweep once more than this fraction of its trials has failed.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the folder sweeps/NAME; the space file's name unless given."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the sweep of that name, which was interrupted or stopped; "
        "with a larger --trials, with one that has ended.",
    ),
]
Track = Annotated[
    str, typer.Option(help="Tell these of each trial too: mlflow, wandb, with a comma between.")
]
RepeatBest = Annotated[
    int | None,
    typer.Option(min=0, help="Run so many of the best trials again, with other seeds."),
]
WarmStart = Annotated[
    list[str] | None,
    typer.Option(help="An earlier sweep, whose trials inform the search; repeat it."),
]
MaxHours = Annotated[
    float | None, typer.Option(min=0, help="End this run after so many hours, to be resumed.")
]
MaxGpuHours = Annotated[
    float | None, typer.Option(min=0, help="The same, in hours of the GPUs that the lanes hold.")
]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="The same, in money: see --price-per-hour.")
]
PricePerHour = Annotated[
    float | None, typer.Option(min=0, help="What a GPU costs an hour, or a CPU without GPUs.")
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
    max_failed_fraction: MaxFailedFraction = None,
    fixed: Set = None,
    name: Name = None,
    work: Work = ".",
    resume: Resume = False,
    track: Track = "",
    repeat_best: RepeatBest = None,
    warm_start: WarmStart = None,
    max_hours: MaxHours = None,
    max_gpu_hours: MaxGpuHours = None,
    max_cost: MaxCost = None,
    price_per_hour: PricePerHour = None,
    address: JobServer = None,
) -> None:
    """Run the sweep that a space file defines, export its best trial, speak, and write a report.

    Given a cluster's job server, it runs there; its output comes here, and Ctrl-C leaves it alone.
    """
    say(f"checking {space}")  # the libraries behind it take seconds to load
    sweep, options = _load(space, corpus, model, trials, max_failed_fraction, fixed, repeat_best)
    sweep_name = space.stem if name is None else name
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.jobs.address import job_server

    allowance = Allowance(max_hours, max_gpu_hours, max_cost, price_per_hour)
    server = job_server(address)
    if server is None:
        if resume:
            sweep = _as_it_began(sweep, options, sweep_name, work)
        tracked = names_in(track)
        earlier = tuple(warm_start or ())
        _run_here(sweep, sweep_name, work, space, resume, tracked, allowance, earlier)
        return
    given = options | {"resume": resume} | _tracking(track) | _as_options(allowance, warm_start)
    _submit(server, space, sweep, given, sweep_name, work)
    _follow(server, sweep_name)


def _as_it_began(sweep: Sweep, options: dict[str, Any], name: str, work: str) -> Sweep:
    """Take what the command line said when the sweep began, unless it says otherwise now."""
    from vibesweep.storage import StoragePath
    from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name
    from vibesweep.sweep.resume import as_it_began

    check_name(name)
    return as_it_began(sweep, SweepFolder(StoragePath.of(work) / SWEEPS / name), options)


def go_on_with(folder: SweepFolder, track: tuple[str, ...]) -> None:
    """Run a sweep that was stopped or interrupted on, by the space that its folder keeps.

    Raises:
        SweepError: it cannot go on, or its folder keeps no space.
    """
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.resume import as_it_began
    from vibesweep.sweep.search.space_file import load_space

    if not folder.space.is_file():
        found = "the sweep's folder keeps no space"
        fix = "`run SPACE --name NAME --resume` with the file or program that it came from"
        raise SweepError(found, where=str(folder.place), fix=fix)
    work = str(folder.place.parent.parent)
    with folder.space.fetched() as space:
        sweep = as_it_began(load_space(space), folder, given=())
        _run_here(sweep, folder.place.name, work, space, True, track, Allowance(), ())


def _run_here(
    sweep: Sweep,
    name: str,
    work: str,
    space: Path,
    resume: bool,
    track: tuple[str, ...],
    allowance: Allowance,
    warm_start: tuple[str, ...],
) -> None:
    from vibesweep.storage import StoragePath
    from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name
    from vibesweep.sweep.record.states import SweepState

    check_name(name)
    folder = SweepFolder(StoragePath.of(work) / SWEEPS / name)
    _search(sweep, folder, work, space, resume, track, allowance, warm_start)
    record = folder.read()
    if record.state == SweepState.STOPPED and not record.reached:
        say(_stopped_line(record, folder, work), error_console, style="yellow")
        raise typer.Exit(INTERRUPTED)
    if record.best is not None:
        _deliver(folder)
    _report(folder)
    if record.best is not None:
        say_next("synthesize", str(folder.best), "--text", "TEXT", "--out", "FILE.wav")
    if record.base_wins:
        found = "no trial is better than the untouched base"
        fix = "what was exported is the best of the trials; train longer, or at other rates"
        say(f"warning: {found}: {fix}", error_console, style="yellow")
    if record.reached:
        say(_stopped_line(record, folder, work))


def _search(
    sweep: Sweep,
    folder: SweepFolder,
    work: str,
    space: Path,
    resume: bool,
    track: tuple[str, ...],
    allowance: Allowance,
    warm_start: tuple[str, ...],
) -> None:
    """Run the sweep; where the disk ends it, tell how to get at what it had found."""
    from vibesweep.sweep.early import check_sweep

    name = folder.place.name
    checked = check_sweep(sweep, name, work, say, resume=resume, space_file=space)
    from vibesweep.sweep.run import run_sweep  # imports Ray, which most mistakes need not wait for

    kept = "no trial had begun; the same command goes on with the clips that are encoded"
    try:
        with ctrl_c_says(kept):
            run_sweep(
                sweep,
                name,
                work=work,
                console=console,
                space_file=space,
                checked=checked,
                resume=resume,
                track=track,
                allowance=allowance,
                warm_start=warm_start,
            )
    except Exception as error:
        told = user_error(error)
        if not isinstance(told, StorageError):
            raise
        if not told.where:  # Optuna's journal, for one, does not say which file it was
            told = type(told)(told.found, where=str(folder.place), fix=told.fix)
        if _has_voice(folder):
            told = with_hint(told, _safe(folder))
        raise told from error


def _has_voice(folder: SweepFolder) -> bool:
    """Tell whether a trial has a checkpoint, as far as the record can be read."""
    try:
        return folder.read().best is not None
    except VibesweepError:
        return False


def _safe(folder: SweepFolder) -> str:
    return f"the voice is safe: `vibesweep export {folder.place} --out FOLDER` writes it"


def _stopped_line(record: SweepRecord, folder: SweepFolder, work: str) -> str:
    """Say what a sweep that was stopped has kept, and how to go on."""
    from vibesweep.sweep.record.states import TrialState

    cut_short = sum(trial.state == TrialState.STOPPED for trial in record.trials)
    ended = len(record.trials) - cut_short
    total = record.sweep["trials"]
    kept = f"`vibesweep show {folder.place}` shows it"
    if record.best is not None:
        kept += f", `vibesweep export {folder.place} --out FOLDER` writes the best so far"
    place = "" if work == "." else f" --work {work}"
    why = record.reached or "stopped"
    return (
        f"{why}: {ended} of {total} trials have ended, {cut_short} were cut short. "
        f"All that they found is kept: {kept}. "
        f"To go on: `vibesweep resume {record.name}{place}`."
    )


def _deliver(folder: SweepFolder) -> None:
    """Export the best trial and speak with it; where that fails, tell that nothing is lost."""
    from vibesweep.delivery.best import deliver_best, hand_over
    from vibesweep.sweep.record.states import SweepState

    with _told_that_it_is_safe(folder):
        bundle, sample = deliver_best(folder)
    judged = None
    record = folder.read()
    if record.state == SweepState.DONE or record.reached:
        judged = _judge(folder)
    if judged is not None and judged.preferred is not None:
        with _told_that_it_is_safe(folder):
            bundle, sample = hand_over(folder, judged.preferred)
    is_best = judged is None or judged.speaks
    say(f"best model: {bundle}" if is_best else f"smallest loss: {bundle}")
    if isinstance(sample, VibesweepError):
        # The sweep and its best model are there all the same
        say(f"no sample:  {sample}", error_console, style="yellow")
    else:
        say(f"hear it:    {sample}")
    if judged is not None:
        _say_what_was_heard(judged)


@contextmanager
def _told_that_it_is_safe(folder: SweepFolder) -> Iterator[None]:
    """Add to a user's error, and to Ctrl-C, how to get at the voice that was found."""
    try:
        with ctrl_c_says(_safe(folder)):
            yield
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        raise with_hint(told, _safe(folder)) from error


def _report(folder: SweepFolder) -> None:
    """Write the report; where that fails, the sweep and its voice are there all the same."""
    from vibesweep.delivery.report.write import write_report

    again = f"`vibesweep report {folder.place}` writes the report"
    try:
        with ctrl_c_says(again):
            page = write_report(folder)
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        say(f"no report:  {with_hint(told, again)}", error_console, style="yellow")
    else:
        say(f"report:     {page}")


def _judge(folder: SweepFolder) -> Judged | None:
    """Judge the voices by ear; where that is not possible, say why."""
    from vibesweep.delivery.judge import judge

    try:
        with ctrl_c_says(_safe(folder)):
            return judge(folder)
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        say(f"not judged by ear: {told}", error_console, style="yellow")
        return None


def _say_what_was_heard(judged: Judged) -> None:
    quality = judged.quality
    if quality.missing:
        say(quality.missing)
    say(f"by ear: {quality.verdict}", style=None if judged.speaks else "yellow")
    if judged.remark:
        say(judged.remark)


def _load(
    space: Path,
    corpus: str | None,
    model: str | None,
    trials: int | None,
    max_failed_fraction: float | None,
    fixed: list[str] | None,
    repeat_best: int | None,
) -> tuple[Sweep, dict[str, Any]]:
    """Load the space file's sweep, changed by the options; return it and the options given."""
    from vibesweep.sweep.search.space import check_fixed
    from vibesweep.sweep.search.space_file import load_space

    sweep, given = with_options(
        load_space(space),
        fixed,
        corpus=corpus,
        model=model,
        trials=trials,
        max_failed_fraction=max_failed_fraction,
    )
    check_fixed(sweep)
    if repeat_best is None:
        return sweep, given
    return dataclasses.replace(sweep, repeat_best=repeat_best), given | {"repeat-best": repeat_best}


def with_options(
    sweep: Sweep, fixed: list[str] | None, **options: Any
) -> tuple[Sweep, dict[str, Any]]:
    """Return a space file's sweep, changed by the options that are given, and these."""
    from vibesweep.sweep.search.fixed import with_fixed

    given = {name: value for name, value in options.items() if value is not None}
    changed = dataclasses.replace(sweep, **given)
    if not fixed:
        return changed, given
    return with_fixed(changed, fixed), given | {"set": fixed}


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
    """Hand a sweep to a cluster's job server, as `run --address` does, and leave it alone."""
    sweep, options = _load(space, corpus, model, trials, max_failed_fraction, fixed, repeat_best)
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.jobs.address import required_job_server

    allowance = Allowance(max_hours, max_gpu_hours, max_cost, price_per_hour)
    server = required_job_server(address)
    sweep_name = space.stem if name is None else name
    given = options | _tracking(track) | _as_options(allowance, warm_start)
    _submit(server, space, sweep, given, sweep_name, work)
    say_next("attach", sweep_name, "--address", server)


def _as_options(allowance: Allowance, warm_start: list[str] | None) -> dict[str, Any]:
    """Return the allowance and the earlier sweeps as a job takes them."""
    known = dataclasses.asdict(allowance).items()
    given = {name.replace("_", "-"): value for name, value in known if value is not None}
    return given | {"warm-start": warm_start or []}


def _tracking(track: str) -> dict[str, Any]:
    """Return the option as a job takes it; its host's environment says where the trackers are."""
    return {"track": track} if track else {}


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
