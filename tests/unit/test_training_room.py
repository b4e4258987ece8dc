"""How many trials have room on a device at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training.room import trials_in, trials_that_fit
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World


@pytest.mark.parametrize(
    ("free", "needs", "trials"),
    [
        (100.0, [10.0], 8),
        (79.0, [10.0], 7),
        (5.0, [10.0], 1),
        (60.0, [10.0, 5.0], 4),
        # Eight kinds are never there at once where few trials are
        (60.0, [10.0] * 8, 2),
        (39.0, [1.0, 10.0, 9.0], 2),
    ],
)
def test_seats_of_each_kind_have_room_for_all_trials(
    free: float, needs: list[float], trials: int
) -> None:
    assert trials_in(free, needs, most=8) == trials


def test_where_nothing_is_measured_as_many_train_as_are_wanted(tmp_path: Path) -> None:
    base = ModelRef.parse(str(tiny.write_base(tmp_path / "base")))
    shards = tiny.write_shards(tmp_path / "shards")
    context = WorkerContext.open(base, shards, World())
    assert trials_that_fit(context, [TrialSettings()], most=3) == 3
