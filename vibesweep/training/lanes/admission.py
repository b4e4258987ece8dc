"""Lets a lane ask the cluster for hosts only while the sweep wants the lane."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray.exceptions import RayActorError

from vibesweep.cluster.ray_internals import (
    ControllerCallback,
    WorkerGroupCallback,
    WorkerGroupStartupFailedError,
)
from vibesweep.training.lanes.failures import lane_failure, tell_group_lost


class LaneNotWantedError(Exception):
    """The sweep has no trials left for this lane."""


class LaneAdmissionCallback(WorkerGroupCallback, ControllerCallback):
    """Asks the dispatcher, each time Train asks for a worker group, whether the lane is wanted.

    Train asks by a placement group, waits for it for a while, gives up and asks again, without end.
    So a lane whose hosts are late, or never come, passes here every few seconds. Train calls these
    hooks in its controller's process.
    """

    def __init__(self, lane: str, dispatcher: Any) -> None:
        self._lane = lane
        self._dispatcher = dispatcher

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """End a lane that is not wanted any more, by an error that Train does not try again."""
        request = self._dispatcher.request_start.remote(self._lane, os.getpid())
        try:
            wanted = ray.get(request)
        except RayActorError:  # the sweep is over; without this Train would try again for ever
            wanted = False
        if not wanted:
            raise LaneNotWantedError(self._lane)

    def before_init_train_context(self, workers: list[Any]) -> dict[str, list[Any]]:
        """Tell the dispatcher that the cluster had room: the lane's processes are there."""
        hosts = [worker.metadata.node_id for worker in workers]
        ray.get(self._dispatcher.mark_placed.remote(self._lane, hosts))
        return {}

    def after_controller_state_update(self, previous_state: Any, current_state: Any) -> None:
        """Report processes that were lost before the lane's own code began; Train does not."""
        training_failure = getattr(current_state, "training_failed_error", None)
        failure = getattr(training_failure, "controller_failure", None)
        if isinstance(failure, WorkerGroupStartupFailedError):
            answer = lane_failure(self._lane, failure)
            tell_group_lost(self._dispatcher, self._lane, answer)
