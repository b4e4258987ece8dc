"""What a sweep looks at again and again is looked at until the sweep, or Ray, has ended."""

from __future__ import annotations

import threading

from ray.exceptions import RaySystemError

from vibesweep.sweep.repeating import repeated

SOON_S = 0.001
LONGEST_S = 60.0


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_it_is_looked_at_until_the_block_ends() -> None:
    looks = threading.Semaphore(0)
    with repeated(looks.release, SOON_S, "looks"):
        for _ in range(3):
            assert looks.acquire(timeout=LONGEST_S)
    assert threads_named("looks") == []


def test_nothing_is_looked_at_once_ray_is_gone() -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        raise RaySystemError("the raylet is gone")

    with repeated(look, SOON_S, "looks"):
        for thread in threads_named("looks"):
            thread.join(LONGEST_S)
    assert looks == 1
