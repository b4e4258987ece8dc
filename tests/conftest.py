"""What every test shares."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute on one thread: tiny models gain nothing from more, and sums agree everywhere."""
    import torch

    torch.set_num_threads(1)


def pytest_configure() -> None:
    """Receive Ctrl-C: a shell in the background has the tests and their subprocesses ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
