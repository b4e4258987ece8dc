"""Which Ray a command would use, and whether this host's ports let it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from vibesweep.cluster.session import forgotten_cluster, host_address, ray_address
from vibesweep.doctor.finding import Finding, note, problem, refused
from vibesweep.errors import VibesweepError

DASHBOARD_PORT = 8265
ANSWER_S = 3.0


def look_at_ray() -> Iterator[Finding]:
    """Look for clusters that are up and that are gone, and at the ports that one needs."""
    try:
        address = ray_address()
    except VibesweepError as error:
        yield refused("Ray", error)
        return
    if address != "local":
        yield Finding("Ray", f"commands join the cluster at {address}")
        return
    yield Finding("Ray", "no cluster here: a command that needs one starts its own")
    gone = forgotten_cluster()
    if gone is not None:
        found = f"{gone} is written down as this host's cluster and does not run"
        fix = "`ray stop` clears it; vibesweep passes it over, but plain ray.init would wait for it"
        yield note("Ray's last cluster", found, fix)
    yield _dashboard_port()
    yield _own_address()


def _dashboard_port() -> Finding:
    subject = "dashboard's port"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DASHBOARD_PORT))
        except OSError as error:
            found = f"{DASHBOARD_PORT}: {os.strerror(error.errno or 0)}"
            fix = "nothing: Ray takes the next one, and `run` says which"
            return note(subject, found, fix)
    return Finding(subject, f"{DASHBOARD_PORT} is free")


def _own_address() -> Finding:
    """Look whether this host reaches itself by the address at which Ray's processes meet."""
    subject = "own address"
    address = host_address()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as listening:
            listening.bind((address, 0))
            listening.listen()
            port = listening.getsockname()[1]
            socket.create_connection((address, port), ANSWER_S).close()
    except OSError as error:
        found = f"{address} does not answer from here: {error}"
        fix = "see whether a firewall or a VPN is in between, and turn it off for this host"
        return problem(subject, found, fix)
    return Finding(subject, f"{address} answers")
