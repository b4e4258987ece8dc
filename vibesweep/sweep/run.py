"""A sweep from beginning to end: check, plan lanes, prepare shards, run, summarise."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from vibesweep.cluster.autoscaler import current_cluster
from vibesweep.cluster.lane_capacity import Cluster, plan_lanes
from vibesweep.cluster.nodes import check_hosts, this_host
from vibesweep.cluster.session import running_ray, starts_own_ray
from vibesweep.config import Sweep, TrialResources, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.models.registry import ModelRef
from vibesweep.progress import shown_on
from vibesweep.quality.aim import Aim, listening_line
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.early import check_folder_writable
from vibesweep.sweep.allowance import Allowance
from vibesweep.sweep.disk_bound import disk_line
from vibesweep.sweep.early import (
    CheckedSweep,
    check_clips,
    check_fit,
    check_heard,
    check_sweep,
    check_this_machine,
    is_demo,
)
from vibesweep.sweep.failed import failures_line
from vibesweep.sweep.forecast import heard_line, training_clips, typical_settings
from vibesweep.sweep.on_lanes import SweepStart, run_on_lanes
from vibesweep.sweep.prepare import limit_trials, shards_for
from vibesweep.sweep.provenance import new_record
from vibesweep.sweep.record.arrival import arrival_line
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name, find_sweep
from vibesweep.sweep.record.front import front_line
from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.seeds import seeds_line
from vibesweep.sweep.record.staged_folder import StagedFolder, staged_folder_for
from vibesweep.sweep.record.states import SweepState
from vibesweep.sweep.record.table import summary_of
from vibesweep.sweep.resume import check_same_budget
from vibesweep.sweep.search.warm import WarmStart
from vibesweep.sweep.search.warm import warm_start as take_trials
from vibesweep.sweep.signals import sigterm_is_ctrl_c
from vibesweep.sweep.trackers import open_trackers
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
        checked: what :func:`vibesweep.sweep.early.check_sweep` has made of the sweep, where the
            caller has checked it before this module, and Ray with it, was imported.
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
    folder = SweepFolder(place / SWEEPS / name)
    checked = checked or check_sweep(
        sweep, name, work, progress.say, resume=resume, space_file=space_file
    )
    model = checked.model
    earlier = _readable_sweeps(warm_start, place)
    trackers = open_trackers(track, name, progress.say)
    if starts_own_ray():
        plan_lanes(sweep, Cluster([this_host()]))
        check_this_machine(checked, progress.say)
    sweep = limit_trials(sweep, progress.say)
    with (
        shown_on(console),
        quiet_tune(),
        running_ray(dashboard=True) as dashboard,
        sigterm_is_ctrl_c(),
    ):
        lanes = plan_lanes(sweep, current_cluster())
        limit = (allowance or Allowance()).first(len(lanes), sweep.resources)
        check_hosts(place, _read_by_all(sweep, model))
        if resume:
            shards = folder.read().shards  # the corpus may have changed meanwhile
        else:
            shards = shards_for(sweep, model, place, progress.say)
        if checked.manifest is None:
            _check_shards(sweep, checked, shards, progress)
        typical = typical_settings(sweep, checked.rehearsal)
        clips, speech_s = training_clips(shards)
        budget = sweep.budget.in_steps(clips, speech_s, typical)
        sweep = dataclasses.replace(sweep, budget=budget)
        if resume:
            check_same_budget(budget, folder)
        at_once = sweep.trials_at_once(len(lanes))
        _say_what_there_is(
            progress,
            heard_line(budget, clips, speech_s, typical),
            disk_line(sweep, at_once, model, checked.rehearsal.settings),
            listening_line(Aim.of(sweep), budget),
        )
        record = new_record(sweep, model, name, shards, len(lanes))
        if dashboard:
            progress.say(f"Ray's dashboard: http://{dashboard}")
        # After everything that the user may have to mend: the name stays free until then
        with (
            claimed(folder, space_file, resume=resume),
            staged_folder_for(folder, progress.say, resume=resume) as staged,
        ):
            folder.requests.clear()  # of a process that is gone
            if sweep.starts_from is not None and not resume:
                copy_checkpoint(sweep.starts_from, folder.origin)
            former = staged.folder.replay() if resume else None
            if former is not None:
                record.shards_signature = former.record.shards_signature
            warm = WarmStart()
            if former is None:  # else they are in the study
                warm = take_trials(sweep, earlier, str(model), record.shards_signature)
            _say_what_there_is(progress, *warm.said)
            specs = _lane_specs(record, sweep, typical, model, lanes, folder, staged)
            start = SweepStart(
                sweep=sweep,
                record=record,
                specs=specs,
                former=former,
                warm=warm,
                limit=limit,
                trackers=trackers,
                folder=folder,
                staged=staged,
                progress=progress,
            )
            try:
                record = run_on_lanes(start)
            finally:
                folder.scratch.remove()
            if not record.trials_left:
                folder.states.remove()
    _say_how_it_went(record, progress)
    _refuse_nothing_trained(record, folder)
    return folder


def _readable_sweeps(names: Sequence[str], work: StoragePath) -> list[SweepFolder]:
    """Find earlier sweeps, and read them, so that one that is not there is told at once."""
    folders = [find_sweep(name, work) for name in names]
    for folder in folders:
        folder.read()
    return folders


def _check_shards(sweep: Sweep, checked: CheckedSweep, shards: str, progress: Progress) -> None:
    """Check what could not be checked before there were shards."""
    check_fit(checked.model, shards, progress.say)
    check_clips(sweep, checked.rehearsal, shards, progress.say)
    check_heard(sweep, checked.model, shards)


def _say_how_it_went(record: SweepRecord, progress: Progress) -> None:
    _say_what_there_is(
        progress,
        summary_of(record, time.time()),
        failures_line(record),
        overfitting_line(record),
        seeds_line(record),
        arrival_line(record),
        front_line(record),
    )


def _say_what_there_is(progress: Progress, *lines: str) -> None:
    for line in lines:
        if line:
            progress.say(line)


def _refuse_nothing_trained(record: SweepRecord, folder: SweepFolder) -> None:
    if record.best is not None or record.state == SweepState.STOPPED:
        return
    reasons = [trial.reason for trial in record.trials if trial.reason]
    reason = reasons[0] if reasons else record.state
    raise SweepError(f"no trial could be trained: {reason}", where=str(folder.place))


def _read_by_all(sweep: Sweep, model: ModelRef) -> list[StoragePath]:
    """Return what every lane reads beside the shards, unless it comes with the package."""
    folders = [] if is_demo(sweep.corpus) else [StoragePath.of(sweep.corpus)]
    folder = model.family.folder(model.address)
    if folder is not None:
        folders.append(StoragePath.of(folder))
    return folders


def _lane_specs(
    record: SweepRecord,
    sweep: Sweep,
    typical: TrialSettings,
    model: ModelRef,
    lanes: list[TrialResources],
    folder: SweepFolder,
    staged: StagedFolder,
) -> list[LaneSpec]:
    """Say what each lane holds. Checkpoints and states go where all hosts see them."""
    specs = []
    for number, resources in enumerate(lanes):
        spec = LaneSpec(
            name=f"{record.name}-lane-{number}",
            model=model,
            shards=record.shards,
            shards_signature=record.shards_signature,
            checkpoints=folder.checkpoints,
            states=folder.states,
            scratch=staged.scratch,
            max_steps=sweep.budget.last_step,
            step_timeout_s=sweep.step_timeout_s,
            typical=typical,
            resources=resources,
            trials=sweep.trials_per_lane,
            aim=record.aim,
            heard_steps=record.aim.heard_steps(sweep.budget),
            origin=None if sweep.starts_from is None else folder.origin,
        )
        specs.append(spec)
    return specs
