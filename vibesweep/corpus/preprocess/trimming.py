"""Long silence at the ends of a clip is cut off: a model would learn to wait.

Shapes: ``S`` samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vibesweep.config.corpus import EDGE_SILENCE_S
from vibesweep.corpus.recordings import Segment
from vibesweep.corpus.sound.activity import SpeechActivity
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.segmentation import EDGE_S

LONG_PAUSE_S = 3.0
"""A silence from here on inside a clip is told; it is kept, because texts may say so."""


@dataclass(frozen=True)
class Trim:
    """Seconds to cut off a clip's start and end."""

    start_s: float = 0.0
    end_s: float = 0.0

    def applied(self, samples: Samples, rate_hz: int) -> Samples:
        """Cut them off a clip [S]."""
        first = round(self.start_s * rate_hz)
        past = len(samples) - round(self.end_s * rate_hz)
        return samples[first:past]

    @classmethod
    def of(
        cls,
        activity: SpeechActivity,
        most_s: float,
        segments: Sequence[Segment] = (),
        start_s: float = 0.0,
        end_s: float = 0.0,
    ) -> Trim:
        """Choose how much silence to cut off a clip, so that at most ``EDGE_S`` of it stays.

        Args:
            activity: what of the clip is speech.
            most_s: silence of at most so many seconds stays as it is.
            segments: the clip's turns, where their times are known. None of them is cut off whole.
            start_s: where the clip begins in its recording.
            end_s: where it ends.
        """
        kept_s = min(EDGE_S, most_s)
        leading_s, trailing_s = 0.0, 0.0
        if activity.leading_s > most_s:
            leading_s = activity.leading_s - kept_s
        if activity.trailing_s > most_s:
            trailing_s = activity.trailing_s - kept_s
        if any(segment.end_s <= start_s + leading_s for segment in segments):
            leading_s = 0.0
        if any(segment.start_s >= end_s - trailing_s for segment in segments):
            trailing_s = 0.0
        return cls(leading_s, trailing_s)


def long_silences(activity: SpeechActivity, trim: Trim) -> Iterator[str]:
    """Say of each long silence of a clip where it is and what became of it."""
    ends = (
        ("start", activity.leading_s, trim.start_s),
        ("end", activity.trailing_s, trim.end_s),
    )
    for name, found_s, cut_s in ends:
        if cut_s:
            yield f"{found_s:.1f} s at the {name}, of which {cut_s:.1f} s were cut off"
        elif found_s > EDGE_SILENCE_S:
            yield f"{found_s:.1f} s at the {name}, kept"
    if activity.longest_pause_s >= LONG_PAUSE_S:
        yield f"a pause of {activity.longest_pause_s:.1f} s, kept"
