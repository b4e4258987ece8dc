"""The Ray that a process uses: the one it has, the one it is told of, the one of this host, or one that it starts and stops."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from vibesweep.errors import TOKEN_FIX, ClusterError


@contextmanager
def running_ray(*, dashboard: bool = False) -> Iterator[str | None]:
    """Use the Ray that runs in this process, join that of RAY_ADDRESS or of this host, or start one here and stop it at the end.

    Args:
        dashboard: whether one that is started here has a dashboard, which costs some seconds of CPU time.

    Yields:
        The dashboard's address, or ``None`` where there is none or it was up before.

    Raises:
        ClusterError: the cluster does not answer, or not without its token.
    """
    if ray.is_initialized():
        yield None
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default; it warns until told
    logging.getLogger("ray").setLevel(logging.ERROR)  # before init, which warns of its own defaults
    address = os.environ.get("RAY_ADDRESS") or _cluster_of_this_host() or "local"
    context = _init(address, dashboard if address == "local" else None)
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def _init(address: str, dashboard: bool | None) -> Any:
    try:
        return ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if AuthenticationError.__name__ in str(error.__cause__):  # Ray tells its causes as text
            raise ClusterError("the cluster asks for its token", where=address, fix=TOKEN_FIX) from error
        fix = "see that it is up, or set RAY_ADDRESS=local to start one on this machine"
        raise ClusterError(f"no Ray cluster: {error}", where=address, fix=fix) from error


def _cluster_of_this_host() -> str | None:
    """The cluster that ``ray start`` made this host a part of, if it is up: ``ray.init`` alone would also try to join a dead one."""
    from ray._private.services import find_bootstrap_address, find_gcs_addresses

    left: str | None = find_bootstrap_address(None)  # what the last `ray start` wrote down; a crash leaves it there
    return left if left in find_gcs_addresses() else None  # type: ignore[no-untyped-call]  # those that a raylet of this host belongs to
