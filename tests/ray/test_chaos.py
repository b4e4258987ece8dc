"""A sweep that is killed at some moment and resumed ends as if nobody had touched it."""

from __future__ import annotations

import random

import pytest

from tests import chaos
from vibesweep.errors import SweepError
from vibesweep.sweep.early import check_sweep
from vibesweep.sweep.record import SweepRecord, SweepState
from vibesweep.sweep.search.space_file import load_space

REPORTS = 18
"""Reports of the undisturbed sweep, about."""


@pytest.fixture(scope="module")
def place(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> chaos.Place:
    return chaos.make_place(tmp_path_factory.mktemp("chaos"), RAY_ADDRESS=ray_cluster)


@pytest.fixture(scope="module")
def undisturbed(place: chaos.Place) -> SweepRecord:
    return chaos.finish(place, "undisturbed")


def test_a_driver_that_is_killed_costs_nothing(
    place: chaos.Place, undisturbed: SweepRecord
) -> None:
    with chaos.running(place, "killed") as process:
        chaos.wait_for_reports(process, random.Random(0).randrange(1, REPORTS))
        folder = place.folder("killed")
        assert folder.read().state == SweepState.RUNNING
        sweep = load_space(place.space)
        with pytest.raises(SweepError, match="is running"):
            check_sweep(sweep, "killed", place.work, print, resume=True)
        chaos.kill(process)
    assert folder.read().state == SweepState.INTERRUPTED
    with pytest.raises(SweepError, match="--resume"):
        check_sweep(sweep, "killed", place.work, print)
    chaos.finish(place, "killed", resume=True)
    assert chaos.what_is_wrong(folder, undisturbed) == []
    assert not folder.states.is_dir()
