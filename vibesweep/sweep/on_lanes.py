"""What happens on a sweep's lanes: they come up, train all trials, and end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from vibesweep.config import Sweep
from vibesweep.errors import VibesweepError
from vibesweep.storage.secrets import without_secrets
from vibesweep.sweep.allowance import Deadline, Limit
from vibesweep.sweep.disk import steered
from vibesweep.sweep.failed import FailureLimit
from vibesweep.sweep.kept_checkpoints import KeptCheckpoints
from vibesweep.sweep.plan.expected import plan_of_pace
from vibesweep.sweep.plan.forecast import duration_line
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.metrics import SweepMetrics
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.staged_folder import StagedFolder
from vibesweep.sweep.record.states import FINISHED, SweepState, TrialState
from vibesweep.sweep.record.study import study_storage
from vibesweep.sweep.record.table import format_seconds
from vibesweep.sweep.repeat import repeat_best, repeats_of
from vibesweep.sweep.resume import is_longer
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch
from vibesweep.sweep.search.warm import WarmStart
from vibesweep.sweep.signals import ctrl_c_stops
from vibesweep.sweep.steering import Steering
from vibesweep.sweep.trackers import Tracker
from vibesweep.sweep.tuning import tune_trials
from vibesweep.sweep.waiting import report_waiting_lanes
from vibesweep.training.lanes.lane import Lanes, running_dispatcher
from vibesweep.training.lanes.messages import Answer
from vibesweep.training.lanes.spec import LaneSpec

LEAVE_S = 20.0
"""How long lanes may take to end at a sweep's end before they are killed."""
STOP_S = 5.0
"""The same where the user waits: what a trial did since its last state is done again."""


@dataclass(frozen=True)
class SweepStart:
    """What a sweep has before its lanes come up.

    Attributes:
        sweep: what is searched; its budget is in steps.
        record: the sweep as it starts.
        specs: what each lane holds, one for each.
        former: what has happened before, where it is resumed.
        warm: trials of earlier sweeps.
        limit: when it ends at the latest.
        trackers: are told of the trials.
        folder: where the user leaves requests.
        staged: where the driver writes.
        progress: shows how it goes.
    """

    sweep: Sweep
    record: SweepRecord
    specs: Sequence[LaneSpec]
    former: Replay | None
    warm: WarmStart
    limit: Limit | None
    trackers: Sequence[Tracker]
    folder: SweepFolder
    staged: StagedFolder
    progress: Progress


@dataclass(frozen=True)
class _Running:
    """What takes part in a sweep while its lanes are up."""

    dispatcher: Any
    lanes: Lanes
    search: SweepSearch
    scheduler: StepAsha
    failures: FailureLimit
    deadline: Deadline
    log: SweepLog
    close: Callable[[], None]


@dataclass
class _End:
    """How a sweep ends: as failed, until it is known to end otherwise."""

    state: SweepState = SweepState.FAILED
    leave_s: float = LEAVE_S


def run_on_lanes(start: SweepStart) -> SweepRecord:
    """Bring the lanes up, run all trials on them, and return the record at the end.

    Raises:
        VibesweepError: no lane could go on, or the space could not suggest a trial.
    """
    sweep = start.sweep
    progress = start.progress
    name = start.record.name
    runs = _trials_to_come(start) + repeats_of(sweep)
    of_a_lane = sweep.most_trials_of_a_lane(len(start.specs))
    with (
        running_dispatcher(runs, name, of_a_lane) as dispatcher,
        progress.shown(),
        report_waiting_lanes(dispatcher, sweep.resources, progress.note, progress.say),
        SweepMetrics(name, dispatcher) as metrics,
    ):
        running = _prepared(start, dispatcher, metrics)
        failure = _until_the_end(start, running)
    _raise_failure(failure, start.staged)
    heard_s = running.log.heard_s
    if heard_s:
        took = format_seconds(heard_s)
        progress.say(f"the trials were heard in {took} of the lanes' time")
    _raise_first(running.search.error, running.failures.error)
    return running.log.record


def _trials_to_come(start: SweepStart) -> int:
    """Count the trials that will take a lane, with complete ones that go on to a larger maximum."""
    if start.former is None:
        return start.sweep.trials
    record = start.former.record
    wanted = start.sweep.trials + len(record.clones)
    longer = is_longer(start.sweep.budget, record)
    stay = [state for state in FINISHED if not (longer and state == TrialState.COMPLETE)]
    ended = [trial for trial in record.trials if trial.state in stay]
    return wanted - len(ended)


def _prepared(start: SweepStart, dispatcher: Any, metrics: SweepMetrics) -> _Running:
    """Put together what takes part, and open the log; a resumed sweep knows what it knew."""
    sweep = start.sweep
    former = start.former
    progress = start.progress
    study = study_storage(start.staged.folder.journal)
    search = SweepSearch(sweep, study, start.warm.trials)
    scheduler = StepAsha(sweep.budget, start.record.aim)

    def release(trial_id: str) -> None:
        ray.get(dispatcher.release.remote(trial_id, ended=True))

    def close() -> None:
        ray.get(dispatcher.close.remote())

    lanes = Lanes(dispatcher, start.specs)
    count = len(start.specs)
    progress.say("a lane is coming up" if count == 1 else f"{count} lanes are coming up")
    failures = FailureLimit(sweep.max_failed_fraction, close)
    deadline = Deadline(start.limit, search.hold, close)
    kept = KeptCheckpoints(start.folder.checkpoints, sweep.keep_checkpoints)
    watch = (progress.show, metrics.tell, failures.look, deadline.look, kept.look)
    log = SweepLog(start.staged, start.record, watch, release, former)
    if former is not None:
        trials = former.record.trials
        ended = [trial.id for trial in trials if trial.state in FINISHED]
        pruned = scheduler.replay(former.reports, ended)
        log.end_pruned(pruned)
        search.resume(former)
    search.has_begun = log.has_begun
    return _Running(dispatcher, lanes, search, scheduler, failures, deadline, log, close)


def _until_the_end(start: SweepStart, running: _Running) -> Answer | None:
    """Train all trials, close the log and end the lanes; return what stopped the last lane."""
    lanes = running.lanes
    end = _End()
    try:
        _train_all(start, running, end)
    finally:
        failure = lanes.sweep_failure()
        if failure or running.failures.error:
            end.state = SweepState.FAILED
        try:
            running.log.close(end.state, running.deadline.reason)
        finally:  # the disk may be full
            lanes.stop(end.leave_s)
    return failure


def _train_all(start: SweepStart, running: _Running, end: _End) -> None:
    """Train all trials, and note how it ended: to the end, or stopped by Ctrl-C."""
    say = start.progress.say
    log = running.log
    at_once = start.sweep.trials_at_once(len(start.specs))
    with ctrl_c_stops(say, running.close) as stopping:
        steering = Steering(log, running.dispatcher, running.search, stopping, say)
        try:
            with steered(start.folder, steering, at_once):
                running.lanes.start()
                first_lane = running.dispatcher.wait_until_ready.remote(1)
                if ray.get(first_lane):
                    _train_trials(start, running)
            end.state = SweepState.STOPPED if log.record.trials_left else SweepState.DONE
        except KeyboardInterrupt:
            end.state = SweepState.STOPPED
        if end.state is SweepState.STOPPED:
            end.leave_s = 0.0 if stopping.now else STOP_S


def _train_trials(start: SweepStart, running: _Running) -> None:
    log = running.log
    dispatcher = running.dispatcher
    sweep = _with_trials_that_fit(start, dispatcher)
    _tell_what_a_lane_measured(start, running, sweep)
    if log.record.trials_left:  # else only the sweep's own end was missing
        tune_trials(
            sweep,
            dispatcher,
            running.search,
            running.scheduler,
            log,
            start.trackers,
            start.staged.scratch,
        )
    repeat_best(sweep, dispatcher, log, start.folder.checkpoints, start.progress.say)


def _tell_what_a_lane_measured(start: SweepStart, running: _Running, sweep: Sweep) -> None:
    """Enter the untouched base's loss and the sweep's plan, and say how long it will take."""
    log = running.log
    base_loss = ray.get(running.dispatcher.base_loss.remote())
    log.base_validated(base_loss)
    pace = ray.get(running.dispatcher.pace.remote())
    plan = plan_of_pace(sweep, log.record.lanes, pace)
    log.planned(plan)
    takes = duration_line(plan)
    if takes is not None:
        start.progress.say(takes)


def _with_trials_that_fit(start: SweepStart, dispatcher: Any) -> Sweep:
    """Return the sweep with as many trials a lane as have room, and say so where it has several."""
    wanted = start.sweep.most_trials_of_a_lane(len(start.specs))
    found: int = ray.get(dispatcher.trials_of_a_lane.remote())
    if found < wanted:
        start.progress.say(f"a lane has room for {found} of {wanted} trials at a time")
    elif found > 1:
        start.progress.say(f"a lane trains {found} trials at a time")
    return dataclasses.replace(start.sweep, trials_per_lane=found)


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
