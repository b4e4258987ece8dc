"""Ends a worker that makes no progress, once what each of its threads is doing is written down.

A step that never ends, as in a collective that another worker never comes to, would hold its lane
until somebody looks. What it hangs in is only known while it hangs. No ray is imported here.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile

LOOKS = 20
"""How often a watchdog looks within its limit."""
LOOK_S = 1.0
"""The longest time between two looks."""
OTHERS_S = 5.0
"""How long a worker stays after it has told, so that others of its group can tell as well."""
SILENT_S = 60.0
"""How much longer than the limit a process may be in which not even the watchdog can run."""
EXIT_CODE = 70
STDERR = 2


@contextmanager
def ended_if_stalled(
    limit_s: float, progress: Callable[[], object], tell: Callable[[str], None]
) -> Iterator[None]:
    """End this process if it makes no progress for a while in this block.

    Where one thread holds Python's lock for good, no other can look: then Python's own timer, which
    needs no lock, writes the stacks to stderr and ends the process.

    Args:
        limit_s: how long ``progress`` may stay the same.
        progress: returns something that changes with every step.
        tell: is given the stacks of all threads before the process ends.
    """
    ended = threading.Event()
    watch = (limit_s, progress, tell, ended)
    thread = threading.Thread(target=_watch, args=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # or it might see what comes after the block
        faulthandler.cancel_dump_traceback_later()


def _watch(
    limit_s: float,
    progress: Callable[[], object],
    tell: Callable[[str], None],
    ended: threading.Event,
) -> None:
    look_s = min(limit_s / LOOKS, LOOK_S)
    last = progress()
    since_s = time.monotonic()
    _set_timer(limit_s)
    while not ended.wait(look_s):
        now = progress()
        if now != last:
            last = now
            since_s = time.monotonic()
            _set_timer(limit_s)
        elif time.monotonic() - since_s > limit_s:
            with suppress(Exception):  # whoever is told may be gone; the process ends in any case
                tell(stacks())
            time.sleep(OTHERS_S)
            os._exit(EXIT_CODE)


def _set_timer(limit_s: float) -> None:
    faulthandler.dump_traceback_later(limit_s + SILENT_S, exit=True, file=STDERR)


def stacks() -> str:
    """Return what every thread of this process is doing, its latest call first."""
    with TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().decode(errors="replace")
