"""How a failure of a trial, or of a lane, is told to the dispatcher and to the user."""

from __future__ import annotations

import traceback
from typing import Any

import ray
from ray import train

from vibesweep.errors import SweepError, TrialError, VibesweepError
from vibesweep.storage.os_errors import storage_error
from vibesweep.training.lanes.messages import Answer

SMALLER_MODEL_FIX = (
    "take lora or freeze in place of full, gradient_checkpointing, bf16, shorter clips, "
    "or a smaller micro_batch_tokens"
)
LOG_FIX = "look at errors.log in the sweep's folder"
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
        """Fail the trial that was running; ``FailureConfig`` then brings the group up again."""
        rank = min(worker_exceptions)
        error = worker_exceptions[rank]
        reason = _one_line(error)
        found = f"worker {rank} of {self._lane} was lost: {reason}"
        trial_error = TrialError(found, fix=_fix_for(error))
        answer = Answer(error=trial_error, lost=True)
        ray.get(self._dispatcher.fail_worker_group.remote(self._lane, answer, restarting=True))


def lane_failure(lane: str, error: BaseException) -> Answer:
    """Say why a lane cannot come up or go on."""
    known = _known(error)
    if known is not None:
        return Answer(error=known)
    reason = _one_line(error)
    found = f"{lane} could not come up or go on: {reason}"
    sweep_error = SweepError(found, fix=_fix_for(error))
    return Answer(error=sweep_error, traceback=_traceback_of(error))


def trial_failure(trial_id: str, error: BaseException) -> Answer:
    """Say why a trial failed."""
    known = _known(error)
    if known is not None:
        return Answer(error=known)
    reason = _one_line(error)
    found = f"it raised {reason}"
    trial_error = TrialError(found, where=trial_id, fix=_fix_for(error))
    return Answer(error=trial_error, traceback=_traceback_of(error))


def _known(error: BaseException) -> VibesweepError | None:
    """Return an error that the user can mend, the disk's among them; ``None`` for any other."""
    return error if isinstance(error, VibesweepError) else storage_error(error)


def _traceback_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _one_line(error: BaseException) -> str:
    # Train wraps the death of a process in an error of its own, known by this attribute
    death = getattr(error, "health_check_failure", None)
    if death is not None:
        return "its process died (killed, or out of memory)"
    kind = type(error).__name__
    words = str(error).split()
    text = " ".join(words)[:MESSAGE_CHARACTERS]
    return f"{kind}: {text}" if text else kind


def _fix_for(error: BaseException) -> str:
    out_of_memory = "out of memory" in str(error).lower()
    return SMALLER_MODEL_FIX if out_of_memory else LOG_FIX
