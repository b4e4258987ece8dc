"""The network interface that a process group of several hosts should use: the one that carries the host's address in the cluster.

Left to itself, Gloo takes the address that the host's own name resolves to, which on Debian is a loopback: groups over hosts then time
out. NCCL takes the first interface that looks good. The names differ from host to host, so each process looks for its own.
"""

from __future__ import annotations

import array
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

SIOCGIFCONF = 0x8912  # <linux/sockios.h>: all IPv4 addresses, with the names of their interfaces
IFREQ_BYTES, NAME_BYTES = 40, 16  # <linux/if.h>: a name, a struct sockaddr_in and padding
MOST_ADDRESSES = 512
IPV6_ADDRESSES = Path("/proc/net/if_inet6")


def use_interface_of(address: str) -> None:
    """Have Gloo and NCCL use the interface of this address, in process groups to come, unless the user has chosen one.

    Where the address is a loopback's, or no interface has it, as behind a network address translation, all is left as it is.
    """
    name = interface_of(address)
    if name is not None and not ipaddress.ip_address(address).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault(
            "NCCL_SOCKET_IFNAME", f"={name}"
        )  # NCCL takes a bare name as the beginning of one


def interface_of(address: str) -> str | None:
    """The name of the interface of this host that has this IP address."""
    wanted = ipaddress.ip_address(address)
    return next((name for name, found in _addresses() if found == wanted), None)


def _addresses() -> Iterator[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    for request in _ipv4_requests():
        # An alias, eth0:1, is the interface eth0
        yield (
            request[:NAME_BYTES].split(b"\0")[0].decode().split(":")[0],
            ipaddress.IPv4Address(request[20:24]),
        )
    if IPV6_ADDRESSES.exists():
        for line in IPV6_ADDRESSES.read_text().splitlines():
            digits, *_, name = line.split()
            yield name, ipaddress.IPv6Address(int(digits, 16))


def _ipv4_requests() -> Iterator[bytes]:
    """One struct ifreq for each IPv4 address."""
    room = array.array("B", bytes(IFREQ_BYTES * MOST_ADDRESSES))
    pointer, _ = room.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = fcntl.ioctl(asked.fileno(), SIOCGIFCONF, struct.pack("iL", len(room), pointer))
    filled = room.tobytes()[: struct.unpack("iL", answer)[0]]
    for start in range(0, len(filled), IFREQ_BYTES):
        yield filled[start : start + IFREQ_BYTES]
