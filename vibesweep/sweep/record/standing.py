"""Where a sweep's trials stand, kept up to date at a cost that does not grow with the sweep."""

from __future__ import annotations

import math
from collections import Counter

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import FINISHED, TrialState


class Standing:
    """Follows one record as it grows: what is called at each event must not look at all trials.

    A trial that has finished does not change any more, so it is counted once.

    Attributes:
        best_loss_val: smallest validation loss of all trials; infinite before there is one.
    """

    def __init__(self) -> None:
        """Start with a record of no trials."""
        self.best_loss_val = math.inf
        self._finished: Counter[TrialState] = Counter()
        self._unfinished: list[TrialRecord] = []
        self._seen = 0

    def update(self, record: SweepRecord) -> list[TrialRecord]:
        """Look at the record again; return the trials that may have changed since, in order."""
        new = record.trials[self._seen :]
        self._seen += len(new)
        looked_at = [*self._unfinished, *new]
        self._unfinished = []
        for trial in looked_at:
            if trial.best_loss_val is not None:
                self.best_loss_val = min(self.best_loss_val, trial.best_loss_val)
            if trial.state in FINISHED:
                self._finished[trial.state] += 1
            else:
                self._unfinished.append(trial)
        return looked_at

    def counts(self) -> Counter[TrialState]:
        """Count the trials in each state, as of the last update."""
        running = Counter(trial.state for trial in self._unfinished)
        return self._finished + running
