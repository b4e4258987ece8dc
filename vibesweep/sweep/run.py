"""A sweep from beginning to end: check, plan lanes, prepare shards, run, summarise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from vibesweep.cluster.autoscaler import current_cluster
from vibesweep.cluster.lane_capacity import Cluster, plan_lanes
from vibesweep.cluster.nodes import this_host
from vibesweep.cluster.session import running_ray, starts_own_ray
from vibesweep.config import Sweep
from vibesweep.errors import SweepError
from vibesweep.progress import shown_on
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.early import check_folder_writable
from vibesweep.sweep.allowance import Allowance, Limit
from vibesweep.sweep.checks.early import CheckedSweep, check_sweep, check_this_machine
from vibesweep.sweep.failed import failures_line
from vibesweep.sweep.on_lanes import SweepStart, run_on_lanes
from vibesweep.sweep.prepare import limit_trials
from vibesweep.sweep.provenance import new_record
from vibesweep.sweep.ready import ReadySweep, make_ready
from vibesweep.sweep.record.arrival import arrival_line
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name, find_sweep
from vibesweep.sweep.record.front import front_line
from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.seeds import seeds_line
from vibesweep.sweep.record.staged_folder import StagedFolder, staged_folder_for
from vibesweep.sweep.record.states import SweepState
from vibesweep.sweep.record.table import summary_of
from vibesweep.sweep.search.warm import WarmStart
from vibesweep.sweep.search.warm import warm_start as take_trials
from vibesweep.sweep.signals import sigterm_is_ctrl_c
from vibesweep.sweep.trackers import Tracker, open_trackers
from vibesweep.sweep.tuning import quiet_tune
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.state.checkpoint import copy_checkpoint


def run_sweep(
    sweep: Sweep,
    name: str,
    *,
    work: StorageAddress = ".",
    console: Console | None = None,
    space_file: Path | None = None,
    checked: CheckedSweep | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
    allowance: Allowance | None = None,
    warm_start: Sequence[str] = (),
) -> SweepFolder:
    """Run a sweep to its end, or until Ctrl-C, which keeps everything.

    Args:
        sweep: what to search, and how far.
        name: name of the sweep, and of its folder ``work/sweeps/name``.
        work: folder for sweeps, shards and the demo corpus: a path that all hosts see, or a URI.
        console: shows how it goes.
        space_file: kept in the folder, so that the sweep can be understood in a year.
        checked: what :func:`vibesweep.sweep.checks.early.check_sweep` has made of the sweep, where
            the caller has checked it before this module, and Ray with it, was imported.
        resume: whether to go on with the sweep of that name, which was interrupted or stopped.
        track: trackers that are told of the trials, ``mlflow`` or ``wandb``.
        allowance: what this run may take; it is stopped there and can be resumed.
        warm_start: names or folders of earlier sweeps, whose trials inform the search.

    Raises:
        SweepError: the name is taken or cannot be a folder's, or no trial could be trained; or what
            is to be resumed cannot be, or a tracker cannot be used.
        StorageError: the folder cannot be written to, or its disk is full.
        VibesweepError: the corpus, the base or the resources are not what the sweep needs.
    """
    console = console or Console()
    progress = Progress(console)
    check_name(name)
    place = StoragePath.of(work)
    check_folder_writable(place, "--work")
    checked = checked or check_sweep(
        sweep, name, work, progress.say, resume=resume, space_file=space_file
    )
    earlier = _readable_sweeps(warm_start, place)
    trackers = open_trackers(track, name, progress.say)
    if starts_own_ray():
        plan_lanes(sweep, Cluster([this_host()]))
        check_this_machine(checked, progress.say)
    asked = _Asked(
        sweep=limit_trials(sweep, progress.say),
        checked=checked,
        name=name,
        work=place,
        folder=SweepFolder(place / SWEEPS / name),
        space_file=space_file,
        resume=resume,
        earlier=earlier,
        trackers=trackers,
        allowance=allowance or Allowance(),
        progress=progress,
    )
    with (
        shown_on(console),
        quiet_tune(),
        running_ray(dashboard=True) as dashboard,
        sigterm_is_ctrl_c(),
    ):
        record = _run_on_ray(asked, dashboard)
    _say_how_it_went(record, progress)
    _refuse_nothing_trained(record, asked.folder)
    return asked.folder


@dataclass(frozen=True)
class _Asked:
    """What is to be run, checked as far as it can be before Ray is up."""

    sweep: Sweep
    checked: CheckedSweep
    name: str
    work: StoragePath
    folder: SweepFolder
    space_file: Path | None
    resume: bool
    earlier: Sequence[SweepFolder]
    trackers: Sequence[Tracker]
    allowance: Allowance
    progress: Progress


@dataclass(frozen=True)
class _Run:
    """A run that can begin: what was asked for, with shards, lanes and what it may take."""

    asked: _Asked
    ready: ReadySweep
    limit: Limit | None


def _run_on_ray(asked: _Asked, dashboard: str | None) -> SweepRecord:
    """Make ready what was asked for, claim its folder and train; return the record at the end."""
    sweep, folder, progress = asked.sweep, asked.folder, asked.progress
    lanes = plan_lanes(sweep, current_cluster())
    limit = asked.allowance.first(len(lanes), sweep.resources)
    resumed = folder if asked.resume else None
    ready = make_ready(sweep, asked.checked, lanes, asked.work, progress, resumed)
    if dashboard:
        progress.say(f"Ray's dashboard: http://{dashboard}")
    run = _Run(asked, ready, limit)
    # After everything that the user may have to mend: the name stays free until then
    with (
        claimed(folder, asked.space_file, resume=asked.resume),
        staged_folder_for(folder, progress.say, resume=asked.resume) as staged,
    ):
        record = _train(run, staged)
        if not record.trials_left:
            folder.states.remove()
    return record


def _train(run: _Run, staged: StagedFolder) -> SweepRecord:
    """Train all trials of a run whose folder is claimed; return the record at the end."""
    folder = run.asked.folder
    folder.requests.clear()  # of a process that is gone
    try:
        start = _resumed(run, staged) if run.asked.resume else _started(run, staged)
        return run_on_lanes(start)
    finally:
        folder.scratch.remove()


def _started(run: _Run, staged: StagedFolder) -> SweepStart:
    """Begin a sweep with what earlier ones have found out."""
    asked, sweep = run.asked, run.ready.sweep
    record = _new_record(run)
    if sweep.starts_from is not None:
        copy_checkpoint(sweep.starts_from, asked.folder.origin)
    warm = take_trials(sweep, asked.earlier, record.model, record.shards_signature)
    asked.progress.say_each(*warm.said)
    return _start(run, staged, record, None, warm)


def _resumed(run: _Run, staged: StagedFolder) -> SweepStart:
    """Go on with a sweep; trials of earlier ones are in its study."""
    former = staged.folder.replay()
    record = _new_record(run)
    record.shards_signature = former.record.shards_signature
    return _start(run, staged, record, former, WarmStart())


def _new_record(run: _Run) -> SweepRecord:
    ready = run.ready
    return new_record(ready.sweep, ready.model, run.asked.name, ready.shards, len(ready.lanes))


def _start(
    run: _Run, staged: StagedFolder, record: SweepRecord, former: Replay | None, warm: WarmStart
) -> SweepStart:
    asked = run.asked
    return SweepStart(
        sweep=run.ready.sweep,
        record=record,
        specs=_lane_specs(run, record, staged),
        former=former,
        warm=warm,
        limit=run.limit,
        trackers=asked.trackers,
        folder=asked.folder,
        staged=staged,
        progress=asked.progress,
    )


def _readable_sweeps(names: Sequence[str], work: StoragePath) -> list[SweepFolder]:
    """Find earlier sweeps, and read them, so that a missing one is an error at once."""
    folders = [find_sweep(name, work) for name in names]
    for folder in folders:
        folder.read()
    return folders


def _say_how_it_went(record: SweepRecord, progress: Progress) -> None:
    progress.say_each(
        summary_of(record, time.time()),
        failures_line(record),
        overfitting_line(record),
        seeds_line(record),
        arrival_line(record),
        front_line(record),
    )


def _refuse_nothing_trained(record: SweepRecord, folder: SweepFolder) -> None:
    if record.best is not None or record.state == SweepState.STOPPED:
        return
    reasons = [trial.reason for trial in record.trials if trial.reason]
    reason = reasons[0] if reasons else record.state
    raise SweepError(f"no trial could be trained: {reason}", where=str(folder.place))


def _lane_specs(run: _Run, record: SweepRecord, staged: StagedFolder) -> list[LaneSpec]:
    """Say what each lane holds. Checkpoints and states go where all hosts see them."""
    ready, folder = run.ready, run.asked.folder
    sweep = ready.sweep
    specs = []
    for number, resources in enumerate(ready.lanes):
        spec = LaneSpec(
            name=f"{record.name}-lane-{number}",
            model=ready.model,
            shards=record.shards,
            shards_signature=record.shards_signature,
            checkpoints=folder.checkpoints,
            states=folder.states,
            clones=folder.clones,
            scratch=staged.scratch,
            max_steps=sweep.budget.last_step,
            step_timeout_s=sweep.step_timeout_s,
            typical=ready.typical,
            resources=resources,
            rehearsed=tuple(run.asked.checked.rehearsal.settings),
            aim=record.aim,
            heard_steps=record.aim.heard_steps(sweep.budget),
            origin=None if sweep.starts_from is None else folder.origin,
        )
        specs.append(spec)
    return specs
