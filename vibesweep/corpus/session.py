"""The Ray that a process uses: the one it has, the one it is told of, or one that it starts and stops."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray


@contextmanager
def running_ray(*, dashboard: bool = False) -> Iterator[str | None]:
    """Use the Ray that runs in this process, join the one of RAY_ADDRESS, or start one here and stop it at the end.

    Args:
        dashboard: whether one that is started here has a dashboard, which costs some seconds of CPU time.

    Yields:
        The dashboard's address, or ``None`` where there is none or it was up before.
    """
    if ray.is_initialized():
        yield None
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default; it warns until told
    logging.getLogger("ray").setLevel(logging.ERROR)  # before init, which warns of its own defaults
    known = os.environ.get("RAY_ADDRESS")
    # "local" unless told otherwise: ray.init would try to join what a dead cluster left in Ray's temporary folder
    context = ray.init(
        address=known or "local",
        include_dashboard=None if known else dashboard,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()
