"""A lane's worker process: opens the worker context once, then trains trial after trial."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import ray
from ray import train
from ray.train.collective import broadcast_from_rank_zero

from vibesweep.cluster.lane_capacity import workers_on
from vibesweep.cluster.nodes import check_own_host, own_node
from vibesweep.config import TrialResources
from vibesweep.errors import DiskFullError, ResourceError
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.failures import lane_failure, trial_failure
from vibesweep.training.lanes.messages import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec

if TYPE_CHECKING:  # torch loads in the worker alone: the driver imports this module too
    from vibesweep.training.worker_context import WorkerContext

CLIPS_SHARE = 0.5
"""Share of a worker's part of its host's memory that encoded clips may take.

The host's memory is what Ray counts on, some 70 % of all. The rest is for models, optimizers and
batches.
"""


def lane_worker(config: dict[str, Any]) -> None:
    """Open the worker context, then run commands until there are none. Runs on every rank.

    Args:
        config: ``spec``, the :class:`LaneSpec`, and ``dispatcher``, the actor.
    """
    worker = LaneWorker(config["spec"], config["dispatcher"])
    if worker.generation is None:
        return
    context = worker.open_context()
    if context is not None:
        worker.run_commands(context)


class LaneWorker:
    """One rank of a lane, as it speaks with the dispatcher."""

    def __init__(self, spec: LaneSpec, dispatcher: Any) -> None:
        self._spec = spec
        self._dispatcher = dispatcher
        self._rank = train.get_context().get_world_rank()
        self._size = train.get_context().get_world_size()
        self.generation = self._open_generation()

    def open_context(self) -> WorkerContext | None:
        """Load what stays warm and report ready; ``None`` where the lane cannot be opened."""
        name = self._spec.name
        try:
            check_own_host(_folders_of(self._spec))
            context = _open_context(self._spec, self._rank, self._size)
            base_loss = context.validate(context.base)
        except ResourceError as error:  # a fault of this host: the other lanes go on
            ray.get(self._dispatcher.give_up.remote(name, lane_failure(name, error)))
            return None
        except Exception as error:  # it would come again on every lane: the sweep ends
            ray.get(self._dispatcher.close.remote(lane_failure(name, error)))
            return None
        # What stays warm is never garbage. Without this each collection between two trials looked
        # through all of it, which took longer than making a trial's model.
        gc.freeze()
        ready = self._dispatcher.report_ready.remote(name, self.generation, self._rank, base_loss)
        ray.get(ready)
        return context

    def run_commands(self, context: WorkerContext) -> None:
        """Run the lane's commands in order until the dispatcher has no more."""
        from vibesweep.training.lanes.trial_runner import TrialRunner

        runner = TrialRunner(self._spec, context, self._rank)
        number = 0
        command = self._next_command(number)
        while command is not None:
            answer = self._run(runner, command)
            if self._rank == 0:
                self._record_answer(number, answer)
            number += 1
            command = self._next_command(number)

    def _open_generation(self) -> int | None:
        """Announce the new worker group once, and tell every rank its generation."""
        generation = None
        if self._rank == 0:
            opened = self._dispatcher.open_generation.remote(self._spec.name, self._size)
            generation = ray.get(opened)
        shared: int | None = broadcast_from_rank_zero(generation)
        return shared

    def _run(self, runner: Any, command: Command) -> Answer:
        """Run a command.

        An exception fails the trial at once: the controller would report it only at its next look,
        without the traceback. It is raised again, because what it left in this process is unknown;
        ``FailureConfig`` then brings up a fresh worker group.
        """
        try:
            answer: Answer = runner.run(command)
        except Exception as error:
            failure = trial_failure(command.trial_id, error)
            if isinstance(failure.error, DiskFullError):  # each trial to come would find it full
                ray.get(self._dispatcher.close.remote(failure))
            ray.get(self._dispatcher.fail_worker_group.remote(self._spec.name, failure))
            raise
        return answer

    def _next_command(self, number: int) -> Command | None:
        name = self._spec.name
        next_command = self._dispatcher.next_command.options(name=f"{name} take")
        command: Command | None = ray.get(next_command.remote(name, self.generation, number))
        return command

    def _record_answer(self, number: int, answer: Answer) -> None:
        name = self._spec.name
        record_answer = self._dispatcher.record_answer.options(name=f"{name} answer")
        ray.get(record_answer.remote(name, self.generation, number, answer))


def _folders_of(spec: LaneSpec) -> list[StoragePath]:
    """List the folders that the driver saw and this host must see too.

    They are the sweep's own folder, the shards, and a model's folder.
    """
    folders = [spec.checkpoints.parent, StoragePath.of(spec.shards)]
    model = spec.model.family.folder(spec.model.address)
    if model is not None:
        folders.append(StoragePath.of(model))
    return folders


def _open_context(spec: LaneSpec, rank: int, size: int) -> WorkerContext:
    # Batches come in many shapes. Without this the allocator's fragments took another 13 GB beside
    # the 68 GB of a trial (docs/design/training.md).
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    import torch
    from ray.train.torch import get_device

    from vibesweep.training.worker_context import WorkerContext
    from vibesweep.training.workers import World

    torch.set_num_threads(max(spec.resources.cpus_per_worker, 1))
    device_share = spec.resources.gpus_per_worker or 1.0
    world = World(rank, size, str(get_device()), device_share)
    return WorkerContext.open(spec.model, spec.shards, world, _clips_bytes(spec.resources))


def _clips_bytes(resources: TrialResources) -> float:
    """Bytes that a worker may fill with clips, as if its host were full of such workers."""
    host = own_node()["Resources"]
    workers = max(workers_on(host, resources), 1)
    return float(CLIPS_SHARE * host["memory"] / workers)
