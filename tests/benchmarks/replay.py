"""Replays recorded learning curves through a search, on a simulated clock.

A worker trains one trial in each of its seats, which step together; workers run independently. An
evaluation takes about the same time everywhere, give or take a tenth, so that no two workers stay
in step.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tests.benchmarks.learning_curves import CurveTable

JITTER = 0.1


@dataclass
class ReplayedTrial:
    """One configuration of a table, as far as it has been trained.

    Attributes:
        id: its name.
        params: what was suggested.
        row: the table's row that stands for it.
        evaluations: how many of its losses have been read.
        state: kept by the method that runs it.
    """

    id: str
    params: dict[str, Any]
    row: int
    evaluations: int = 0
    state: Any = None


class Method(Protocol):
    """A search as the clock sees it."""

    def next(self, replay: Replay) -> ReplayedTrial | None:
        """Return what a free seat trains: a new trial, a paused one, or nothing for now."""

    def report(self, trial: ReplayedTrial, loss: float) -> bool:
        """Take a trial's loss after an evaluation; return whether it goes on in its seat."""


class Replay:
    """One search over one table."""

    def __init__(self, table: CurveTable, seed: int) -> None:
        self.table = table
        self._taken = np.zeros(table.rows, bool)
        self._clock = random.Random(seed)

    def new_trial(self, trial_id: str, params: dict[str, Any]) -> ReplayedTrial:
        """Let the nearest row that is not taken yet stand for a suggestion."""
        row = self.table.nearest(params, self._taken)
        self._taken[row] = True
        return ReplayedTrial(trial_id, params, row)

    @property
    def exhausted(self) -> bool:
        """Whether every row is taken."""
        return bool(self._taken.all())

    def regrets(
        self, method: Method, budgets: Sequence[int], workers: int, seats: int
    ) -> list[float]:
        """Run until the largest budget is used up.

        Args:
            method: what searches.
            budgets: in whole trainings, rising.
            workers: how many train at the same time.
            seats: trials that each of them trains together.

        Returns:
            The regret at each budget; the last one stands where the table gives no more.
        """
        marks = [budget * self.table.evaluations for budget in budgets]
        found: list[float] = []
        best, used = 1.0, 0
        held: list[list[ReplayedTrial | None]] = [[None] * seats for _ in range(workers)]
        due = [(self._clock.random(), worker) for worker in range(workers)]
        heapq.heapify(due)
        idle = 0
        while len(found) < len(marks) and idle <= workers:
            now, worker = heapq.heappop(due)
            trained = [trial for trial in held[worker] if trial is not None]
            for trial in trained:
                best = min(best, self.table.regrets[trial.row, trial.evaluations])
                trial.evaluations += 1
                used += 1
                if len(found) < len(marks) and used == marks[len(found)]:
                    found.append(best)
            held[worker] = [self._step(method, trial) for trial in held[worker]]
            idle = idle + 1 if held[worker] == [None] * seats else 0
            span = self._clock.uniform(1 - JITTER, 1 + JITTER)
            heapq.heappush(due, (now + span, worker))
        return found + [best] * (len(marks) - len(found))

    def _step(self, method: Method, trial: ReplayedTrial | None) -> ReplayedTrial | None:
        """Report for a seat, and say what it trains next."""
        if trial is not None:
            loss = float(self.table.losses[trial.row, trial.evaluations - 1])
            if method.report(trial, loss):
                return trial
        return method.next(self)
