"""Tells whether the best trials of a sweep got worse before their end."""

from __future__ import annotations

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import format_loss, ranked

WORSE_SHARE = 0.02
"""All losses are on the same noise, yet from report to report they waver by a percent or so."""
BEST_LOOKED_AT = 3
LOOKED_AT = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.STOPPED)
"""States of trials that can be judged by how they ended."""


def overfitting_line(record: SweepRecord) -> str:
    """Say that the best trials got worse before their end, which is over-fitting, or nothing.

    The checkpoints hold the best step's weights all the same.
    """
    ended = [trial for trial in ranked(record) if trial.state in LOOKED_AT]
    best = ended[:BEST_LOOKED_AT]
    worse = [trial for trial in best if _got_worse(trial)]
    if not worse:
        return ""
    most_got_worse = 2 * len(worse) > len(best)
    first = worse[0]
    if not most_got_worse and first is not best[0]:
        return ""
    lowest = format_loss(first.best_loss_val)
    last = format_loss(first.loss_val)
    return (
        f"over-fitting: {len(worse)} of the best {len(best)} trials got worse before their end "
        f"(trial {first.number}: {lowest} at step {first.best_step}, "
        f"{last} at step {first.step}). The best step's weights are kept; "
        "fewer steps, a lower learning rate or more recordings would do better."
    )


def _got_worse(trial: TrialRecord) -> bool:
    """Tell whether a trial's last loss is above its best by more than losses waver."""
    last, best = trial.loss_val, trial.best_loss_val
    if last is None or best is None or trial.step <= trial.best_step:
        return False
    return last > best * (1 + WORSE_SHARE)
