"""Which voice of a sweep to hand over, where the ear and the loss disagree.

The smallest loss wins unless another voice is clearly better: it speaks where that one does not, or
is better on nearly every text by two measures or more, and by none is it the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence

from vibesweep.quality.measures import Measure
from vibesweep.quality.quality_file import Row
from vibesweep.quality.verdict import faults_of, wins

FEWEST_TEXTS = 4
"""With fewer, two voices that speak are not told apart: one text's figures are mostly chance."""
STEADY_SHARE = 0.75
"""Share of the texts on which a measure must say the same to count."""
FEWEST_MEASURES = 2


def ranked_by_ear(
    trials: Sequence[Row], recording: Row, measures: Sequence[Measure]
) -> tuple[Row, ...]:
    """Order voices, best first: by whether they speak, then by how many others they surpass.

    Those that surpass a voice count against it. Equals stay in their order.
    """

    def standing(row: Row) -> tuple[bool, int]:
        surpassed = 0
        for other in trials:
            better, worse = wins(row, other, measures)
            if better > worse:
                surpassed += 1
            elif better < worse:
                surpassed -= 1
        return not faults_of(row, recording).speaks, -surpassed

    return tuple(sorted(trials, key=standing))


def preferred_of(heard: Sequence[Row], recording: Row, measures: Sequence[Measure]) -> Row:
    """Return the voice to hand over.

    Args:
        heard: the trials' voices, that of the smallest loss first.
        recording: what they are judged by.
        measures: what was measured.
    """
    smallest = heard[0]
    for row in ranked_by_ear(heard, recording, measures):
        if is_clearly_better(row, smallest, recording, measures):
            return row
    return smallest


def is_clearly_better(row: Row, other: Row, recording: Row, measures: Sequence[Measure]) -> bool:
    """Tell whether a voice is so much better than another that this cannot well be chance."""
    if not faults_of(row, recording).speaks:
        return False
    if not faults_of(other, recording).speaks:
        return True
    if len(row.by_text) < FEWEST_TEXTS:
        return False
    steady = [measure for measure in measures if _is_steady(row, other, measure)]
    better, worse = wins(row, other, steady)
    return better >= FEWEST_MEASURES and not worse


def _is_steady(row: Row, other: Row, measure: Measure) -> bool:
    """Tell whether a measure puts the same voice ahead on nearly every text."""
    ahead = 0
    behind = 0
    for ours, theirs in zip(row.by_text, other.by_text, strict=True):
        if measure.name not in ours or measure.name not in theirs:
            continue
        our_distance = measure.distance(ours[measure.name])
        their_distance = measure.distance(theirs[measure.name])
        ahead += our_distance < their_distance
        behind += our_distance > their_distance
    return max(ahead, behind) >= STEADY_SHARE * len(row.by_text)
