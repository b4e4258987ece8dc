"""A lane: one Ray Train worker group that stays up and takes trial after trial.

What stays warm is the processes, the process group and the :class:`~vibesweep.training.worker_context.WorkerContext` (the loaded base, the
encoded shards). What a trial changes is a :class:`~vibesweep.training.loop.TrialRun`, dropped before the next one is made.
docs/design/lanes.md says why it is built this way and what was measured.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import train
from ray._private.worker import get_dashboard_url
from ray.exceptions import RayError
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vibesweep.cluster.nodes import check_own, own_node
from vibesweep.cluster.placement import workers_on
from vibesweep.config import TrialResources
from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.callbacks import (
    LaneAdmissionCallback,
    NetworkInterfaceCallback,
    WorkerFailureCallback,
    failure_of,
    verdict_of,
)
from vibesweep.training.lanes.dispatcher import Answer, LaneDispatcher
from vibesweep.training.lanes.spec import LaneSpec

if (
    TYPE_CHECKING
):  # torch comes in where a worker needs it: the driver, which imports this too, does not
    from vibesweep.training.worker_context import WorkerContext

CLIPS_SHARE = 0.5
"""Of a worker's part of the memory that Ray counts on, which is some 70 % of its host's: what its encoded clips may take. The rest is for
models, optimizers and batches."""

POLL_S = 0.2  # how often Train's controller looks at its workers: bounds how late a killed worker is noticed
ASK_AGAIN_S = 5.0
"""How long a lane waits for hosts at a time: bounds how long one that is not wanted any more goes on asking for them."""

STATE_API = "RAY_API_SERVER_ADDRESS"
"""The environment variable by which Ray's State API is found."""


@contextmanager
def dispatcher_up(trials: int | None = None, sweep: str = "") -> Iterator[Any]:
    """A dispatcher that trials and lanes of the whole cluster can reach. It holds no CPU, and it goes when the block ends.

    It is on the driver's host: one that the cluster gives back, as idle, would take it along, and with it the sweep.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    dispatcher: Any = (
        ray.remote(num_cpus=0)(LaneDispatcher)
        .options(scheduling_strategy=here)
        .remote(trials, sweep)
    )
    try:
        yield dispatcher
    finally:
        with suppress(RayError):  # Ray itself may be gone
            ray.kill(
                dispatcher
            )  # what Tune keeps of it would hold it for as long as the driver lives


# In each worker process


def lane_worker(config: dict[str, Any]) -> None:
    """Runs on every rank: open the workbench once, then obey commands until there are no more."""
    spec: LaneSpec = config["spec"]
    dispatcher = config["dispatcher"]
    rank, size = train.get_context().get_world_rank(), train.get_context().get_world_size()
    opened = ray.get(dispatcher.open.remote(spec.name, size)) if rank == 0 else None
    generation = broadcast_from_rank_zero(opened)
    if generation is None:
        return
    try:
        check_own(_folders_of(spec))
        context = _open_context(spec, rank, size)
        base_loss = context.validate(context.base)
    except ResourceError as error:  # of this host: the others go on
        ray.get(dispatcher.give_up.remote(spec.name, verdict_of(spec.name, error)))
        return
    except Exception as error:  # whatever it is, it would come again: the sweep ends with it
        ray.get(dispatcher.close.remote(verdict_of(spec.name, error)))
        return
    gc.freeze()  # what stays warm is never garbage: looking through it again between trials took longer than making a trial's model
    ray.get(dispatcher.ready.remote(spec.name, generation, rank, os.getpid(), base_loss))
    _run_commands(spec, dispatcher, generation, rank, context)


def _folders_of(spec: LaneSpec) -> list[StoragePath]:
    """What the driver saw before the lanes came up, and this host must see too: the sweep's own folder, the shards, a model's folder."""
    from vibesweep.models.bundle import checkpoint_address

    model = checkpoint_address(spec.model) or spec.model
    return [
        spec.checkpoints.parent,
        StoragePath.of(spec.shards),
        *([StoragePath.of(model)] if Path(model).is_absolute() else []),
    ]


def _open_context(spec: LaneSpec, rank: int, size: int) -> WorkerContext:
    # Batches of many shapes: without it the allocator's fragments took another 13 GB beside a trial's 68 (docs/design/training.md)
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    import torch
    from ray.train.torch import get_device

    from vibesweep.training.worker_context import WorkerContext, World

    torch.set_num_threads(max(spec.resources.cpus_per_worker, 1))
    world = World(rank, size, str(get_device()), spec.resources.gpus_per_worker or 1.0)
    return WorkerContext.open(spec.model, spec.shards, world, _clips_bytes(spec.resources))


def _clips_bytes(resources: TrialResources) -> float:
    """Memory that a worker may fill with clips, as if its host were full of such workers."""
    host = own_node()["Resources"]
    return float(CLIPS_SHARE * host["memory"] / max(workers_on(host, resources), 1))


def _run_commands(
    spec: LaneSpec, dispatcher: Any, generation: int, rank: int, context: WorkerContext
) -> None:
    from vibesweep.training.lanes.trial_runner import TrialRunner

    runner, number = TrialRunner(spec, context, rank), 0
    while (
        command := ray.get(
            dispatcher.take.options(name=f"{spec.name} take").remote(spec.name, generation, number)
        )
    ) is not None:
        try:
            answer = runner.run(command)
        except Exception as error:
            # Told here too, because the controller would tell it only at its next look, and without the traceback.
            ray.get(dispatcher.fail.remote(spec.name, failure_of(command.trial_id, error)))
            raise  # whatever it left behind in this process is unknown: FailureConfig brings up a fresh group
        if rank == 0:
            ray.get(
                dispatcher.answer.options(name=f"{spec.name} answer").remote(
                    spec.name, generation, number, answer
                )
            )
        number += 1


# In the driver


class Lanes:
    """The sweep's lanes, each a ``TorchTrainer.fit()`` in a thread of the driver, which owns them and outlives every trial."""

    def __init__(self, dispatcher: Any, specs: list[LaneSpec], restarts: int) -> None:
        self._dispatcher = dispatcher
        self._names = [spec.name for spec in specs]
        self._threads = [
            threading.Thread(target=self._run, args=(spec, restarts), name=spec.name, daemon=True)
            for spec in specs
        ]
        self._closing = threading.Event()
        self._state_api_before = os.environ.get(STATE_API)

    def start(self) -> None:
        """Bring the lanes up; returns at once."""
        _name_state_api(get_dashboard_url() or self._state_api_before)
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_S))
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(ASK_AGAIN_S))
        ray.get(self._dispatcher.expect.remote(self._names))
        os.environ.setdefault(
            "RAY_TRAIN_ENABLE_STATE_TRACKING", "1"
        )  # each lane is a run in the dashboard's Train API
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Have each lane end after the command in hand; one that has not ended after so long is ended with its processes.

        When this returns no thread asks anything of Ray: one that did so after Ray's end would end this process (Ray's core worker
        exits then), with the best trial not exported yet.
        """
        self._closing.set()
        with suppress(RayError):  # where Ray itself is gone, so are the lanes
            ray.get(self._dispatcher.close.remote())
            if late := self._alive_after(timeout_s):
                pids = ray.get(self._dispatcher.controller_pids.remote())
                _kill([pid for name, pid in pids.items() if name in late])
        self._alive_after(timeout_s)
        _name_state_api(self._state_api_before)

    def _alive_after(self, timeout_s: float) -> set[str]:
        """The lanes that are still up so many seconds from now, or as soon as there are none."""
        ends = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        return {thread.name for thread in self._threads if thread.is_alive()}

    def verdict(self) -> Answer | None:
        """Why no lane can go on, if that is so."""
        try:
            answer: Answer | None = ray.get(self._dispatcher.verdict.remote())
        except RayError as error:
            return verdict_of("Ray's dispatcher", error)
        return answer

    def _run(self, spec: LaneSpec, restarts: int) -> None:
        try:
            make_trainer(spec, self._dispatcher, restarts).fit()
        except Exception as error:  # becomes the sweep's error, in the driver's main thread, if no other lane is left
            if not self._closing.is_set():
                ray.get(self._dispatcher.give_up.remote(spec.name, verdict_of(spec.name, error)))


def _name_state_api(address: str | None) -> None:
    """Tell Train's helpers where to ask whether a lane's controller is alive.

    Left to themselves they ask the cluster that was last started by hand on their host. Where that is another, or none any more, a
    lane takes 20 seconds longer to end, and the dashboard says that its run was aborted.
    """
    ENV_VARS_TO_PROPAGATE.add(STATE_API)
    if not address:
        os.environ.pop(STATE_API, None)
    else:
        os.environ[STATE_API] = address if "://" in address else f"http://{address}"


def _kill(controllers: list[int]) -> None:
    """Kill Train's controllers, which run on the driver's host; Ray ends their workers, wherever those are."""
    for pid in controllers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def make_trainer(spec: LaneSpec, dispatcher: Any, restarts: int) -> Any:
    """The worker group of one lane, as Ray Train runs it."""
    from ray.train.torch import TorchTrainer

    share = {"CPU": spec.resources.cpus_per_worker, "GPU": spec.resources.gpus_per_worker}
    return TorchTrainer(
        lane_worker,
        train_loop_config={"spec": spec, "dispatcher": dispatcher},
        scaling_config=train.ScalingConfig(
            num_workers=spec.resources.workers,
            use_gpu=spec.resources.gpus_per_worker > 0,
            resources_per_worker={name: amount for name, amount in share.items() if amount},
            placement_strategy="PACK",  # on one host where there is one with room, on several where not
            accelerator_type=spec.resources.accelerator_type,
        ),
        run_config=train.RunConfig(  # type: ignore[call-arg]  # mypy reads the classes of Train V1
            name=spec.name,
            storage_path=str(spec.scratch),
            # No limit on what the controller meets, which is hosts that are not there yet; starts that fail are counted by the dispatcher
            failure_config=train.FailureConfig(max_failures=restarts, controller_failure_limit=-1),  # type: ignore[call-arg]
            callbacks=[
                WorkerFailureCallback(spec.name, dispatcher),
                LaneAdmissionCallback(spec.name, dispatcher),
                NetworkInterfaceCallback(),
            ],  # type: ignore[list-item]
            logging_config=train.LoggingConfig(log_level="CRITICAL"),
        ),
    )
