"""What a lane's Train controller tells the dispatcher, and how a lane's end is told to the user.

Train calls these hooks in the controller's process, and :class:`NetworkInterfaceCallback` in each worker's.
"""

from __future__ import annotations

import os
import traceback
from typing import Any

import ray
from ray import train
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
from ray.train.v2._internal.execution.callback import (
    ControllerCallback,
    WorkerCallback,
    WorkerGroupCallback,
)

from vibesweep.cluster.network import use_interface_of
from vibesweep.cluster.nodes import own_node
from vibesweep.errors import SweepError, TrialError, VibesweepError
from vibesweep.training.lanes.dispatcher import Answer


class WorkerFailureCallback(train.UserCallback):
    """Tells the dispatcher when Train has seen a worker fail, killed ones included, which could not tell it themselves."""

    def __init__(self, lane: str, dispatcher: Any) -> None:
        self._lane, self._dispatcher = lane, dispatcher

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Fail the trial that was running; ``FailureConfig`` then brings the group up again."""
        rank, error = min(worker_exceptions.items())
        found = f"worker {rank} of {self._lane} was lost: {_one_line(error)}"
        ray.get(
            self._dispatcher.fail.remote(
                self._lane,
                Answer(error=TrialError(found, fix=_fix_for(error)), lost=True),
                restarting=True,
            )
        )


class LaneAdmissionCallback(WorkerGroupCallback, ControllerCallback):
    """Stands between a lane and the cluster: it lets a lane ask for its worker group only while the lane is wanted.

    Train asks by a placement group, waits for it for a while, gives up and asks anew, without end. So a lane whose hosts are slow to
    come, or never come, comes by here every few seconds.
    """

    def __init__(self, lane: str, dispatcher: Any) -> None:
        self._lane, self._dispatcher = lane, dispatcher

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """End the lane, by an error that Train does not try again, once nobody wants it."""
        try:
            wanted = ray.get(self._dispatcher.ask.remote(self._lane, os.getpid()))
        except RayActorError:  # the sweep is over; without it Train would try again for ever
            wanted = False
        if not wanted:
            raise LaneNotWantedError(self._lane)

    def before_init_train_context(self, workers: list[Any]) -> dict[str, list[Any]]:
        """Say that there was room: the processes are there."""
        ray.get(self._dispatcher.placed.remote(self._lane))
        return {}

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Say so when processes were lost before the lane's code began, which Train tells nobody."""
        failure = getattr(
            getattr(current_state, "training_failed_error", None), "controller_failure", None
        )
        if isinstance(failure, WorkerGroupStartupFailedError):
            ray.get(
                self._dispatcher.fail.remote(
                    self._lane, verdict_of(self._lane, failure), restarting=True
                )
            )


class LaneNotWantedError(Exception):
    """The sweep has no trials left for this lane."""


class NetworkInterfaceCallback(WorkerCallback):
    """Has the process group use the interface of the address by which Ray knows the host: set before Train makes the group."""

    def after_init_train_context(self) -> None:
        """Set it in this worker."""
        use_interface_of(own_node()["NodeManagerAddress"])


def verdict_of(lane: str, error: BaseException) -> Answer:
    """Why a lane cannot go on."""
    if isinstance(error, VibesweepError):
        return Answer(error=error)
    found = f"{lane} could not come up or go on: {_one_line(error)}"
    return Answer(
        error=SweepError(found, fix=_fix_for(error)),
        traceback="".join(traceback.format_exception(error)),
    )


def failure_of(trial_id: str, error: BaseException) -> Answer:
    """Why a trial failed."""
    if isinstance(error, VibesweepError):
        return Answer(error=error)
    return Answer(
        error=TrialError(f"it raised {_one_line(error)}", where=trial_id, fix=_fix_for(error)),
        traceback="".join(traceback.format_exception(error)),
    )


def _one_line(error: BaseException) -> str:
    lost = getattr(
        error, "health_check_failure", None
    )  # Train wraps a dead process in an error of its own
    if lost is not None:
        return "its process died (killed, or out of memory)"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _fix_for(error: BaseException) -> str:
    if "out of memory" in str(error).lower():
        return "take lora or freeze in place of full, gradient_checkpointing, bf16, shorter clips, or a smaller micro_batch_tokens"
    return "look at errors.log in the sweep's folder"
