"""Tells the user of lanes that wait for hosts, come up slowly or were given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from vibesweep.cluster.autoscaler import MissingHosts, missing_hosts
from vibesweep.config import TrialResources
from vibesweep.progress import Say
from vibesweep.sweep.repeating import repeated
from vibesweep.training.lanes.lane_state import clock_time
from vibesweep.training.lanes.messages import LaneCounts

LOOK_S = 2.0
PATIENCE_S = 10.0
"""A lane is reported once it has waited this long: on hosts that are up and free it takes a second
or two."""


@contextmanager
def report_waiting_lanes(
    dispatcher: Any, one: TrialResources, note: Say, say: Say
) -> Iterator[None]:
    """Look at the lanes every few seconds, in a thread, until the block ends.

    Args:
        dispatcher: the sweep's dispatcher.
        one: what each lane asks for.
        note: is given, after each look, why some lanes wait and what others are doing that come up
            slowly; the empty text where none does.
        say: is given the reason for each lane that was given up, and what each has room for that
            ran out of memory.
    """
    watcher = _Watcher(dispatcher, one, note, say)
    with repeated(watcher.look, LOOK_S, "waiting-lanes"):
        yield


class _Watcher:
    """Tells what has become of the lanes, at each look."""

    def __init__(
        self,
        dispatcher: Any,
        one: TrialResources,
        note: Say,
        say: Say,
    ) -> None:
        self._dispatcher = dispatcher
        self._one = one
        self._note = note
        self._say = say
        self._given_up_told = 0
        self._crowded_told = 0
        self._groups_before = 0

    def look(self) -> None:
        """Note why lanes wait, and say why others were given up."""
        counts: LaneCounts = ray.get(self._dispatcher.lane_counts.remote())
        self._say_given_up(counts)
        self._say_crowded(counts)
        notes = list(counts.slow)
        since_unix_s = counts.waiting_since_unix_s
        if since_unix_s is not None and time.time() - since_unix_s >= PATIENCE_S:
            notes.append(waiting_line(counts, self._one, self._missing()))
        self._note("; ".join(notes))

    def _missing(self) -> MissingHosts:
        """Ask what waits for hosts; a lane asks again and again, and in between it waits too."""
        missing = missing_hosts()
        groups = max(missing.groups, self._groups_before)
        self._groups_before = missing.groups
        return MissingHosts(groups, missing.why)

    def _say_given_up(self, counts: LaneCounts) -> None:
        """Say why lanes were given up; the last lane's reason is the sweep's own error."""
        if counts.wanted:
            for reason in counts.given_up[self._given_up_told :]:
                self._say(f"a lane is given up, the others go on: {reason}")
        self._given_up_told = len(counts.given_up)

    def _say_crowded(self, counts: LaneCounts) -> None:
        for line in counts.crowded[self._crowded_told :]:
            self._say(line)
        self._crowded_told = len(counts.crowded)


def waiting_line(counts: LaneCounts, one: TrialResources, missing: MissingHosts) -> str:
    """Say in one line how many lanes are up, how many wait, since when, for what, and why.

    A lane that waits while the cluster lacks room for no group has its place: processes start
    slowly on a busy host.
    """
    verb = "is" if counts.up == 1 else "are"
    parts = [f"{counts.up} of {counts.wanted} lanes {verb} up"]
    without_place = min(missing.groups, counts.waiting)
    starting = counts.waiting - without_place
    assert counts.waiting_since_unix_s is not None
    since = clock_time(counts.waiting_since_unix_s)
    if without_place == 1:
        parts.append(f"1 waits for {one.in_words} since {since}: {missing.why}")
    elif without_place:
        parts.append(f"{without_place} wait for {one.in_words} each since {since}: {missing.why}")
    if starting == 1:
        parts.append(f"1 has its place and starts its processes; it asked at {since}")
    elif starting:
        parts.append(f"{starting} have their place and start their processes; asked at {since}")
    return "; ".join(parts)
