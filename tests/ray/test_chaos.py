"""A sweep that is killed at some moment and resumed ends as if nobody had touched it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import ray

from tests import chaos
from tests.chaos import Kill
from tests.waiting import wait_until
from vibesweep.errors import SweepError
from vibesweep.sweep.checks.early import check_sweep
from vibesweep.sweep.record import SweepRecord, SweepState
from vibesweep.sweep.search.space_file import load_space

REPORTS = 18
"""Reports of the undisturbed sweep, about."""
MOMENTS = 3


@pytest.fixture(scope="module")
def place(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> chaos.Place:
    return chaos.make_place(tmp_path_factory.mktemp("chaos"), RAY_ADDRESS=ray_cluster)


@pytest.fixture(scope="module")
def undisturbed(place: chaos.Place) -> SweepRecord:
    return chaos.finish(place, "undisturbed")


def test_whatever_is_killed_costs_nothing(place: chaos.Place, undisturbed: SweepRecord) -> None:
    """One kill of each kind that a sweep goes on after by itself; then the driver's."""
    choice = random.Random(0)
    first, second, third = sorted(choice.sample(range(1, REPORTS // 2), 3))
    last = choice.randrange(REPORTS // 2 + 1, REPORTS - 2)
    dashboard = f"http://{ray.init(ignore_reinit_error=True).dashboard_url}"
    before = chaos.left_in(dashboard)
    folder = place.folder("killed")
    sweep = load_space(place.space)
    with chaos.running(place, "killed") as process:
        for reports, what in ((first, Kill.TRIAL), (second, Kill.WORKER), (third, Kill.CONTROLLER)):
            assert chaos.wait_for_reports(place, "killed", process, reports)
            chaos.kill(process, what)
        assert chaos.wait_for_reports(place, "killed", process, last)
        assert folder.read().state == SweepState.RUNNING
        with pytest.raises(SweepError, match="is running"):
            check_sweep(sweep, "killed", place.work, print, resume=True)
        chaos.kill(process, Kill.DRIVER)
    assert folder.read().state == SweepState.INTERRUPTED
    with pytest.raises(SweepError, match="--resume"):
        check_sweep(sweep, "killed", place.work, print)
    chaos.finish(place, "killed", resume=True)
    assert str(chaos.damage(folder, undisturbed)) == ""
    assert not folder.states.is_dir()
    assert not folder.scratch.is_dir()
    assert chaos.left_behind(place) == []
    gone = wait_until(lambda: chaos.left_in(dashboard) <= before, 60.0)
    assert gone, chaos.left_in(dashboard) - before


@pytest.mark.slow
def test_nothing_is_left_of_a_sweep_that_crashed_or_ended(tmp_path: Path) -> None:
    """Of one with a Ray of its own, whose processes must see themselves that they are not needed.

    The first run is killed with its process group, the next loses its raylet, the last one ends.
    """
    place = chaos.make_place(tmp_path, RAY_ADDRESS="local")
    moments = [chaos.Moment(2, Kill.GROUP), chaos.Moment(4, Kill.RAYLET)]
    assert chaos.run_with_kills(place, "crashed", moments) == [Kill.GROUP, Kill.RAYLET]
    assert wait_until(lambda: not chaos.left_behind(place), 60.0), chaos.left_behind(place)
    folder = place.folder("crashed")
    assert folder.read().state == SweepState.DONE
    assert not folder.states.is_dir()
    assert not folder.scratch.is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(MOMENTS))
def test_a_kill_at_any_moment_costs_nothing(
    place: chaos.Place, undisturbed: SweepRecord, seed: int
) -> None:
    choice = random.Random(seed)
    what = choice.choice([*chaos.ITS_OWN, Kill.DRIVER])
    name = f"moment{seed}"
    moment = chaos.Moment(choice.randrange(REPORTS), what)
    done = chaos.run_with_kills(place, name, [moment])
    assert done == [what]
    assert str(chaos.damage(place.folder(name), undisturbed)) == ""
