"""What the figures mean: does the voice speak at all, and is it better than the untouched base?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vibesweep.quality.measures import DURATION_RATIO, IDENTIFIED, MCD, RAN_ON, Measure
from vibesweep.quality.quality_file import BASE, RECORDING, Row

LEAST_UNDERSTOOD = 0.5
"""Share of the sentences understood from the recordings that a voice must be understood in."""
LEAST_OF_RECORDINGS = 0.5
"""Where fewer of the recordings themselves are understood, no voice is judged by this."""
MOST_RUN_ON = 0.25
LENGTHS = (0.5, 2.0)
"""Lengths, divided by the recordings', between which a voice is taken to stop when it is done."""
TIE = 0.02
"""Distances from the ideal that differ by less than this share are the same."""


class Faults(NamedTuple):
    """What keeps a voice from being one.

    Attributes:
        understood: whether it is; None where that was not or could not be judged.
        stops: whether it ends when all is said.
    """

    understood: bool | None
    stops: bool

    @property
    def speaks(self) -> bool:
        """Whether nothing is known against it."""
        return self.understood is not False and self.stops


def faults_of(row: Row, recording: Row) -> Faults:
    """Judge one voice by the recordings of the same texts."""
    ran_on = row.mean(RAN_ON.name) or 0.0
    length = row.mean(DURATION_RATIO.name) or 0.0
    shortest, longest = LENGTHS
    is_of_length = shortest <= length <= longest
    stops = is_of_length and ran_on <= MOST_RUN_ON
    understood = _is_understood(row, recording)
    return Faults(understood, stops)


def _is_understood(row: Row, recording: Row) -> bool | None:
    heard = row.mean(IDENTIFIED.name)
    possible = recording.mean(IDENTIFIED.name)
    if heard is None or possible is None:
        return None
    if possible < LEAST_OF_RECORDINGS:
        return None
    return heard >= LEAST_UNDERSTOOD * possible


def wins(row: Row, other: Row, measures: Sequence[Measure]) -> tuple[int, int]:
    """Count the measures by which a voice is better than another, and those by which it is worse.

    Where only one of them has a figure, the other's speech was too bad to have one.
    """
    better = 0
    worse = 0
    for measure in measures:
        if not measure.ranks:
            continue
        ours = _distance(row, measure)
        theirs = _distance(other, measure)
        if math.isclose(ours, theirs, rel_tol=TIE):
            continue
        if ours < theirs:
            better += 1
        else:
            worse += 1
    return better, worse


def _distance(row: Row, measure: Measure) -> float:
    mean = row.mean(measure.name)
    if mean is None:
        return math.inf
    return measure.distance(mean)


def verdict(rows: Sequence[Row], name: str, measures: Sequence[Measure]) -> str:
    """Say in one line whether the voice of that name speaks, and how it compares with the base."""
    by_name = {row.name: row for row in rows}
    row = by_name[name]
    recording = by_name[RECORDING]
    base = by_name.get(BASE, row)
    faults = faults_of(row, recording)
    if not faults.speaks:
        told = _told(faults, row, recording)
        return f"{name} does not speak yet: {told}"
    if base is row:
        compared = _figures(row, recording)
        return f"{name} speaks: {compared}"
    compared = _figures(row, base)
    of_base = faults_of(base, recording)
    if not of_base.speaks:
        return f"{name} speaks and the untouched base does not: {compared}"
    better, worse = wins(row, base, measures)
    word = "like"
    if better > worse:
        word = "better than"
    elif better < worse:
        word = "worse than"
    counts = f"better by {better} measures, worse by {worse}"
    return f"{name} sounds {word} the untouched base: {counts}; {compared}"


def _told(faults: Faults, row: Row, recording: Row) -> str:
    """Say what is wrong with a voice."""
    told = []
    if faults.understood is False:
        heard = _figures(row, recording)
        told.append(heard)
    if not faults.stops:
        length = row.mean(DURATION_RATIO.name) or 0.0
        ran_on = _count(row, RAN_ON)
        told.append(
            f"it does not stop when all is said ({ran_on} ran on to the limit,"
            f" {length:.1f} times the recordings' length)"
        )
    return " and ".join(told)


def _figures(row: Row, other: Row) -> str:
    """Name the two figures that say most, as "5 of 6 sentences understood (base 2 of 6)"."""
    told = []
    if row.values(IDENTIFIED.name):
        ours = _count(row, IDENTIFIED)
        theirs = _count(other, IDENTIFIED)
        told.append(f"{ours} sentences understood ({other.name} {theirs})")
    distortion = row.mean(MCD.name) or 0.0
    others = other.mean(MCD.name) or 0.0
    compared = f"MCD {distortion:.1f} dB"
    if other.name != RECORDING:
        compared = f"{compared} ({other.name} {others:.1f})"
    told.append(compared)
    return ", ".join(told)


def _count(row: Row, measure: Measure) -> str:
    values = row.values(measure.name)
    total = sum(values)
    return f"{total:.0f} of {len(values)}"
