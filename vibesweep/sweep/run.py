"""A sweep from its first line to its last: the cluster, the shards, the lanes, Tune, and what is kept of it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray import tune
from rich.console import Console

from vibesweep import __version__
from vibesweep.cluster.autoscaler import cluster_now
from vibesweep.cluster.lane_plan import plan_lanes
from vibesweep.cluster.nodes import check_hosts
from vibesweep.cluster.session import running_ray
from vibesweep.config import Sweep, TrialResources
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.errors import SweepError
from vibesweep.models.bundle import checkpoint_address, located
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.prepare import check_corpus, check_fit, is_demo, shards_for
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.metrics import SweepMetrics
from vibesweep.sweep.record.progress import Progress, summary_of
from vibesweep.sweep.record.record import SWEEPS, SweepFolder, SweepRecord, as_json
from vibesweep.sweep.record.staged_folder import StagedFolder, staged_folder_for
from vibesweep.sweep.record.states import DONE, ENDED, FAILED, STOPPED
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.searcher import StepSearch, study_storage
from vibesweep.sweep.signals import ctrl_c_given_back, sigterm_is_ctrl_c
from vibesweep.sweep.trial import LaneTrial, beside_the_driver
from vibesweep.sweep.waiting import told_of_waiting
from vibesweep.training.lanes.lane import Lanes, dispatcher_up
from vibesweep.training.lanes.spec import LaneSpec

RESTARTS_PER_LANE = 20
"""Worker groups that a lane may lose and have brought up again in one sweep: spot instances go, and so may a trial's memory."""
LEAVE_S = 20.0
"""How long a lane may finish the steps in hand when a sweep ends, before its processes are ended with Ray."""
RECORDED_VERSIONS = ("ray", "torch", "transformers", "peft", "optuna")


def run_sweep(
    sweep: Sweep,
    name: str,
    *,
    work: StorageAddress = ".",
    console: Console | None = None,
    space_file: Path | None = None,
) -> SweepFolder:
    """Run a sweep to its end, or until Ctrl-C, which keeps everything.

    Args:
        sweep: what to search, and how far.
        name: of the folder ``work/sweeps/name`` that it leaves.
        work: where sweeps, shards and the demo corpus lie: a path that all hosts see, or a URI.
        console: shows how it goes.
        space_file: kept in the folder, so that the sweep can be read again in a year.

    Raises:
        SweepError: the name is taken, or no trial could be trained.
        VibesweepError: the corpus, the base or the resources are not what the sweep needs.
    """
    console, work = console or Console(), StoragePath.of(work)
    folder, progress = SweepFolder(work / SWEEPS / name), Progress(console)
    _refuse_taken(folder)
    located(sweep.model)
    check_corpus(sweep.corpus)
    with _quiet_ray(), running_ray(dashboard=True) as dashboard, sigterm_is_ctrl_c():
        lanes = plan_lanes(sweep, cluster_now())
        check_hosts(work, _read_by_all(sweep))
        shards = shards_for(sweep, work, progress.say, console)
        check_fit(sweep.model, shards, progress.say)
        record = _new_record(sweep, name, shards, len(lanes))
        _claim(
            folder, space_file
        )  # after all that the user may have to mend, so that the name stays free until then
        if dashboard:
            progress.say(f"Ray's dashboard: http://{dashboard}")
        with staged_folder_for(folder, progress.say) as staged:
            _run_lanes(sweep, lanes, folder, staged, record, progress)
    progress.say(summary_of(record, time.time()))
    if record.best is None and record.state != STOPPED:
        reasons = [trial.reason for trial in record.trials if trial.reason]
        raise SweepError(
            f"no trial could be trained: {reasons[0] if reasons else record.state}",
            where=str(folder.place),
        )
    return folder


def _run_lanes(
    sweep: Sweep,
    plan: list[TrialResources],
    folder: SweepFolder,
    staged: StagedFolder,
    record: SweepRecord,
    progress: Progress,
) -> None:
    specs = [
        _lane_spec(sweep, folder, staged, record, number, one) for number, one in enumerate(plan)
    ]
    search = StepSearch(sweep, study_storage(staged.folder.journal))
    state = FAILED
    with (
        dispatcher_up(sweep.trials, record.name) as dispatcher,
        progress.shown(),
        told_of_waiting(dispatcher, sweep.resources, progress.note, progress.say),
        SweepMetrics(record.name, dispatcher) as metrics,
    ):
        lanes = Lanes(dispatcher, specs, RESTARTS_PER_LANE)
        progress.say(
            "a lane is coming up" if record.lanes == 1 else f"{record.lanes} lanes are coming up"
        )
        watch = (progress.show, metrics.tell)
        log = SweepLog(
            staged,
            record,
            watch,
            lambda trial_id: ray.get(dispatcher.leave.remote(trial_id, ended=True)),
        )
        try:
            lanes.start()
            if ray.get(dispatcher.until_ready.remote(1)):
                record.base_loss_val = ray.get(dispatcher.base_loss.remote())
                _tune(sweep, staged, record, dispatcher, search, log)
            ended = len(record.trials) == sweep.trials and all(
                trial.state in ENDED for trial in record.trials
            )
            state = DONE if ended else STOPPED
        except KeyboardInterrupt:
            state = STOPPED
        finally:
            search.close()
            verdict = lanes.verdict()
            log.close(FAILED if verdict else state)
            lanes.stop(LEAVE_S)
            folder.scratch.remove()
    if verdict is not None and verdict.error is not None:
        staged.folder.errors.write_bytes((verdict.traceback or str(verdict.error)).encode())
        raise verdict.error
    if search.error is not None:
        raise search.error


def _tune(
    sweep: Sweep,
    staged: StagedFolder,
    record: SweepRecord,
    dispatcher: Any,
    search: StepSearch,
    log: SweepLog,
) -> None:
    trainable = tune.with_parameters(
        LaneTrial, dispatcher=dispatcher, budget=sweep.budget, sweep=record.name
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, beside_the_driver()),
        tune_config=tune.TuneConfig(
            num_samples=sweep.trials,
            search_alg=search,
            scheduler=StepAsha(sweep.budget),
            max_concurrent_trials=record.lanes,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"{record.name}_{trial.config['number']}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(staged.scratch),
            callbacks=[log],
            stop=_Lost(dispatcher),
            verbose=0,
        ),
    )
    with ctrl_c_given_back():
        tuner.fit()


class _Lost(tune.Stopper):
    """Stops Tune when no lane can go on: each trial to come would only fail for the same reason."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return ray.get(self._dispatcher.verdict.remote()) is not None


def _read_by_all(sweep: Sweep) -> list[StoragePath]:
    """What a lane reads beside the shards in the work folder, unless it comes with the package."""
    corpus = [] if is_demo(sweep.corpus) else [StoragePath.of(sweep.corpus)]
    folder = checkpoint_address(sweep.model) or sweep.model  # a hub id or a shipped base is no path
    return [*corpus, *([StoragePath.of(folder)] if Path(folder).exists() else [])]


def _refuse_taken(folder: SweepFolder) -> None:
    if folder.place.is_dir() or folder.place.is_file():
        fix = f"choose another with --name, or remove {folder.place}"
        raise SweepError(
            f"there is a sweep named {folder.place.name} already", where=str(folder.place), fix=fix
        )


def _claim(folder: SweepFolder, space_file: Path | None) -> None:
    if folder.place.local is not None:
        try:
            folder.place.local.mkdir(parents=True)
        except FileExistsError:
            _refuse_taken(folder)
    if space_file is not None:
        folder.space.write_bytes(space_file.read_bytes())


def _new_record(sweep: Sweep, name: str, shards: str, lanes: int) -> SweepRecord:
    versions = {
        "vibesweep": __version__,
        **{package: version(package) for package in RECORDED_VERSIONS},
    }
    signature = read_manifest(shards).signature
    return SweepRecord(
        name,
        located(sweep.model),
        shards,
        signature,
        as_json(sweep),
        lanes,
        versions,
        started_unix_s=time.time(),
    )


def _lane_spec(
    sweep: Sweep,
    folder: SweepFolder,
    staged: StagedFolder,
    record: SweepRecord,
    number: int,
    one: TrialResources,
) -> LaneSpec:
    return LaneSpec(
        name=f"{record.name}-lane-{number}",
        model=record.model,
        shards=record.shards,
        checkpoints=folder.checkpoints,
        states=folder.states,
        scratch=staged.scratch,
        max_steps=sweep.budget.max_steps,
        resources=one,
    )


@contextmanager
def _quiet_ray() -> Iterator[None]:
    """Keep Tune's and Train's own tables and files away: the sweep has its own."""
    wanted = {
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_WARN_THRESHOLD_S": "60",
        "TUNE_GLOBAL_CHECKPOINT_S": "60",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    tune_log = logging.getLogger("ray.tune")
    level = tune_log.level
    tune_log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        tune_log.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
