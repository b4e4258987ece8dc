"""What a trial's steps take: how long one of usual size lasts, and how full its rows are."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class StepSize:
    """How large a step is, as a worker computes it.

    Attributes:
        share: the tokens of the step's clips, divided by those of a mean step.
        tokens: of the worker's rows, voice prompts included.
        row_tokens: that are computed: the same, and what rows are filled up with.
    """

    share: float = 1.0
    tokens: int = 0
    row_tokens: int = 0


class StepTally:
    """Counts a trial's steps on this worker, since the trial came here.

    Attributes:
        tokens: of all rows so far.
        row_tokens: that were computed.
    """

    def __init__(self) -> None:
        """Start with no step."""
        self.tokens = 0
        self.row_tokens = 0
        self._usual_s: list[float] = []

    def add(self, size: StepSize, seconds: float) -> None:
        """Count a step and the seconds that it took, the making of its rows included."""
        self.tokens += size.tokens
        self.row_tokens += size.row_tokens
        self._usual_s.append(seconds / size.share)

    @property
    def step_s(self) -> float:
        """Seconds of a step of usual size, by the median; 0 before the first.

        Clips of a step are of like length, so that one takes several times as long as another:
        trials that were stopped after a few steps are compared with those that took many. The first
        step is left out where there are others: libraries start up in it, and compilers compile.
        """
        measured = self._usual_s[1:] or self._usual_s
        return statistics.median(measured) if measured else 0.0
