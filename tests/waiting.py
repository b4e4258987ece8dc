"""Waiting for what is bound to come, and no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], timeout_s: float) -> bool:
    """Look again and again; whether it holds in the end."""
    ends, clock = time.monotonic() + timeout_s, threading.Event()
    while not (held := holds()) and time.monotonic() < ends:
        clock.wait(0.1)
    return held
