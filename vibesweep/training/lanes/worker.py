"""A lane's worker process: opens the worker context once, then trains trial after trial.

With several trials at a time each seat has a thread, which runs its trial's commands in turns.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray import train
from ray.train.collective import broadcast_from_rank_zero

from vibesweep.cluster.lane_capacity import workers_on
from vibesweep.cluster.nodes import check_own_host, own_node
from vibesweep.cluster.ray_internals import get_train_context
from vibesweep.config import TrialResources, TrialSettings
from vibesweep.corpus.shards.manifest import check_signature
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.training.lanes.failures import lane_failure, stall_failure, trial_failure
from vibesweep.training.lanes.messages import Answer, Command, Pace, RankError
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.watchdog import ended_if_stalled

if TYPE_CHECKING:  # torch loads in the worker alone: the driver imports this module too
    from vibesweep.training.hearing import TrialListener
    from vibesweep.training.lanes.trial_runner import TrialRunner
    from vibesweep.training.worker_context import WorkerContext

CLIPS_SHARE = 0.5
"""Share of a worker's part of its host's memory that encoded clips may take.

The host's memory is what Ray counts on, some 70 % of all. The rest is for models, optimizers and
batches.
"""
VALIDATIONS = 10.0
"""How many times longer than the untouched base's a trial's validation may take, as in an unlucky
moment of a shared machine: no step is done in it."""


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


class HostGoesError(Exception):
    """A host of the lane is about to be taken away, and this seat's trial has left it."""


class LaneWorker:
    """One rank of a lane, as it speaks with the dispatcher."""

    def __init__(self, spec: LaneSpec, dispatcher: Any) -> None:
        self._spec = spec
        self._dispatcher = dispatcher
        self._rank = train.get_context().get_world_rank()
        self._size = train.get_context().get_world_size()
        self._listener: TrialListener | None = None
        self._validation_s = 0.0
        self._trials = 1
        self._busy_seats = 0
        self._changed = threading.Condition()
        self.generation = self._open_generation()

    def open_context(self) -> WorkerContext | None:
        """Load what stays warm and report ready; ``None`` where a rank of the lane cannot."""
        context, refusal = self._try_to_open()
        if not self._may_begin(refusal):
            return None
        assert context is not None
        with self._errors_told(trial_id=None):
            began_s = time.monotonic()
            base_loss = context.validate(context.base)
            self._validation_s = time.monotonic() - began_s
            self._trials = self._trials_that_fit(context)
            context = dataclasses.replace(context, trials=self._trials)
            pace = Pace(_measured_step_s(context, self._spec.typical), self._validation_s)
        # What stays warm is never garbage. Without this each collection between two trials looked
        # through all of it, which took longer than making a trial's model.
        gc.freeze()
        report_ready = self._dispatcher.report_ready
        name = self._spec.name
        ready = report_ready.remote(
            name, self.generation, self._rank, base_loss, pace, self._trials
        )
        ray.get(ready)
        return context

    def _trials_that_fit(self, context: WorkerContext) -> int:
        """Return how many trials this lane trains at the same time."""
        from vibesweep.training.room import trials_that_fit

        most = ray.get(self._dispatcher.most_trials.remote(self._spec.name))
        return trials_that_fit(context, self._spec.rehearsed, most)

    def run_commands(self, context: WorkerContext) -> None:
        """Run each seat's commands in order until the dispatcher has no more."""
        if self._trials == 1:
            self._run_seat(context, 0)
            return
        ended: queue.Queue[Exception | None] = queue.Queue()

        def run(seat: int) -> None:
            try:
                self._run_seat(context, seat)
                ended.put(None)
            except Exception as error:
                ended.put(error)

        for seat in range(self._trials):
            thread = threading.Thread(target=run, args=(seat,), name=f"seat {seat}", daemon=True)
            thread.start()
        for _ in range(self._trials):
            error = ended.get()
            if isinstance(error, HostGoesError):  # the other trials save their states too
                with self._changed:
                    self._changed.wait_for(lambda: self._busy_seats == 0)
            if error is not None:  # it ends this process, and with it the other threads
                raise error

    def _run_seat(self, context: WorkerContext, seat: int) -> None:
        """Run one seat's commands in order until the dispatcher has no more."""
        from vibesweep.training.lanes.trial_runner import TrialRunner

        runner = TrialRunner(self._spec, context, self._rank, self._listener)
        number = 0
        command = self._next_command(seat, number)
        while command is not None:
            with self._errors_told(command.trial_id), self._ended_if_stalled(command, runner):
                with self._in_hand(), context.turns:
                    answer = runner.run(command)
            if answer.leaving:
                self._leave(command.trial_id, answer)
            if self._rank == 0:
                self._record_answer(seat, number, answer)
            number += 1
            command = self._next_command(seat, number)

    @contextmanager
    def _in_hand(self) -> Iterator[None]:
        """Count a seat that has a command in hand."""
        with self._changed:
            self._busy_seats += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy_seats -= 1
                self._changed.notify_all()

    def _open_generation(self) -> int | None:
        """Announce the new worker group once, and tell every rank its generation."""
        generation = None
        if self._rank == 0:
            opened = self._dispatcher.open_generation.remote(self._spec.name, self._size)
            generation = ray.get(opened)
        shared: int | None = broadcast_from_rank_zero(generation)
        return shared

    def _try_to_open(self) -> tuple[WorkerContext | None, Answer | None]:
        """Open the worker context without waiting for other ranks, or say why it cannot be."""
        try:
            check_own_host(_folders_of(self._spec))
            check_signature(self._spec.shards, self._spec.shards_signature)
            context = _open_context(self._spec, self._rank, self._size)
            if self._rank == 0 and self._spec.heard_steps:
                self._listener = _open_listener(self._spec)
            return context, None
        except Exception as error:
            return None, lane_failure(self._spec.name, error)

    def _may_begin(self, refusal: Answer | None) -> bool:
        """Wait until all ranks know whether each of them could open its worker context."""
        may_begin = self._dispatcher.may_begin
        answer = may_begin.remote(self._spec.name, self.generation, self._rank, refusal)
        return bool(ray.get(answer))

    def _ended_if_stalled(
        self, command: Command, runner: TrialRunner
    ) -> AbstractContextManager[None]:
        """End this process, once it has told its stacks, if the trial's step stays the same."""
        limit_s = self._spec.step_timeout_s + VALIDATIONS * self._validation_s

        def tell(stacks: str) -> None:
            failure = stall_failure(self._spec.name, self._rank, limit_s, stacks)
            self._tell_error(RankError(command.trial_id, failure))

        return ended_if_stalled(limit_s, lambda: runner.progress, tell)

    @contextmanager
    def _errors_told(self, trial_id: str | None) -> Iterator[None]:
        """Tell the dispatcher of an exception, then let it end this worker.

        What is left in this process is unknown, so Train brings up a fresh worker group. The
        controller sees the exception too, but without its traceback. Raised is an error that can be
        pickled, which not every exception can.
        """
        try:
            yield
        except Exception as error:
            failure = trial_failure(trial_id or self._spec.name, error, self._trials)
            self._tell_error(RankError(trial_id, failure))
            if isinstance(failure.error, StorageError):  # each trial to come would find it so
                ray.get(self._dispatcher.give_up.remote(self._spec.name, failure))
            assert failure.error is not None
            raise failure.error from error

    def _tell_error(self, told: RankError) -> None:
        tell_error = self._dispatcher.tell_error
        ray.get(tell_error.remote(self._spec.name, self.generation, self._rank, told))

    def _leave(self, trial_id: str, answer: Answer) -> None:
        """End this worker, whose trial has saved its state: Train brings the lane up elsewhere.

        The lane takes no other trial from here on.
        """
        self._tell_error(RankError(trial_id, answer))
        raise HostGoesError(str(answer.error))

    def _next_command(self, seat: int, number: int) -> Command | None:
        name = self._spec.name
        next_command = self._dispatcher.next_command.options(name=f"{name} take")
        asked = next_command.remote(name, self.generation, number, seat)
        command: Command | None = ray.get(asked)
        return command

    def _record_answer(self, seat: int, number: int, answer: Answer) -> None:
        name = self._spec.name
        record_answer = self._dispatcher.record_answer.options(name=f"{name} answer")
        ray.get(record_answer.remote(name, self.generation, number, answer, seat))


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

    from vibesweep.training.compute import can_compile, start_compilers
    from vibesweep.training.worker_context import WorkerContext
    from vibesweep.training.workers import World, is_cuda

    torch.set_num_threads(max(spec.resources.cpus_per_worker, 1))
    device_share = spec.resources.gpus_per_worker or 1.0
    world = World(rank, size, str(get_device()), device_share)
    if is_cuda(world.device) and can_compile():
        start_compilers()
    clips_bytes = _clips_bytes(spec.resources)
    context = WorkerContext.open(spec.model, spec.shards, world, clips_bytes)
    return dataclasses.replace(context, must_leave=_host_goes)


def _host_goes() -> bool:
    """Tell whether a host of this lane is about to go: the cluster drains it, or was told so.

    Train's own `get_preemption_info` meets all workers in an actor each time it is asked.
    """
    return get_train_context().preemption_context.preemption_info is not None


def _open_listener(spec: LaneSpec) -> TrialListener:
    from vibesweep.training.hearing import TrialListener

    return TrialListener(spec.model, spec.shards, spec.shards_signature, spec.aim.measures)


def _measured_step_s(context: WorkerContext, settings: TrialSettings) -> float | None:
    from vibesweep.training.pace import measured_step_s

    return measured_step_s(context, settings)


def _clips_bytes(resources: TrialResources) -> float:
    """Bytes that a worker may fill with clips, as if its host were full of such workers."""
    host = own_node()["Resources"]
    workers = max(workers_on(host, resources), 1)
    return float(CLIPS_SHARE * host["memory"] / workers)
