"""What every test shares."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

STORE_KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything"}
"""Of the tests' S3 server, which takes any. The cluster's processes find them as they start."""
QUIET_LOG_MONITOR = {
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "1",
    "LOG_NAME_UPDATE_INTERVAL_S": "2",
}
"""Ray looks for new logs ten times a second otherwise, among the hundreds that tests make."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute on one thread: tiny models gain nothing from more, and sums agree everywhere."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def ray_cluster() -> str:
    """Have Ray run on two cores; it stays up for the next file that needs it.

    Returns:
        The cluster's address, for commands that are to find it by RAY_ADDRESS.
    """
    import ray

    if not ray.is_initialized():
        start_ray()
    address: str = ray.get_runtime_context().gcs_address
    return address


def start_ray() -> None:
    """Start Ray with the dashboard, whose State API Ray Train needs."""
    import ray

    os.environ |= STORE_KEYS | QUIET_LOG_MONITOR
    # "local": otherwise Ray looks for a cluster that somebody else, or a dead run, left behind
    # Metrics every second instead of every ten, for the tests that read them
    every_second = {"metrics_report_interval_ms": 1_000}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=True,
        log_to_driver=False,
        _system_config=every_second,
    )


@pytest.fixture(autouse=True, scope="session")
def ray_ends() -> Iterator[None]:
    """End the Ray that tests have brought up."""
    yield
    end_ray()


def end_ray() -> None:
    """End the Ray of this process, if it has one."""
    ray = sys.modules.get("ray")
    if ray is not None:
        ray.shutdown()


def pytest_configure() -> None:
    """Let the tests, and the processes that they start, receive Ctrl-C and keep compiled modules.

    A shell in the background has them ignore Ctrl-C. Compiling the package anew takes each of some
    hundred processes more than a second, where the environment says to write no ``.pyc``.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
