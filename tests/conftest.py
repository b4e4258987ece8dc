"""What every test shares."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute on one thread: tiny models gain nothing from more, and sums come out the same on every machine."""
    import torch

    torch.set_num_threads(1)
