"""Whether the best trials differ by more than their seeds do."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean, variance
from typing import NamedTuple

from vibesweep.sweep.record.record import SweepRecord

STUDENT_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45}
"""Student's t at 95 %, two-sided, by degrees of freedom."""
STUDENT_T_OF_MORE = 2.4


class Repeated(NamedTuple):
    """A trial that was run again.

    Attributes:
        trial: its number.
        own: its own best validation loss.
        others: those of the same settings with other seeds.
    """

    trial: int
    own: float
    others: list[float]

    @property
    def mean(self) -> float:
        """Mean over the other seeds: its own seed was chosen for its loss."""
        return fmean(self.others)

    @property
    def spread(self) -> float:
        """Variance over all seeds."""
        return variance([self.own, *self.others])


def repeated_trials(record: SweepRecord) -> list[Repeated]:
    """Return the trials that were run again, the smallest mean first."""
    losses: dict[int, list[float]] = defaultdict(list)
    for repeat in record.repeats:
        number = repeat["number"]
        loss = repeat["best_loss_val"]
        losses[number].append(loss)
    found = []
    for trial in record.trials:
        own = trial.best_loss_val
        others = losses[trial.number]
        if others and own is not None:
            found.append(Repeated(trial.number, own, others))
    return sorted(found, key=lambda repeated: repeated.mean)


def seeds_line(record: SweepRecord) -> str:
    """Say whether the first two differ by more than seeds do; nothing where none was run again."""
    found = repeated_trials(record)
    if len(found) < 2:
        return ""
    first, second = found[:2]
    spread = fmean([first.spread, second.spread])
    deviation = math.sqrt(spread)
    counts = [len(first.others), len(second.others)]
    error = deviation * math.sqrt(1 / counts[0] + 1 / counts[1])
    freedom = sum(counts)
    quantile = STUDENT_T.get(freedom, STUDENT_T_OF_MORE)
    apart = second.mean - first.mean
    verdict = "no more than seeds do, so either may be better"
    if apart > quantile * error:
        verdict = "more than seeds do"
    line = (
        f"with other seeds: {_told(first)}, {_told(second)}, "
        f"one seed from another {deviation:.4f}: they differ by {verdict}"
    )
    best = record.best
    if best is not None and best.number not in (first.trial, record.chosen):
        line += f"; trial {best.number}, whose loss is the smallest, had a lucky seed"
    return line


def _told(repeated: Repeated) -> str:
    return f"trial {repeated.trial} {repeated.mean:.4f} (its own {repeated.own:.4f})"
