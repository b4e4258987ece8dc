"""Waiting for what is bound to come, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Look again and again until it holds or the time is up; return whether it holds."""
    deadline = time.monotonic() + timeout_s
    held = holds()
    while not held and time.monotonic() < deadline:
        time.sleep(0.1)
        held = holds()
    return held
