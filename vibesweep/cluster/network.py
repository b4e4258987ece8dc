"""Chooses the network interface that a process group over several hosts uses.

The right one carries the host's address in the cluster. Left to itself, Gloo takes the address that
the host's own name resolves to, which on Debian is a loopback, so groups over several hosts time
out. NCCL takes the first interface that looks good. Names of interfaces differ from host to host,
so each process looks for its own.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import Any

import psutil

IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def use_interface_of(address: str) -> None:
    """Have Gloo and NCCL use the interface of this address, unless the user has chosen one.

    This holds for process groups that are made later. Nothing changes where the address is a
    loopback's, or where no interface has it, as behind a network address translation.
    """
    name = interface_of(address)
    is_loopback = ipaddress.ip_address(address).is_loopback
    if name is None or is_loopback:
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
    # NCCL reads a bare name as the beginning of one: eth1 would be eth10 too
    os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")


def interface_of(address: str) -> str | None:
    """Return the name of this host's interface that has this IP address."""
    wanted = ipaddress.ip_address(address)
    for name, entries in psutil.net_if_addrs().items():
        addresses = _ip_addresses(entries)
        if wanted in addresses:
            interface: str = name.partition(":")[0]  # an alias, eth0:1, is the interface eth0
            return interface
    return None


def _ip_addresses(entries: Iterable[Any]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the IP addresses among an interface's entries, which have its hardware's too."""
    found = []
    for entry in entries:
        if entry.family in IP_FAMILIES:
            # A link-local address of IPv6 ends with its interface: fe80::1%eth0
            text = entry.address.partition("%")[0]
            found.append(ipaddress.ip_address(text))
    return found
