"""The Ray that a process uses: the one it has, the one it is told of, the one of this host, or one that it starts and stops."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from vibesweep.errors import TOKEN_FIX, ClusterError

OWN_CLUSTER = "see that it is up, or set RAY_ADDRESS=local to start one on this machine"
CONNECT_S = 10.0


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
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # Ray's future default; it warns until told
    logging.getLogger("ray").setLevel(logging.ERROR)  # before init, which warns of its own defaults
    address = _address()
    context = _init(address, dashboard if address == "local" else None)
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def _address() -> str:
    """What RAY_ADDRESS asks for, looked at first: Ray itself would ask a cluster that is not there for a quarter of an hour."""
    asked = os.environ.get("RAY_ADDRESS") or ""
    if asked in ("", "auto"):
        found = _cluster_of_this_host()
        if found is None and asked:
            raise ClusterError(
                "no Ray cluster runs on this host", where="RAY_ADDRESS=auto", fix=OWN_CLUSTER
            )
        return found or "local"
    if "://" not in asked and asked != "local":
        _check_answers(asked)
    elif asked.startswith("http"):
        found_server = "a job server's address, which takes sweeps (`run`, `submit`); this command needs a cluster's"
        raise ClusterError(
            found_server,
            where=f"RAY_ADDRESS={asked}",
            fix="run it on the cluster's head, or unset RAY_ADDRESS",
        )
    return asked


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster: {error}", where=f"RAY_ADDRESS={address}", fix=OWN_CLUSTER
        ) from error


def _init(address: str, dashboard: bool | None) -> Any:
    try:
        return ray.init(
            address=address,
            include_dashboard=dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        if AuthenticationError.__name__ in str(error.__cause__):  # Ray tells its causes as text
            raise ClusterError(
                "the cluster asks for its token", where=address, fix=TOKEN_FIX
            ) from error
        raise ClusterError(f"no Ray cluster: {error}", where=address, fix=OWN_CLUSTER) from error


def _cluster_of_this_host() -> str | None:
    """The cluster that ``ray start`` made this host a part of, if it is up: ``ray.init`` alone would also try to join a dead one."""
    from ray._private.services import find_bootstrap_address, find_gcs_addresses

    left: str | None = find_bootstrap_address(
        None
    )  # what the last `ray start` wrote down; a crash leaves it there
    return left if left in find_gcs_addresses() else None  # type: ignore[no-untyped-call]  # those that a raylet of this host belongs to
