"""Which voice is handed over where the ear and the loss disagree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vibesweep.quality.choice import is_clearly_better, preferred_of, ranked_by_ear
from vibesweep.quality.measures import DURATION_RATIO, IDENTIFIED, MCD, RAN_ON, STOP_ERROR
from vibesweep.quality.quality_file import Row

MEASURES = (MCD, STOP_ERROR, RAN_ON, IDENTIFIED, DURATION_RATIO)
NO_TIES = [0.1 * number for number in range(6)]


def voice(
    name: str, mcd: Sequence[float], stop: float = 1, ran_on: float = 0, identified: float = 1
) -> Row:
    """Make a voice that said as many texts as there are distortions."""
    by_text = []
    for distortion in mcd:
        values = (distortion, stop, ran_on, identified, 1.0)
        scores = dict(zip([measure.name for measure in MEASURES], values, strict=True))
        by_text.append(scores)
    return Row(name, tuple(by_text), ())


def around(mean: float) -> list[float]:
    """Return the distortions of six texts."""
    return [mean + shift for shift in NO_TIES]


RECORDING = voice("recording", [0] * 6, stop=0)
FIRST = voice("trial 1", around(5.0))


@pytest.mark.parametrize(
    ("other", "is_better"),
    [
        (voice("trial 2", around(4.0), stop=0.5), True),
        (voice("trial 2", around(4.0), stop=1.5), False),  # worse by one
        (voice("trial 2", around(4.0)), False),  # better by one alone
        (voice("trial 2", [9.0, 9.0, 1.0, 1.0, 1.0, 5.0], stop=0.5), False),  # not on nearly all
        (voice("trial 2", around(1.0), stop=0.1, ran_on=1), False),  # does not stop
        (voice("trial 2", around(1.0), stop=0.1, identified=0), False),  # is not understood
    ],
)
def test_a_voice_is_preferred_only_where_it_is_clearly_better(other: Row, is_better: bool) -> None:
    assert is_clearly_better(other, FIRST, RECORDING, MEASURES) == is_better
    preferred = other if is_better else FIRST
    assert preferred_of([FIRST, other], RECORDING, MEASURES) is preferred


def test_few_texts_choose_only_between_speech_and_none() -> None:
    first, other = voice("trial 1", [5.0] * 3), voice("trial 2", [1.0] * 3, stop=0)
    assert not is_clearly_better(other, first, RECORDING, MEASURES)
    mute = voice("trial 1", [5.0] * 3, identified=0)
    assert is_clearly_better(other, mute, RECORDING, MEASURES)


def test_those_that_do_not_speak_come_last_however_near_they_are() -> None:
    runs_on = voice("trial 2", around(1.0), stop=0, ran_on=1)
    better = voice("trial 3", around(4.0))
    ordered = ranked_by_ear([runs_on, FIRST, better], RECORDING, MEASURES)
    assert [row.name for row in ordered] == ["trial 3", "trial 1", "trial 2"]
