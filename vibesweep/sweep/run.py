"""A sweep from beginning to end: check, plan lanes, prepare shards, run, summarise."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from vibesweep.cluster.autoscaler import current_cluster
from vibesweep.cluster.lane_capacity import Cluster, plan_lanes
from vibesweep.cluster.nodes import check_hosts, this_host
from vibesweep.cluster.session import running_ray, starts_own_ray
from vibesweep.config import Sweep, TrialResources, TrialSettings
from vibesweep.errors import SweepError, VibesweepError
from vibesweep.models.registry import ModelRef
from vibesweep.progress import shown_on
from vibesweep.quality.aim import Aim, listening_line
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.early import check_folder_writable
from vibesweep.storage.secrets import without_secrets
from vibesweep.sweep.allowance import Allowance, Deadline, Limit
from vibesweep.sweep.disk import steered
from vibesweep.sweep.early import (
    CheckedSweep,
    check_clips,
    check_fit,
    check_heard,
    check_sweep,
    check_this_machine,
    is_demo,
)
from vibesweep.sweep.expected import plan_of_pace
from vibesweep.sweep.failed import FailureLimit, failures_line
from vibesweep.sweep.forecast import (
    duration_line,
    heard_line,
    training_clips,
    typical_settings,
)
from vibesweep.sweep.prepare import limit_trials, shards_for
from vibesweep.sweep.provenance import new_record
from vibesweep.sweep.record.arrival import arrival_line
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder, check_name, find_sweep
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.metrics import SweepMetrics
from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.seeds import seeds_line
from vibesweep.sweep.record.staged_folder import StagedFolder, staged_folder_for
from vibesweep.sweep.record.states import SweepState
from vibesweep.sweep.record.study import study_storage
from vibesweep.sweep.record.table import format_seconds, summary_of
from vibesweep.sweep.repeat import repeat_best, repeats_of
from vibesweep.sweep.resume import check_same_budget
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch
from vibesweep.sweep.search.warm import WarmStart
from vibesweep.sweep.search.warm import warm_start as take_trials
from vibesweep.sweep.signals import ctrl_c_stops, sigterm_is_ctrl_c
from vibesweep.sweep.steering import Steering
from vibesweep.sweep.trackers import Tracker, open_trackers
from vibesweep.sweep.tuning import quiet_tune, tune_trials
from vibesweep.sweep.waiting import report_waiting_lanes
from vibesweep.training.lanes.lane import Lanes, running_dispatcher
from vibesweep.training.lanes.messages import Answer
from vibesweep.training.lanes.spec import LaneSpec

LEAVE_S = 20.0
"""How long lanes may take to end at a sweep's end before they are killed."""
STOP_S = 5.0
"""The same where the user waits: what a trial did since its last state is done again."""


@dataclasses.dataclass(frozen=True)
class _Start:
    """What a sweep starts from.

    Attributes:
        former: what has happened before, where it is resumed.
        warm: trials of earlier sweeps.
        limit: when it ends at the latest.
    """

    former: Replay | None
    warm: WarmStart
    limit: Limit | None


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
            check_fit(model, shards, progress.say)
            check_clips(sweep, checked.rehearsal, shards, progress.say)
            check_heard(sweep, model, shards)
        typical = typical_settings(sweep, checked.rehearsal)
        clips, speech_s = training_clips(shards)
        budget = sweep.budget.in_steps(clips, speech_s, typical)
        sweep = dataclasses.replace(sweep, budget=budget)
        if resume:
            check_same_budget(budget, folder)
        progress.say(heard_line(budget, clips, speech_s, typical))
        _say_what_there_is(progress, listening_line(Aim(sweep.objective, sweep.limits), budget))
        record = new_record(sweep, model, name, shards, len(lanes))
        if dashboard:
            progress.say(f"Ray's dashboard: http://{dashboard}")
        # After everything that the user may have to mend: the name stays free until then
        with (
            claimed(folder, space_file, resume=resume),
            staged_folder_for(folder, progress.say, resume=resume) as staged,
        ):
            folder.requests.clear()  # of a process that is gone
            former = staged.folder.replay() if resume else None
            if former is not None:
                record.shards_signature = former.record.shards_signature
            warm = WarmStart()
            if former is None:  # else they are in the study
                warm = take_trials(sweep, earlier, str(model), record.shards_signature)
            _say_what_there_is(progress, *warm.said)
            start = _Start(former, warm, limit)
            specs = _lane_specs(record, sweep, typical, model, lanes, folder, staged)
            try:
                record = _run_lanes(sweep, specs, record, start, trackers, folder, staged, progress)
            finally:
                folder.scratch.remove()
            if not record.trials_left:
                folder.states.remove()
    _say_what_there_is(
        progress,
        summary_of(record, time.time()),
        failures_line(record),
        overfitting_line(record),
        seeds_line(record),
        arrival_line(record),
    )
    _refuse_nothing_trained(record, folder)
    return folder


def _readable_sweeps(names: Sequence[str], work: StoragePath) -> list[SweepFolder]:
    """Find earlier sweeps, and read them, so that one that is not there is told at once."""
    folders = [find_sweep(name, work) for name in names]
    for folder in folders:
        folder.read()
    return folders


def _run_lanes(
    sweep: Sweep,
    specs: list[LaneSpec],
    record: SweepRecord,
    start: _Start,
    trackers: Sequence[Tracker],
    folder: SweepFolder,
    staged: StagedFolder,
    progress: Progress,
) -> SweepRecord:
    """Bring the lanes up, run all trials on them, and return the record at the end.

    Args:
        sweep: what is searched.
        specs: one for each lane.
        record: the sweep as it starts.
        start: what it starts from.
        trackers: are told of the trials.
        folder: where the user leaves requests.
        staged: where the driver writes.
        progress: shows how it goes.

    Raises:
        VibesweepError: no lane could go on, or the space could not suggest a trial.
    """
    former = start.former
    search = SweepSearch(sweep, study_storage(staged.folder.journal), start.warm.trials)
    scheduler = StepAsha(sweep.budget, record.aim)
    left = sweep.trials if former is None else former.record.trials_left
    with (
        running_dispatcher(left + repeats_of(sweep), record.name) as dispatcher,
        progress.shown(),
        report_waiting_lanes(dispatcher, sweep.resources, progress.note, progress.say),
        SweepMetrics(record.name, dispatcher) as metrics,
    ):

        def release(trial_id: str) -> None:
            ray.get(dispatcher.release.remote(trial_id, ended=True))

        def close() -> None:
            ray.get(dispatcher.close.remote())

        lanes = Lanes(dispatcher, specs)
        one = record.lanes == 1
        progress.say("a lane is coming up" if one else f"{record.lanes} lanes are coming up")
        limit = FailureLimit(sweep.max_failed_fraction, close)
        deadline = Deadline(start.limit, search.hold, close)
        watch = (progress.show, metrics.tell, limit.look, deadline.look)
        log = SweepLog(staged, record, watch, release, former)
        if former is not None:
            log.end_pruned(scheduler.replay(former.reports))
            search.resume(former)
        state = SweepState.FAILED
        leave_s = LEAVE_S
        try:
            with (
                ctrl_c_stops(progress.say, close) as stopping,
                steered(folder, Steering(log, dispatcher, stopping, progress.say), record.lanes),
            ):
                lanes.start()
                if ray.get(dispatcher.wait_until_ready.remote(1)):
                    _tell_what_a_lane_measured(sweep, dispatcher, log, progress)
                    if log.record.trials_left:  # else only the sweep's own end was missing
                        tune_trials(
                            sweep, dispatcher, search, scheduler, log, trackers, staged.scratch
                        )
                    repeat_best(sweep, dispatcher, log, specs[0].checkpoints, progress.say)
            state = SweepState.STOPPED if log.record.trials_left else SweepState.DONE
        except KeyboardInterrupt:
            state = SweepState.STOPPED
        finally:
            if state == SweepState.STOPPED:
                leave_s = 0.0 if stopping.now else STOP_S
            failure = lanes.sweep_failure()
            try:
                failed = failure or limit.error
                log.close(SweepState.FAILED if failed else state, deadline.reason)
            finally:  # the disk may be full
                lanes.stop(leave_s)
    _raise_failure(failure, staged)
    if log.heard_s:
        took = format_seconds(log.heard_s)
        progress.say(f"the trials were heard in {took} of the lanes' time")
    _raise_first(search.error, limit.error)
    return log.record


def _tell_what_a_lane_measured(
    sweep: Sweep, dispatcher: Any, log: SweepLog, progress: Progress
) -> None:
    """Enter the untouched base's loss and the sweep's plan, and say how long it will take."""
    log.base_validated(ray.get(dispatcher.base_loss.remote()))
    pace = ray.get(dispatcher.pace.remote())
    plan = plan_of_pace(sweep, log.record.lanes, pace)
    log.planned(plan)
    takes = duration_line(plan)
    if takes is not None:
        progress.say(takes)


def _raise_failure(failure: Answer | None, staged: StagedFolder) -> None:
    """Raise the error that stopped the last lane, if there is one, and keep its traceback."""
    if failure is None or failure.error is None:
        return
    traceback = failure.traceback or str(failure.error)
    staged.folder.errors_of("sweep").write_bytes(without_secrets(traceback).encode())
    raise failure.error


def _raise_first(*errors: VibesweepError | None) -> None:
    for error in errors:
        if error is not None:
            raise error


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
            aim=record.aim,
            heard_steps=record.aim.heard_steps(sweep.budget),
        )
        specs.append(spec)
    return specs
