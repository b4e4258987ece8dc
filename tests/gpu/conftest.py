"""What the tests on GPUs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def ray_with_gpus() -> Iterator[None]:
    """Start Ray on the machine's GPUs, without a dashboard, which a bare GPU machine may lack."""
    import ray

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
