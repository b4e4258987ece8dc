"""One local cluster for all tests with ray."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray on two cores, with the dashboard, whose State API Ray Train needs."""
    import ray

    # "local": without it Ray would look for the cluster that somebody else, or a dead run, left in its temporary folder
    # Metrics each second and not each ten, for the tests that read them
    quickly = {"metrics_report_interval_ms": 1_000}
    ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False, _system_config=quickly)
    yield
    ray.shutdown()
