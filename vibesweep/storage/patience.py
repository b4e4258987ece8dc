"""What is asked of a store that refuses for a while is asked again: stores have bad minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vibesweep.errors import DiskFullError, StorageError
from vibesweep.storage.paths import StoragePath

T = TypeVar("T")

PATIENCE_S = 300.0
"""Less than a worker may go without a step, and than others wait for it in a collective."""
PAUSE_S = 5.0


def patiently(place: StoragePath, do: Callable[[], T]) -> T:
    """Do something with a place in a store, again and again for some minutes until it is done.

    On a disk of this machine it is done once: what a disk refuses, it refuses a second later too.

    Args:
        place: what it is done with.
        do: does it; it may be done twice.

    Raises:
        StorageError, OSError: what the store said last.
    """
    if place.local is not None:
        return do()
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return do()
        except (FileNotFoundError, DiskFullError):  # an answer
            raise
        except (StorageError, OSError):
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(PAUSE_S)
