"""Who of a worker's threads computes now: one at a time, in the order in which they ask."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class Turns:
    """A lock that goes to whoever has waited longest.

    The trials of a lane each have a thread. With turns nothing of torch's that they share is used
    by two at once: the device's random state, a graph that is captured, what is compiled.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False
        self._holder: int | None = None

    def __enter__(self) -> None:
        """Wait for a turn."""
        given = threading.Event()
        with self._lock:
            if self._taken:
                self._waiting.append(given)
            else:
                self._taken = True
                given.set()
        given.wait()
        self._holder = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the turn to the next."""
        self._leave()

    @contextmanager
    def let_others(self) -> Iterator[None]:
        """Let the waiting threads, and those that ask during this block, go first.

        A thread that does not hold the turn just runs the block.
        """
        if self._holder != threading.get_ident():
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self.__enter__()

    def _leave(self) -> None:
        self._holder = None
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
