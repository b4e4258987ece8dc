"""When a trial's validation loss has stopped improving."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """The validation losses of a trial's reports, and for how many reports none was better.

    Attributes:
        last_loss: validation loss of the last report.
        best_loss: lowest validation loss so far; infinite before the first report.
        reports_since_best: reports since then.
        last_step: step of the last report.
    """

    last_loss: float = math.inf
    best_loss: float = math.inf
    reports_since_best: int = 0
    last_step: int = 0

    def add(self, step: int, loss: float) -> None:
        """Take in the validation loss of a report.

        A report that was lost with its lane is asked for again; it counts once.
        """
        self.last_loss = loss
        if loss < self.best_loss:
            self.best_loss = loss
            self.reports_since_best = 0
        elif step > self.last_step:
            self.reports_since_best += 1
        self.last_step = step

    def is_due(self, patience_reports: int | None) -> bool:
        """Return whether the trial should stop; without a patience it never should."""
        return patience_reports is not None and self.reports_since_best >= patience_reports
