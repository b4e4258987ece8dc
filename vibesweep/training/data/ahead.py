"""What is made on the CPU is made while the GPU computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

STEPS_AHEAD = 2
WAIT_S = 0.2
"""How often a thread that waits looks whether it is to end."""


def read_ahead(source: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield what a generator yields; a thread asks it for the next items meanwhile.

    Closing this closes the source as well. An error of the source is raised here.
    """
    items: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(STEPS_AHEAD)
    ended = threading.Event()

    def read() -> None:
        try:
            for item in source:
                _put(items, (item, None), ended)
                if ended.is_set():
                    break
            else:
                _put(items, (None, None), ended)
        except BaseException as error:
            _put(items, (None, error), ended)
        finally:
            source.close()

    reader = threading.Thread(target=read, name="read_ahead", daemon=True)
    reader.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        ended.set()
        reader.join()


def _put(items: queue.Queue[T], item: T, ended: threading.Event) -> None:
    """Put an item as soon as there is room, unless nobody asks any more."""
    while not ended.is_set():
        try:
            items.put(item, timeout=WAIT_S)
        except queue.Full:
            continue
        return
