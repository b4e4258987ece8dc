"""Ctrl-C, and what means the same: SIGTERM, which a job server sends to a job that is to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM as whatever Ctrl-C means at that moment. To be entered after ``ray.init``, which sets a handler of its own.

    Ctrl-C's handler is called, not SIGINT sent: Ray blocks that signal in the jobs that it starts.
    """
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in a shell's background job
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextmanager
def ctrl_c_given_back() -> Iterator[None]:
    """Tune takes SIGINT over and gives it back only after a Ctrl-C: the caller's next one would go unheard."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
