"""Whether the best trials differ by more than their seeds do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.sweeps import write_sweep
from vibesweep.sweep.record import SweepRecord
from vibesweep.sweep.record.events import BestRepeated, SweepStarted, events_in, line_of
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.seeds import repeated_trials, seeds_line
from vibesweep.sweep.record.table import ranked


@pytest.fixture
def record(tmp_path: Path) -> SweepRecord:
    """Return a sweep whose best trials have losses 0.10 and 0.11."""
    found = write_sweep(tmp_path / "made").read()
    for trial, loss in zip(ranked(found), (0.10, 0.11), strict=False):
        trial.best_loss_val = loss
    return found


def repeat(record: SweepRecord, *losses: tuple[float, float]) -> None:
    """Run the best trials again, to these losses."""
    for trial, others in zip(ranked(record), losses, strict=False):
        for seed, loss in enumerate(others, 1):
            event = BestRepeated(trial.number, seed, loss)
            record.repeats.append(dataclasses.asdict(event))


def test_nothing_is_said_where_nothing_was_run_again(record: SweepRecord) -> None:
    assert seeds_line(record) == ""


def test_trials_far_apart_differ_by_more_than_seeds_do(record: SweepRecord) -> None:
    repeat(record, (0.101, 0.099), (0.111, 0.109))
    line = seeds_line(record)
    assert line.endswith("one seed from another 0.0010: they differ by more than seeds do")
    assert f"trial {ranked(record)[0].number} 0.1000 (its own 0.1000)" in line


def test_trials_that_waver_may_either_be_better(record: SweepRecord) -> None:
    repeat(record, (0.12, 0.10), (0.13, 0.10))
    assert "no more than seeds do, so either may be better" in seeds_line(record)


def test_a_lucky_seed_is_told(record: SweepRecord) -> None:
    first, second = ranked(record)[:2]
    repeat(record, (0.15, 0.16), (0.111, 0.109))
    assert [found.trial for found in repeated_trials(record)] == [second.number, first.number]
    assert f"trial {first.number}, whose loss is the smallest, had a lucky seed" in seeds_line(
        record
    )


def test_a_trial_that_was_chosen_by_ear_had_no_lucky_seed(record: SweepRecord) -> None:
    first, second, third = ranked(record)[:3]
    repeat(record, (0.10, 0.11), (0.12, 0.13))
    assert [found.trial for found in repeated_trials(record)] == [first.number, second.number]
    record.chosen = third.number
    assert "lucky" not in seeds_line(record)


def test_a_repeat_is_read_back_from_the_log(record: SweepRecord) -> None:
    started = SweepStarted(dataclasses.asdict(record))
    (read,) = events_in(line_of(BestRepeated(3, 1, 0.25)))
    replay = Replay(started)
    replay.apply(read)
    assert replay.record.repeats == [{"number": 3, "seed": 1, "best_loss_val": 0.25}]
