"""Hosts that die in the middle of a trial, in a cluster of three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chaos
from tests.chaos import Killer, Moment
from tests.cluster.namespaces import what_is_missing
from tests.cluster.ray_hosts import GOES_ON, Fault, RayHosts, ray_hosts_up
from vibesweep.sweep.record import SweepRecord

FAULTS = (Fault.NOTICE, Fault.CLOCK)
"""The others take as long again: ``python -m tests.benchmarks.chaos --hosts 3`` has them all."""

missing = what_is_missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=missing)]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHosts]:
    with ray_hosts_up(tmp_path_factory.mktemp("hosts"), 3) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def place(hosts: RayHosts, tmp_path_factory: pytest.TempPathFactory) -> chaos.Place:
    return hosts.place_in(tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="module")
def undisturbed(place: chaos.Place) -> SweepRecord:
    return chaos.finish(place, "undisturbed")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_host_that_goes_costs_nothing(
    hosts: RayHosts, place: chaos.Place, undisturbed: SweepRecord, fault: Fault
) -> None:
    name = fault.name.lower()
    done = chaos.run_with_kills(place, name, [Moment(3, fault)], Killer(hosts.strike, GOES_ON))
    assert done == [fault]
    folder = place.folder(name)
    assert str(chaos.damage(folder, undisturbed)) == ""
    if fault is Fault.NOTICE:
        told = "".join(file.read_text() for file in Path(str(folder.errors)).iterdir())
        assert "is about to be taken away" in told, "it left, and was not killed"
