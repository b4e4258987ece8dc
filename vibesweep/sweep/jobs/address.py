"""Which job server is meant: the one of ``--address``, or the one that Ray's variables name."""

from __future__ import annotations

import os

from vibesweep.errors import ClusterError

SERVER_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Environment variables that may name a job server, in the order in which Ray reads them."""


def job_server(address: str | None) -> str | None:
    """Return the job server that ``--address`` or Ray's variables name.

    Returns:
        Its URL, or ``None`` if the sweep is to run from here.

    Raises:
        ClusterError: ``address`` is not a job server's.
    """
    if address is not None and not _is_url(address):
        dashboard = "give its dashboard's, as in http://head:8265"
        joined = "a cluster that this host is a part of is found without, or by RAY_ADDRESS"
        found = f"{address} is no job server's address"
        raise ClusterError(found, where="--address", fix=f"{dashboard}; {joined}")
    named = [address, *(os.environ.get(variable) for variable in SERVER_VARIABLES)]
    known = next((one for one in named if one), "")
    return known if _is_url(known) else None


def required_job_server(address: str | None) -> str:
    """Return the job server, as :func:`job_server`, for what cannot be done without one.

    Raises:
        ClusterError: there is none.
    """
    server = job_server(address)
    if server is None:
        fix = "name it, as in --address http://head:8265, or set RAY_API_SERVER_ADDRESS"
        raise ClusterError("no job server is known", fix=fix)
    return server


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))
