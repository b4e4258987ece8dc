"""How a failure of a trial, or of a lane, is told to the dispatcher and to the user."""

from __future__ import annotations

import traceback
from typing import Any

import ray
from ray import train

from vibesweep.cluster.nodes import live_nodes
from vibesweep.errors import SweepError, TrialError, VibesweepError
from vibesweep.storage.os_errors import storage_error
from vibesweep.storage.secrets import without_secrets
from vibesweep.training.lanes.endings import has_lost_host, is_for_a_peer, is_out_of_memory
from vibesweep.training.lanes.messages import Answer

SMALLER_MODEL_FIX = (
    "take lora or freeze in place of full, gradient_checkpointing, bf16, shorter clips, "
    "or a smaller micro_batch_tokens"
)
LOG_FIX = "its traceback is in the sweep's folder, in errors"
STACKS_FIX = "the stacks of its workers are in the sweep's folder, in errors"
MESSAGE_CHARACTERS = 300
"""Characters of an exception's text that one line quotes."""


class WorkerFailureCallback(train.UserCallback):
    """Tells the dispatcher that a worker failed, as Train's controller saw it.

    A process that was killed cannot tell the dispatcher itself.
    """

    def __init__(self, lane: str, dispatcher: Any) -> None:
        self._lane = lane
        self._dispatcher = dispatcher

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Say what was seen, which ends the trial; Train then brings the group up again."""
        seen = group_failure(self._lane, worker_exceptions)
        tell_group_lost(self._dispatcher, self._lane, seen)


def tell_group_lost(dispatcher: Any, lane: str, seen: Answer) -> None:
    """Tell the dispatcher that a lane's worker group is lost, and which hosts are up by now."""
    hosts_up = [node["NodeID"] for node in live_nodes()]
    ray.get(dispatcher.fail_worker_group.remote(lane, seen, hosts_up))


def group_failure(lane: str, errors: dict[int, Exception]) -> Answer:
    """Say why a worker group was lost; ``lost`` if one of its processes has died.

    Args:
        lane: name of the lane.
        errors: what the controller found, by rank. A death is the reason for all others; errors of
            collectives are the reason for none.
    """
    deaths = []
    causes = []
    for rank, error in errors.items():
        if _died(error):
            deaths.append(rank)
        elif not is_for_a_peer(error):
            causes.append(rank)
    first = min(deaths or causes or errors)
    reason = _one_line(errors[first])
    found = f"worker {first} of {lane} was lost: {reason}"
    trial_error = TrialError(found, fix=_fix_for(errors[first]))
    host_died = any(has_lost_host(error) for error in errors.values())
    return Answer(error=trial_error, lost=bool(deaths), host_died=host_died)


def lane_failure(lane: str, error: BaseException) -> Answer:
    """Say why a lane cannot come up or go on."""
    known = _known(error)
    if known is not None:
        return Answer(error=known)
    reason = _one_line(error)
    found = f"{lane} could not come up or go on: {reason}"
    sweep_error = SweepError(found, fix=_fix_for(error))
    traced = _traceback_of(error)
    return Answer(error=sweep_error, traceback=traced, host_died=has_lost_host(error))


def trial_failure(trial_id: str, error: BaseException, trials: int = 1) -> Answer:
    """Say why a trial failed; ``lost`` if its worker only missed others, or was crowded.

    Args:
        trial_id: the trial.
        error: what its worker met.
        trials: that the worker trained at the same time.
    """
    known = _known(error)
    if known is not None:
        return Answer(error=known)
    if is_out_of_memory(error) and trials > 1:
        return _crowded(trial_id, error, trials)
    reason = _one_line(error)
    found = f"it raised {reason}"
    trial_error = TrialError(found, where=trial_id, fix=_fix_for(error))
    by_settings = is_out_of_memory(error)
    return Answer(
        error=trial_error,
        traceback=_traceback_of(error),
        lost=is_for_a_peer(error) and not by_settings,
        by_settings=by_settings,
    )


def _crowded(trial_id: str, error: BaseException, trials: int) -> Answer:
    """Say that memory ran out which would have done for fewer trials: this one goes on."""
    found = f"memory ran out with room made for {trials} trials at the same time"
    told = TrialError(found, where=trial_id, fix="it goes on among fewer")
    return Answer(error=told, traceback=_traceback_of(error), lost=True, crowded=True)


def stall_failure(lane: str, rank: int, limit_s: float, stacks: str) -> Answer:
    """Say that a worker made no progress, which another lane may do better."""
    found = f"no step was done for {limit_s:.0f} s"
    fix = f"{STACKS_FIX}; where steps take so long give the sweep a larger step_timeout_s"
    told = f"worker {rank} of {lane}:\n{stacks}"
    return Answer(error=TrialError(found, fix=fix), traceback=told, lost=True, stalled=True)


def _known(error: BaseException) -> VibesweepError | None:
    """Return an error that the user can mend, the disk's among them; ``None`` for any other."""
    return error if isinstance(error, VibesweepError) else storage_error(error)


def _traceback_of(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return without_secrets("".join(lines))


def _died(error: BaseException) -> bool:
    """Tell whether a process died: Train wraps that in an error of its own, with this attribute."""
    return getattr(error, "health_check_failure", None) is not None


def _one_line(error: BaseException) -> str:
    if has_lost_host(error):
        return "its host is gone"
    if _died(error):
        return "its process died (killed, or out of memory)"
    kind = type(error).__name__
    words = without_secrets(str(error)).split()
    text = " ".join(words)[:MESSAGE_CHARACTERS]
    return f"{kind}: {text}" if text else kind


def _fix_for(error: BaseException) -> str:
    return SMALLER_MODEL_FIX if is_out_of_memory(error) else LOG_FIX
