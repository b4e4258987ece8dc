"""Which network interface a process group uses, on this machine's own interfaces. No Ray."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import psutil
import pytest

from vibesweep.cluster.network import interface_of, use_interface_of

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
UNUSED_ADDRESS = "203.0.113.7"  # RFC 5737 reserves it for documentation


@pytest.fixture(autouse=True)
def no_interface_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that pytest restores it in the end
        monkeypatch.delenv(name)


def own_address() -> str:
    """Return the address that this machine sends from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((UNUSED_ADDRESS, 9))
        except OSError:
            pytest.skip("this machine has no network but its loopback")
        return str(probe.getsockname()[0])


def chosen() -> list[str | None]:
    return [os.environ.get(name) for name in VARIABLES]


@pytest.mark.parametrize("address", ["127.0.0.1", UNUSED_ADDRESS, "2001:db8::7"])
def test_a_loopback_and_an_address_of_no_interface_choose_nothing(address: str) -> None:
    use_interface_of(address)
    assert chosen() == [None, None]


def test_the_interface_of_the_hosts_address_is_chosen() -> None:
    assert interface_of("127.0.0.1") == "lo"
    name = interface_of(own_address())
    assert name in {known for _, known in socket.if_nameindex()} - {"lo"}
    use_interface_of(own_address())
    assert chosen() == [name, f"={name}"]


def test_what_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    address = own_address()
    use_interface_of(address)
    assert chosen() == ["ib0", f"={interface_of(address)}"]


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.0.0.2", "eth0"),  # eth0:1, an alias, is the interface eth0
        ("fe80::2", "eth1"),
        ("fe80:0:0:0:0:0:0:2", "eth1"),
        ("10.0.0.9", None),
    ],
)
def test_aliases_and_link_local_addresses_are_recognized(
    address: str, interface: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = SimpleNamespace(family=psutil.AF_LINK, address="02:42:ac:11:00:02")
    alias = SimpleNamespace(family=socket.AF_INET, address="10.0.0.2")
    link_local = SimpleNamespace(family=socket.AF_INET6, address="fe80::2%eth1")
    interfaces = {"eth0": [hardware], "eth0:1": [alias], "eth1": [hardware, link_local]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: interfaces)
    assert interface_of(address) == interface
