"""What is said to have no room in a cluster is what Ray has found no place for."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from tests.waiting import wait_until
from vibesweep.cluster.autoscaler import MissingHosts, missing_hosts

pytestmark = pytest.mark.usefixtures("ray_cluster")
PLACED_S = 30.0
MORE_THAN_THERE_IS = 10_000


@ray.remote(num_cpus=0.1)
class SlowToStart:
    def __init__(self) -> None:
        time.sleep(PLACED_S)


def test_processes_that_start_slowly_lack_no_host() -> None:
    placed = placement_group([{"CPU": 0.1}])
    assert placed.wait(PLACED_S)
    actor: Any = SlowToStart
    starting = actor.options(placement_group=placed).remote()
    assert missing_hosts().groups == 0
    homeless = placement_group([{"CPU": MORE_THAN_THERE_IS}])
    try:
        expected = MissingHosts(1, "no host has that free")
        assert wait_until(lambda: missing_hosts() == expected, PLACED_S)
    finally:
        remove_placement_group(homeless)
        ray.kill(starting)
        remove_placement_group(placed)
    assert wait_until(lambda: missing_hosts().groups == 0, PLACED_S)
