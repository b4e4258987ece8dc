"""Ctrl-C, and SIGTERM, which means the same: a job server sends it to a job that is to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vibesweep.progress import Say

STOPPING = "stopping: keeping what is there; again to stop now"


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


class Stopping:
    """Whether the user has asked a sweep to stop, once or twice.

    Attributes:
        now: whether it is not to wait for the steps in hand.
    """

    def __init__(self, say: Say, stop: Callable[[], None]) -> None:
        """Say on the first Ctrl-C that it was heard, and call ``stop`` in a thread."""
        self.now = False
        self._asked = False
        self._say = say
        self._stop = stop

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C; the second one raises KeyboardInterrupt."""
        if self._asked:
            self.now = True
            raise KeyboardInterrupt
        self.ask()

    def ask(self) -> None:
        """Stop as on the first Ctrl-C; do nothing if that was asked before."""
        if self._asked:
            return
        self._asked = True
        self._say(STOPPING)
        # What the main thread was doing is unknown, so nothing of Ray is called in it
        threading.Thread(target=self._stop, name="stopping", daemon=True).start()


@contextmanager
def ctrl_c_stops(say: Say, stop: Callable[[], None]) -> Iterator[Stopping]:
    """Have Ctrl-C call ``stop`` for as long as the block lasts."""
    stopping = Stopping(say, stop)
    if not _is_main_thread():
        yield stopping
        return
    before = signal.signal(signal.SIGINT, stopping.hear)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGINT, before)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in a shell's background job
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
