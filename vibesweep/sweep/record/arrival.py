"""Tells where the order in which trials came may have decided which is the best."""

from __future__ import annotations

from vibesweep.config import AS_MANY_AS_FIT
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import format_loss, ranked

CLOSE_SHARE = 0.05
"""Two runs of one sweep on two lanes ended with best losses 5 % apart (docs/design/search.md)."""


def arrival_line(record: SweepRecord) -> str:
    """Say how close the best two trials are where another order might have turned them, or nothing.

    Where one trial trains at a time the order is always the same, and where none was stopped early
    it does not matter. Nor is it known of trials that are ranked by what is heard: how far their
    losses lie apart decided nothing.
    """
    if not record.aim.by_loss:
        return ""
    stopped = [trial for trial in record.trials if trial.state == TrialState.PRUNED]
    trained = [trial for trial in ranked(record) if trial.best_loss_val is not None]
    if _one_at_a_time(record) or not stopped or len(trained) < 2:
        return ""
    first, second = trained[:2]
    assert first.best_loss_val is not None
    assert second.best_loss_val is not None
    apart = second.best_loss_val - first.best_loss_val
    share = apart / first.best_loss_val
    if not 0 <= share <= CLOSE_SHARE:
        return ""
    losses = f"{format_loss(first.best_loss_val)} and {format_loss(second.best_loss_val)}"
    numbers = f"trials {first.number} and {second.number}"
    return (
        f"the best two are {share:.1%} apart ({numbers}: {losses}): "
        "the order in which trials came, several at a time, may have decided between them"
    )


def _one_at_a_time(record: SweepRecord) -> bool:
    """Return whether no trial trained beside another."""
    several = record.sweep.get("trials_per_lane", 1)
    if several == AS_MANY_AS_FIT:  # one, where there is no GPU
        resources = record.sweep.get("resources", {})
        several = 2 if resources.get("gpus_per_worker") else 1
    return record.lanes == 1 and several == 1
