"""Learning curves are read and replayed as the benchmark says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.benchmarks.learning_curves import CurveTable
from tests.benchmarks.replay import Replay, ReplayedTrial
from tests.benchmarks.replayed_methods import random_search, vibesweep_defaults
from tests.benchmarks.search_efficiency import MakeMethod

ROWS, EVALUATIONS = 12, 6


@pytest.fixture
def table(tmp_path: Path) -> CurveTable:
    """Return a table whose best learning rate is 1e-3; its worst one diverges."""
    rates = np.logspace(-5, -1, ROWS)
    ends = 0.1 + np.abs(np.log10(rates) + 3) / 4
    curves = [list(np.linspace(1.0, end, EVALUATIONS)) for end in ends]
    curves[-1][3:] = [np.nan] * 3
    frame = pd.DataFrame(
        {
            "learning_rate": rates,
            "beta": 1 - np.logspace(-4, -1, ROWS),
            "momentum": 1 - np.logspace(-4, np.log10(0.9995), ROWS),
            "dropout": np.linspace(0.0, 0.3, ROWS),
            "layers": range(1, ROWS + 1),
            "optimizer": ["adamw", "lion"] * (ROWS // 2),
            "validation_loss": curves,
        }
    )
    frame.to_parquet(tmp_path / "made_up.parquet")
    return CurveTable.read(tmp_path / "made_up.parquet")


def test_range_and_scale_come_from_the_values(table: CurveTable) -> None:
    space = table.space
    ranges = {"learning_rate": (1e-5, 1e-1), "1-beta": (1e-4, 1e-1), "1-momentum": (1e-4, 0.9995)}
    for name, (low, high) in ranges.items():
        found = space[name]
        assert isinstance(found, FloatDistribution)
        assert found.log
        assert (found.low, found.high) == pytest.approx((low, high))
    assert space["dropout"] == FloatDistribution(0.0, 0.3)
    assert space["layers"] == IntDistribution(1, ROWS)
    assert space["optimizer"] == CategoricalDistribution(["adamw", "lion"])


def test_the_nearest_row_that_is_left_stands_for_a_suggestion(table: CurveTable) -> None:
    params = {
        "learning_rate": 1e-5,
        "1-beta": 1e-4,
        "1-momentum": 1e-4,
        "dropout": 0.0,
        "layers": 1,
        "optimizer": "adamw",
    }
    taken = np.zeros(ROWS, bool)
    assert table.nearest(params, taken) == 0
    taken[0] = True
    assert table.nearest(params, taken) == 2, "the next one with this optimizer"


def test_regret_is_a_share_of_the_median_first_loss(table: CurveTable) -> None:
    assert table.regrets[:, 0] == pytest.approx(1.0)
    assert table.regrets.min() == 0.0
    assert table.regrets[-1, -1] == 1.0, "diverged"


class InOrder:
    """Trains the rows in their order to their end, and notes each evaluation."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = list(rows)
        self.losses: list[float] = []

    def next(self, replay: Replay) -> ReplayedTrial | None:
        return ReplayedTrial("", {}, self.rows.pop(0)) if self.rows else None

    def report(self, trial: ReplayedTrial, loss: float) -> bool:
        self.losses.append(loss)
        return trial.evaluations < EVALUATIONS


@pytest.mark.parametrize(("workers", "seats"), [(1, 1), (2, 1), (1, 3)])
def test_a_budget_counts_the_evaluations_of_all_workers(
    table: CurveTable, workers: int, seats: int
) -> None:
    method = InOrder([0, 1, 2, 3, 4, 5])
    first, second = Replay(table, 0).regrets(method, (1, 3), workers, seats)
    used = len(method.losses)
    assert 3 * EVALUATIONS - seats < used <= 3 * EVALUATIONS + seats
    assert first >= second


def test_the_last_regret_stands_where_a_table_is_used_up(table: CurveTable) -> None:
    found = Replay(table, 0).regrets(InOrder([5, 6]), (1, 100), 1, 1)
    assert found[1] == table.regrets[5:7].min()


@pytest.mark.parametrize("make", [random_search, vibesweep_defaults])
def test_a_search_of_ray_tune_is_replayed_to_the_same_end(
    table: CurveTable, make: MakeMethod
) -> None:
    found = [Replay(table, 1).regrets(make(table, 1), (1, 2, 12), 3, 1) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][-1] == 0.0
