"""What every test shares."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute on one thread: tiny models gain nothing from more, and sums come out the same on every machine."""
    import torch

    torch.set_num_threads(1)


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell that runs the tests in the background has them, and all that they start, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
