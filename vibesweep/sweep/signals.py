"""Ctrl-C, and SIGTERM, which means the same: a job server sends it to a job that is to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C for as long as the block lasts.

    Enter it after ``ray.init``, which sets a handler of its own. It calls the handler of Ctrl-C
    instead of sending SIGINT, because Ray blocks that signal in the jobs that it starts.
    """
    if not _is_main_thread():  # only there may handlers be set
        yield
        return
    before = signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ctrl_c_given_back() -> Iterator[None]:
    """Put the handler of Ctrl-C back when the block ends.

    Ray Tune replaces it and puts it back only after a Ctrl-C: the caller's next one would have no
    effect.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if _is_main_thread():
            signal.signal(signal.SIGINT, before)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in a shell's background job
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
