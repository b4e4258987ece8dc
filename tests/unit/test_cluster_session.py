"""RAY_ADDRESS is checked before Ray sees it: Ray would look for a quarter of an hour."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vibesweep.cluster import session
from vibesweep.errors import ClusterError


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("auto", "RAY_ADDRESS=auto: no Ray cluster runs on this host"),
        ("head", "RAY_ADDRESS=head: not of the form HOST:PORT.*as in head:6379.*RAY_ADDRESS=local"),
        ("head:", "not of the form HOST:PORT"),
        (":6379", "not of the form HOST:PORT"),
        ("head:ray", "not of the form HOST:PORT"),
        ("head:65536", "not of the form HOST:PORT"),
        ("http://127.0.0.1:8265", "a job server's address"),
    ],
)
def test_an_address_that_leads_nowhere_is_named_at_once(
    address: str, found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # no cluster was ever started there
    with pytest.raises(ClusterError, match=found):
        session.ray_address()


def test_a_port_that_nobody_listens_on_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(
            ClusterError, match=f"RAY_ADDRESS={address}: no Ray cluster.*refused.*RAY_ADDRESS=local"
        ):
            session.ray_address()
