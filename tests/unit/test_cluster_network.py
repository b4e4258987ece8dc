"""Which network interface a process group uses, on this machine's own interfaces. No ray."""

from __future__ import annotations

import os
import socket

import pytest

from vibesweep.cluster.network import interface_of, use_interface_of

VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
NOBODYS = "203.0.113.7"  # RFC 5737 keeps it for documents


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is taken back in the end
        monkeypatch.delenv(name)


def own_address() -> str:
    """The address that this machine sends from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((NOBODYS, 9))
        except OSError:
            pytest.skip("this machine has no network but its loopback")
        return str(asked.getsockname()[0])


def chosen() -> list[str | None]:
    return [os.environ.get(name) for name in VARIABLES]


@pytest.mark.parametrize("address", ["127.0.0.1", NOBODYS, "2001:db8::7"])
def test_a_loopback_and_an_address_of_no_interface_choose_nothing(address: str) -> None:
    use_interface_of(address)
    assert chosen() == [None, None]


def test_the_interface_of_the_hosts_address_is_chosen() -> None:
    assert interface_of("127.0.0.1") == "lo"
    name = interface_of(own_address())
    assert name in [known for _, known in socket.if_nameindex()]
    assert name != "lo"
    use_interface_of(own_address())
    assert chosen() == [name, f"={name}"]


def test_what_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    address = own_address()
    use_interface_of(address)
    assert chosen() == ["ib0", f"={interface_of(address)}"]
