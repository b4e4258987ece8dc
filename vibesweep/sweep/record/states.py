"""The states of trials and sweeps, and the one place where it is decided how a trial has ended."""

from __future__ import annotations

from enum import StrEnum

from vibesweep.config import Budget, Report


class TrialState(StrEnum):
    """Where a trial stands. Files hold these words."""

    WAITING = "waiting"
    """Not suggested yet, which has no record; or cut short, until a lane resumes it."""
    RUNNING = "running"
    COMPLETE = "complete"
    """Reached the budget's last step, or ran out of patience."""
    PRUNED = "pruned"
    """Stopped by ASHA at a rung."""
    DIVERGED = "diverged"
    FAILED = "failed"
    """Refused by the model, raised an error, or lost its processes."""
    STOPPED = "stopped"
    """Still running when the sweep was stopped; it goes on when the sweep is resumed."""


class SweepState(StrEnum):
    """Where a sweep stands. Files hold these words."""

    RUNNING = "running"
    PAUSED = "paused"
    """Its process lives, and no lane goes on: the user says so, or its disk is nearly full."""
    DONE = "done"
    """Every trial has ended."""
    STOPPED = "stopped"
    """Stopped by the user before that."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process has died. No file holds this word: the log still says that it runs."""


GOING = (SweepState.RUNNING, SweepState.PAUSED)
"""The states of a sweep that its log has not ended."""
RESUMABLE = (SweepState.INTERRUPTED, SweepState.STOPPED, SweepState.FAILED)
"""The states from which a sweep goes on, when it is asked to."""
FINISHED = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.DIVERGED,
    TrialState.FAILED,
)
"""The states that a trial does not leave again."""
ENDED = (*FINISHED, TrialState.STOPPED)
"""The states that a trial does not leave while its sweep runs."""


def outcome_of(report: Report, budget: Budget) -> TrialState | None:
    """Decide whether a trial ends by itself with this report, and how; ``None`` if it goes on."""
    if report.diverged:
        return TrialState.DIVERGED
    if report.early_stopped or report.step >= budget.last_step:
        return TrialState.COMPLETE
    return None


def end_state(outcome: str | None, *, lost: bool = False) -> TrialState:
    """Decide how a trial has ended that Ray Tune calls complete or lost.

    Args:
        outcome: what its last result says: :func:`outcome_of`, or ``failed``; ``None`` if ASHA
            stopped it, since then the trial itself would have gone on.
        lost: whether the trial's actor was lost, whatever it said before.
    """
    if lost:
        return TrialState.FAILED
    if outcome is None:
        return TrialState.PRUNED
    return TrialState(outcome)
