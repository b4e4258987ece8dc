"""The trials that no other beats in both loss and something else, as ``show`` has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweeps import write_sweep
from vibesweep.errors import SweepError
from vibesweep.sweep.record import SweepRecord
from vibesweep.sweep.record.front import front_table
from vibesweep.sweep.record.table import ranked


@pytest.fixture
def record(tmp_path: Path) -> SweepRecord:
    return write_sweep(tmp_path / "made").read()


def cells(record: SweepRecord, metric: str) -> list[list[str]]:
    table = front_table(record, metric)
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("metric", ["step_ms", "peak_memory_mb", "best_step"])
def test_costs_rise_as_losses_fall_down_to_the_best(record: SweepRecord, metric: str) -> None:
    rows = cells(record, metric)
    assert record.best is not None
    assert rows[-1][0] == str(record.best.number)
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    assert "learning_rate=" in rows[0][3]


def test_a_measure_is_shown_as_it_was_heard_and_ranked_by_its_distance(
    record: SweepRecord,
) -> None:
    first, second, third = ranked(record)[:3]
    first.best_heard = {"identified": 0.5}
    second.best_heard = {"identified": 0.9}
    third.best_heard = {"identified": 0.8}
    rows = cells(record, "identified")
    assert [(row[0], row[1]) for row in rows] == [
        (str(second.number), "0.9"),
        (str(first.number), "0.5"),
    ]


def test_a_metric_that_nobody_reports(record: SweepRecord) -> None:
    with pytest.raises(SweepError, match=r"--pareto: no trial of made reports 'step-ms'.*Perhaps"):
        front_table(record, "step-ms")
