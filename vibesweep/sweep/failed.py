"""Why trials failed, counted by reason, and whether too many have for a sweep to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from vibesweep.errors import SweepError
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import TrialState

REASONS_SHOWN = 5
"""The most frequent ones; the record has the others."""


class FailureLimit:
    """Ends a sweep once too many of its trials have failed.

    Attributes:
        error: why it has ended the sweep, once it has.
    """

    def __init__(self, fraction: float, end: Callable[[], None]) -> None:
        """Call ``end`` when more than this fraction of the sweep's trials has failed."""
        self.error: SweepError | None = None
        self._fraction = fraction
        self._end = end

    def look(self, record: SweepRecord) -> None:
        """Look at the record, after each event."""
        if self.error is None and self._is_passed(record):
            self.error = self._too_many(record)
            self._end()

    def _is_passed(self, record: SweepRecord) -> bool:
        wanted = record.trials_wanted
        return len(_failed(record)) > self._fraction * wanted

    def _too_many(self, record: SweepRecord) -> SweepError:
        counted = failures_line(record)
        found = f"{counted}; that is more than --max-failed-fraction {self._fraction:g}"
        go_on = "--resume this one with a larger --max-failed-fraction"
        fix = f"mend the reason and start another sweep with --name, or {go_on}"
        return SweepError(found, where=record.name, fix=fix)


def failures_line(record: SweepRecord) -> str:
    """Say how many trials failed and for which reasons; empty where none did."""
    failed = _failed(record)
    if not failed:
        return ""
    wanted = record.trials_wanted
    reasons = "; ".join(_counted(failed))
    return f"{len(failed)} of {wanted} trials failed: {reasons}"


def _counted(failed: list[TrialRecord]) -> list[str]:
    """Return a text for each of the most frequent reasons, and one for all others."""
    others = len(failed)
    texts = []
    for cause, count in Counter(map(_cause, failed)).most_common(REASONS_SHOWN):
        texts.append(f"{count} x {cause}")
        others -= count
    if others:
        texts.append(f"{others} x another reason")
    return texts


def _failed(record: SweepRecord) -> list[TrialRecord]:
    return [trial for trial in record.trials if trial.state == TrialState.FAILED]


def _cause(trial: TrialRecord) -> str:
    """Return a trial's reason as another trial has it that failed for the same one."""
    return trial.reason.removeprefix(f"{trial.id}: ").rstrip(".")
