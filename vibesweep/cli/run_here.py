"""A sweep that this process runs: the search, what follows it, and how to go on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vibesweep.cli.application import (
    INTERRUPTED,
    console,
    ctrl_c_says,
    error_console,
    say,
    say_next,
    user_error,
    with_hint,
    work_option,
)
from vibesweep.cli.outcome import deliver, voice_is_safe, write_the_report
from vibesweep.errors import StorageError, SweepError, VibesweepError

if TYPE_CHECKING:
    from vibesweep.config import Sweep
    from vibesweep.sweep.allowance import Allowance
    from vibesweep.sweep.record import SweepRecord
    from vibesweep.sweep.record.folder import SweepFolder


@dataclass(frozen=True)
class SweepHere:
    """A sweep, its folder, and what one run of it was asked for.

    Attributes:
        sweep: what is searched.
        folder: the sweep's own folder.
        work: the folder that holds sweeps and shards.
        space: the file that defines the sweep.
        resume: whether it goes on with an earlier run.
        track: trackers that are told of each trial.
        allowance: what this run may take.
        warm_start: earlier sweeps whose trials inform the search.
    """

    sweep: Sweep
    folder: SweepFolder
    work: str
    space: Path
    resume: bool
    track: tuple[str, ...]
    allowance: Allowance
    warm_start: tuple[str, ...] = ()


def run_here(asked: SweepHere) -> None:
    """Search; then export, speak, judge and report, and say what comes next."""
    from vibesweep.sweep.record.states import SweepState
    from vibesweep.sweep.resume import only_delivery_is_left

    folder = asked.folder
    if asked.resume and only_delivery_is_left(asked.sweep, folder):
        say("every trial has ended; what follows is done now")
        folder.scratch.remove()
        folder.states.remove()
    else:
        _search(asked)
    record = folder.read()
    if record.state == SweepState.STOPPED and not record.reached:
        say(_stopped_line(record, folder, asked.work), error_console, style="yellow")
        raise typer.Exit(INTERRUPTED)
    if record.best is not None:
        deliver(folder)
    write_the_report(folder)
    if record.best is not None:
        say_next("synthesize", str(folder.best), "--text", "TEXT", "--out", "FILE.wav")
    if record.base_wins:
        found = "no trial is better than the untouched base"
        fix = "what was exported is the best of the trials; train longer, or at other rates"
        say(f"warning: {found}: {fix}", error_console, style="yellow")
    if record.reached:
        say(_stopped_line(record, folder, asked.work))


def go_on_with(folder: SweepFolder, track: tuple[str, ...]) -> None:
    """Go on here with a stopped or interrupted sweep, by the space that its folder keeps.

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
        asked = SweepHere(
            sweep=sweep,
            folder=folder,
            work=work,
            space=space,
            resume=True,
            track=track,
            allowance=Allowance(),
        )
        run_here(asked)


def _search(asked: SweepHere) -> None:
    """Run the sweep; where the disk ends it, tell how to get at what it had found."""
    from vibesweep.sweep.checks.early import check_sweep

    name = asked.folder.place.name
    checked = check_sweep(
        asked.sweep, name, asked.work, say, resume=asked.resume, space_file=asked.space
    )
    from vibesweep.sweep.run import run_sweep  # imports Ray, which most mistakes need not wait for

    kept = "no trial had begun; the same command goes on with the clips that are encoded"
    try:
        with ctrl_c_says(kept):
            run_sweep(
                asked.sweep,
                name,
                work=asked.work,
                console=console,
                space_file=asked.space,
                checked=checked,
                resume=asked.resume,
                track=asked.track,
                allowance=asked.allowance,
                warm_start=asked.warm_start,
            )
    except Exception as error:
        told = user_error(error)
        if not isinstance(told, StorageError):
            raise
        raise _with_way_out(told, asked.folder) from error


def _with_way_out(error: StorageError, folder: SweepFolder) -> VibesweepError:
    """Say which folder a store's error is about, and how to get at a voice that is there."""
    told: VibesweepError = error
    if not error.where:  # Optuna's journal, for one, does not say which file it was
        told = type(error)(error.found, where=str(folder.place), fix=error.fix)
    return with_hint(told, voice_is_safe(folder)) if _has_voice(folder) else told


def _has_voice(folder: SweepFolder) -> bool:
    """Tell whether a trial has a checkpoint, as far as the record can be read."""
    try:
        return folder.read().best is not None
    except VibesweepError:
        return False


def _stopped_line(record: SweepRecord, folder: SweepFolder, work: str) -> str:
    """Say what a sweep that was stopped has kept, and how to go on."""
    from vibesweep.sweep.record.states import TrialState

    cut_short = sum(trial.state == TrialState.STOPPED for trial in record.trials)
    ended = len(record.trials) - cut_short
    total = record.trials_wanted
    kept = f"`vibesweep show {folder.place}` shows it"
    if record.best is not None:
        kept += f", `vibesweep export {folder.place} --out FOLDER` writes the best so far"
    resume = shlex.join(["resume", record.name, *work_option(work)])
    why = record.reached or "stopped"
    return (
        f"{why}: {ended} of {total} trials have ended, {cut_short} were cut short. "
        f"All that they found is kept: {kept}. "
        f"To go on: `vibesweep {resume}`."
    )
