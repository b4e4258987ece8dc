"""Finds the Ray that a process uses, or starts one and stops it at the end.

It is the one that runs in this process, or that RAY_ADDRESS names, or that runs on this host, in
this order; only where there is none is one started.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from vibesweep.cluster.ray_internals import (
    find_bootstrap_address,
    find_gcs_addresses,
    get_default_system_temp_dir,
    stdout_deduplicator,
)
from vibesweep.errors import TOKEN_FIX, ClusterError
from vibesweep.storage.early import check_folder_writable

START_OWN = "set RAY_ADDRESS=local to start one on this machine"
OWN_CLUSTER_FIX = f"see that it is up, or {START_OWN}"
CONNECT_S = 10.0
LAST_PORT = 65_535
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket; Ray refuses a longer one with a traceback."""
TEMPORARY = ("RAY_TMPDIR", "TMPDIR")
"""Environment variables that name the folder for Ray's own, the first before the second."""

RAYLETS_REMARKS = re.compile("worker processes have been started|A worker died or was killed")
"""What raylets tell every driver and nobody can use: a sweep says itself what it lost and why."""


@contextmanager
def running_ray(*, dashboard: bool = False) -> Iterator[str | None]:
    """Use a Ray that runs, or start one here and stop it when the block ends.

    Args:
        dashboard: whether one that is started here has a dashboard, which costs some seconds of CPU
            time.

    Yields:
        The dashboard's address, or ``None`` where there is none, or where Ray ran in this process
        before.

    Raises:
        ClusterError: the cluster does not answer, or not without its token; or the path of Ray's
            own folder is too long.
        StorageError: Ray's own folder cannot be written to.
    """
    if ray.is_initialized():
        yield None
        return
    # Ray's future default; Ray warns until it is set
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)  # before init, which warns of its own defaults
    stdout_deduplicator.skip_re = RAYLETS_REMARKS
    address = ray_address()
    if address == "local":
        check_ray_folder()
    context = _init(address, dashboard if address == "local" else None)
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


def starts_own_ray() -> bool:
    """Tell whether :func:`running_ray` would start a Ray on this machine.

    Raises:
        ClusterError: a cluster is asked for that does not answer.
    """
    return not ray.is_initialized() and ray_address() == "local"


def forgotten_cluster() -> str | None:
    """Return the cluster that the last ``ray start`` of this host wrote down, if it is gone."""
    written_down: str | None = find_bootstrap_address(None)
    return None if written_down in find_gcs_addresses() else written_down


def host_address() -> str:
    """Return the IP address at which Ray's processes of this host meet."""
    address: str = ray.util.get_node_ip_address()
    return address


def ray_folder() -> str:
    """Return the folder in which a Ray that is started here makes its own."""
    folder: str = get_default_system_temp_dir()
    return folder


def check_ray_folder() -> None:
    """Check that a Ray that is started here can make its sockets and logs.

    Raises:
        ClusterError: the paths of its sockets would be longer than the system takes.
        StorageError: its folder cannot be written to.
    """
    temporary = ray_folder()
    option = next((name for name in TEMPORARY if os.environ.get(name) == temporary), "")
    # As ray._private.node names it
    session = f"session_2026-01-31_23-59-59_999999_{os.getpid()}"
    socket_path = os.path.join(temporary, "ray", session, "sockets", "plasma_store")
    excess = len(os.fsencode(socket_path)) - SOCKET_PATH_BYTES
    if excess > 0:
        found = f"the path is {excess} bytes too long for Ray's sockets"
        where = f"{option or 'the temporary folder'} {temporary}"
        raise ClusterError(found, where=where, fix="set RAY_TMPDIR=/tmp, or another short path")
    check_folder_writable(temporary, f"{option or 'temporary'} folder")


def ray_address() -> str:
    """Return the address of the Ray that a command would join; ``local`` for one of its own.

    One that RAY_ADDRESS names has to answer: Ray itself would ask a cluster that is not there for a
    quarter of an hour.

    Raises:
        ClusterError: a cluster is asked for that does not answer.
    """
    asked = os.environ.get("RAY_ADDRESS") or ""
    if asked in ("", "auto"):
        return _address_on_this_host(required=asked == "auto")
    if asked.startswith(("http://", "https://")):
        found = (
            "a job server's address, which takes sweeps (`run`, `submit`); "
            "this command needs a cluster's"
        )
        fix = "run it on the cluster's head, or unset RAY_ADDRESS"
        raise ClusterError(found, where=f"RAY_ADDRESS={asked}", fix=fix)
    if "://" not in asked and asked != "local":
        _check_answers(asked)
    return asked


def _address_on_this_host(*, required: bool) -> str:
    """Return this host's cluster; where there is none, ``local``, which starts one."""
    found = _cluster_of_this_host()
    if found is None and required:
        message = "no Ray cluster runs on this host"
        raise ClusterError(message, where="RAY_ADDRESS=auto", fix=OWN_CLUSTER_FIX)
    return found or "local"


def _cluster_of_this_host() -> str | None:
    """Return the cluster that ``ray start`` made this host a part of, if it is up."""
    # What the last `ray start` wrote down, which a crash leaves behind
    written_down: str | None = find_bootstrap_address(None)
    running = find_gcs_addresses()
    return written_down if written_down in running else None


def _check_answers(address: str) -> None:
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        where = f"RAY_ADDRESS={address}"
        raise ClusterError(f"no Ray cluster: {error}", where=where, fix=OWN_CLUSTER_FIX) from error


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    is_port = port.isdecimal() and 0 < int(port) <= LAST_PORT
    if host and is_port:
        return host.strip("[]"), int(port)
    found = "not of the form HOST:PORT"
    fix = f"name the port that `ray start --head` printed, as in head:6379, or {START_OWN}"
    raise ClusterError(found, where=f"RAY_ADDRESS={address}", fix=fix)


def _init(address: str, dashboard: bool | None) -> Any:
    try:
        return ray.init(
            address=address,
            include_dashboard=dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        if AuthenticationError.__name__ in str(error.__cause__):  # Ray gives its causes as text
            found = "the cluster asks for its token"
            raise ClusterError(found, where=address, fix=TOKEN_FIX) from error
        found = f"no Ray cluster: {error}"
        raise ClusterError(found, where=address, fix=OWN_CLUSTER_FIX) from error
