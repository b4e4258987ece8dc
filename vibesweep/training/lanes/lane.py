"""The driver's side of lanes: brings worker groups up, keeps them up and ends them.

A lane is one Ray Train worker group that stays up and takes trial after trial. Its processes, their
process group and their :class:`~vibesweep.training.worker_context.WorkerContext` stay warm. A trial
changes only its :class:`~vibesweep.training.trial_run.TrialRun`, which is dropped before the next
one is made. docs/design/lanes.md says why it is built this way and what was measured.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vibesweep.cluster.ray_internals import ENV_VARS_TO_PROPAGATE, get_dashboard_url
from vibesweep.training.lanes.dispatcher import LaneDispatcher
from vibesweep.training.lanes.failures import lane_failure, tell_group_lost
from vibesweep.training.lanes.messages import Answer
from vibesweep.training.lanes.spec import LaneSpec

POLL_S = 0.2
"""How often Train's controller looks at its workers: how late a killed worker is noticed."""
ASK_AGAIN_S = 5.0
"""How long a lane waits for hosts at a time: how long an unwanted lane goes on asking for them."""
STATE_API = "RAY_API_SERVER_ADDRESS"
"""The environment variable by which Ray's State API is found."""


@contextmanager
def running_dispatcher(
    trials: int | None = None, sweep: str = "", trials_per_lane: int = 1
) -> Iterator[Any]:
    """Run a dispatcher that trials and lanes of the whole cluster can reach, until the block ends.

    The actor holds no CPU and runs on the driver's host. On another host it would be lost, and the
    sweep with it, when the autoscaler gives that host back as idle.

    Args:
        trials: as for :class:`LaneDispatcher`.
        sweep: as for :class:`LaneDispatcher`.
        trials_per_lane: as for :class:`LaneDispatcher`.

    Yields:
        The actor's handle.
    """
    own_host = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(own_host, soft=False)
    actor_class: Any = ray.remote(num_cpus=0)(LaneDispatcher)
    placed = actor_class.options(scheduling_strategy=here)
    dispatcher = placed.remote(trials, sweep, trials_per_lane)
    try:
        yield dispatcher
    finally:
        with suppress(RayError):  # Ray itself may be gone
            # Tune keeps a reference, which would hold the actor for as long as the driver lives
            ray.kill(dispatcher)


class Lanes:
    """The sweep's lanes, each a ``TorchTrainer.fit()`` in a thread of the driver.

    The driver owns them, so they outlive every trial.

    Args:
        dispatcher: the actor of :func:`running_dispatcher`.
        specs: one for each lane.
    """

    def __init__(self, dispatcher: Any, specs: Sequence[LaneSpec]) -> None:
        self._dispatcher = dispatcher
        self._threads = [
            threading.Thread(target=self._keep_up, args=(spec,), name=spec.name, daemon=True)
            for spec in specs
        ]
        self._closing = threading.Event()
        self._state_api_before = os.environ.get(STATE_API)

    def start(self) -> None:
        """Bring the lanes up; return at once."""
        _set_state_api(get_dashboard_url() or self._state_api_before)
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_S))
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(ASK_AGAIN_S))
        # Each lane is a run in the dashboard's Train API
        os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")
        names = [thread.name for thread in self._threads]
        ray.get(self._dispatcher.register.remote(names))
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """End each lane after its current command, or after ``timeout_s`` with its processes.

        When this returns no thread calls Ray any more. A call after Ray's end would end this whole
        process (Ray's core worker exits then) before the best trial is exported.
        """
        self._closing.set()
        with suppress(RayError):  # where Ray itself is gone, so are the lanes
            ray.get(self._dispatcher.close.remote())
            late = self._alive_after(timeout_s)
            if late:
                pids = ray.get(self._dispatcher.controller_pids.remote())
                _kill([pid for name, pid in pids.items() if name in late])
        self._alive_after(timeout_s)
        _set_state_api(self._state_api_before)

    def sweep_failure(self) -> Answer | None:
        """Return why no lane can go on, if that is so."""
        try:
            answer: Answer | None = ray.get(self._dispatcher.sweep_failure.remote())
        except RayError as error:
            return lane_failure("Ray's dispatcher", error)
        return answer

    def _keep_up(self, spec: LaneSpec) -> None:
        """Run a lane to its end; bring it up again when its controller was lost."""
        goes_on = True
        while goes_on:
            try:
                from vibesweep.training.lanes.trainer import make_trainer  # it loads torch

                make_trainer(spec, self._dispatcher).fit()
                goes_on = False
            except Exception as error:
                goes_on = not self._closing.is_set() and self._report(spec.name, error)

    def _report(self, lane: str, error: Exception) -> bool:
        """Tell the dispatcher why a lane broke off; return whether to bring it up again.

        Ray ends the worker group of a controller whose process died. The dispatcher counts that as
        it counts other lost groups, and closes a lane that has lost too many, which is told so when
        it comes up. So it is with a worker that is lost in the moment in which the controller gives
        it the lane's code, which Train does not try again. Any other error gives the lane up; the
        main thread raises that of the last one.
        """
        reason = lane_failure(lane, error)
        lost = isinstance(error, RayActorError) or _lost_in_controller(error)
        with suppress(RayError):  # the dispatcher is gone too, and the sweep with it
            if lost:
                seen = dataclasses.replace(reason, lost=True)
                tell_group_lost(self._dispatcher, lane, seen)
            else:
                ray.get(self._dispatcher.give_up.remote(lane, reason))
            return lost
        return False

    def _alive_after(self, timeout_s: float) -> set[str]:
        """Wait for the lanes to end; return those that are still up after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return {thread.name for thread in self._threads if thread.is_alive()}


def _lost_in_controller(error: Exception) -> bool:
    """Tell whether Train's controller has given up over a process that was lost."""
    failure = getattr(error, "controller_failure", None)
    return isinstance(failure, RayActorError)


def _set_state_api(address: str | None) -> None:
    """Tell Train's helper actors where to ask whether a lane's controller is alive.

    Otherwise they ask the cluster that was last started by hand on their host. Where that is
    another one, or gone, a lane takes 20 seconds longer to end, and the dashboard calls its run
    aborted.
    """
    ENV_VARS_TO_PROPAGATE.add(STATE_API)
    if not address:
        os.environ.pop(STATE_API, None)
    elif "://" in address:
        os.environ[STATE_API] = address
    else:
        os.environ[STATE_API] = f"http://{address}"


def _kill(controllers: Sequence[int]) -> None:
    """Kill Train's controllers, which run on the driver's host; Ray then ends their workers."""
    for pid in controllers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
