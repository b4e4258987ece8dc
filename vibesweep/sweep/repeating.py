"""What a sweep looks at again and again while it runs: each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray.exceptions import RayError


@contextmanager
def repeated(look: Callable[[], object], every_s: float, name: str) -> Iterator[None]:
    """Look every so many seconds, in a thread, until the block ends.

    Ray may go meanwhile, and the sweep with it, which says so itself: nothing is looked at then.

    Args:
        look: is called in the thread; may call Ray.
        every_s: seconds from one look's end to the next.
        name: the thread's name, for stacks.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every_s):
            try:
                look()
            except RayError:
                return

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # or it might call Ray after Ray's end
