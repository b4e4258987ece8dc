"""Which checkpoints stay: those of the best trials that have ended, and of all that have not."""

from __future__ import annotations

import math
from bisect import insort

from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.standing import Standing
from vibesweep.sweep.record.states import FINISHED


class KeptCheckpoints:
    """Removes an ended trial's checkpoint once enough other trials are better."""

    def __init__(self, checkpoints: StoragePath, keep: int) -> None:
        """Keep the best of a folder.

        Args:
            checkpoints: has a folder for each trial.
            keep: how many of the trials that have ended keep theirs.
        """
        self._checkpoints = checkpoints
        self._keep = keep
        self._standing = Standing()
        self._best: list[tuple[float, int, str]] = []
        """Score, number and id of the best trials that have ended, sorted."""
        self._to_remove: set[str] = set()

    def look(self, record: SweepRecord) -> None:
        """Look at the record after each event, and remove what is not needed any more."""
        for trial in self._standing.update(record):
            if trial.state in FINISHED:
                self._enter(trial, record.score(trial))
        for trial_id in sorted(self._to_remove):
            self._remove(trial_id)

    def _enter(self, trial: TrialRecord, score: float) -> None:
        if not math.isfinite(score):
            self._to_remove.add(trial.id)
            return
        insort(self._best, (score, trial.number, trial.id))
        if len(self._best) > self._keep:
            _, _, worst = self._best.pop()
            self._to_remove.add(worst)

    def _remove(self, trial_id: str) -> None:
        folder = self._checkpoints / trial_id
        try:
            folder.remove()
        except StorageError:  # the store is away for a while: again at the next event
            return
        self._to_remove.discard(trial_id)
