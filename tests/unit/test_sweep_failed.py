"""Trials that fail: their reasons are counted, and too many of them end the sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibesweep.errors import SweepError
from vibesweep.sweep.failed import FailureLimit, failures_line
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState
from vibesweep.sweep.run import _refuse_nothing_trained

NO_ROOM = "it raised OutOfMemoryError. Take lora."


def record_of(*reasons: str, trials: int = 10) -> SweepRecord:
    """Return a sweep of which a trial has failed for each of these reasons, and one has not."""
    record = SweepRecord("mine", "base", "shards", "", {"trials": trials}, 1, {})
    record.trials.append(TrialRecord("trial_000", 0, {}, {}, TrialState.COMPLETE))
    for number, reason in enumerate(reasons, 1):
        name = f"trial_{number:03d}"
        failed = TrialState.FAILED
        record.trials.append(TrialRecord(name, number, {}, {}, failed, reason=f"{name}: {reason}"))
    return record


def test_reasons_are_counted_most_frequent_first() -> None:
    line = failures_line(record_of("other.", NO_ROOM, NO_ROOM))
    assert line == ("3 of 10 trials failed: 2 x it raised OutOfMemoryError. Take lora; 1 x other")
    assert failures_line(record_of()) == ""


def test_reasons_that_are_many_are_summed_up() -> None:
    line = failures_line(record_of(*(f"reason {number}" for number in range(8))))
    assert line.endswith("1 x reason 4; 3 x another reason")


@pytest.mark.parametrize(
    ("fraction", "failed", "ends"), [(0.2, 2, False), (0.2, 3, True), (0, 1, True)]
)
def test_a_sweep_ends_when_more_than_a_fraction_has_failed(
    fraction: float, failed: int, ends: bool
) -> None:
    ended = []
    limit = FailureLimit(fraction, lambda: ended.append(True))
    for reports in range(2):
        limit.look(record_of(*[NO_ROOM] * failed))
        assert ended == [True] * ends, reports
    assert (limit.error is not None) == ends
    if limit.error is not None:
        assert f"{failed} x it raised OutOfMemoryError" in str(limit.error)
        assert f"--max-failed-fraction {fraction:g}" in str(limit.error)


def test_a_sweep_without_a_limit_goes_on() -> None:
    limit = FailureLimit(1.0, pytest.fail)
    limit.look(record_of(*[NO_ROOM] * 9))


def test_a_sweep_of_which_no_trial_was_trained_says_why(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    record = record_of(NO_ROOM, trials=2)
    with pytest.raises(SweepError, match=r"no trial could be trained: .*OutOfMemoryError"):
        _refuse_nothing_trained(record, folder)
    record.trials[0].best_loss_val = 0.5
    _refuse_nothing_trained(record, folder)
