"""Tells of lanes that wait for hosts or were given up, while a sweep waits or goes on without them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from vibesweep.cluster.autoscaler import outlook
from vibesweep.config import TrialResources
from vibesweep.training.lanes.dispatcher import LaneCounts

LOOK_S = 2.0
PATIENCE_S = 10.0
"""A lane that has waited for less is not told of: on hosts that are up and free it takes a second or two."""


@contextmanager
def told_of_waiting(
    dispatcher: Any, one: TrialResources, note: Callable[[str], None], say: Callable[[str], None]
) -> Iterator[None]:
    """Look at the lanes from time to time; note why some of them wait, the empty text where none does, and say why one was given up."""
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(dispatcher, one, note, say, ended), name="waiting-lanes", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # or it might ask Ray something after Ray's end


def _watch(
    dispatcher: Any,
    one: TrialResources,
    note: Callable[[str], None],
    say: Callable[[str], None],
    ended: threading.Event,
) -> None:
    since, told = time.monotonic(), 0
    while not ended.wait(LOOK_S):
        try:
            census = ray.get(dispatcher.census.remote())
            for reason in (
                census.given_up[told:] if census.wanted else ()
            ):  # the last one's is the sweep's own error
                say(f"a lane is given up, the others go on: {reason}")
            told = len(census.given_up)
            since = since if census.waiting else time.monotonic()
            note(
                waiting_line(census, one, outlook())
                if time.monotonic() - since >= PATIENCE_S
                else ""
            )
        except RayError:  # Ray is gone, and the sweep with it, which says so itself
            return


def waiting_line(census: LaneCounts, one: TrialResources, why: str) -> str:
    """One line: how many lanes are up, how many wait, for what, and why."""
    up = f"{census.up} of {census.wanted} lanes {'is' if census.up == 1 else 'are'} up"
    wait = (
        f"1 waits for {_needs(one)}"
        if census.waiting == 1
        else f"{census.waiting} wait for {_needs(one)} each"
    )
    return f"{up}; {wait}: {why}"


def _needs(one: TrialResources) -> str:
    gpu = f"{one.gpus_per_worker:g} {one.accelerator_type or 'GPU'}" if one.gpus_per_worker else ""
    cpu = (
        f"{one.cpus_per_worker} CPU{'s' if one.cpus_per_worker > 1 else ''}"
        if one.cpus_per_worker
        else ""
    )
    worker = " and ".join(filter(None, (gpu, cpu)))
    return worker if one.workers == 1 else f"{one.workers} workers with {worker}"
