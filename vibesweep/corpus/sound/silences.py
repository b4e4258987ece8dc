"""Find the silences of a recording by its levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.sound.arrays import Floats, Ints

Mask = npt.NDArray[np.bool_]

QUIET_SHARE = 0.35  # a silence is below this share of the way from the noise floor to speech, in dB
FLOOR_BELOW_SPEECH_DB = 60.0  # a noise floor that is lower still is digital silence
LEAST_RANGE_DB = 12.0  # with less between noise and speech, silences cannot be found
MIN_SILENCE_S = 0.15  # stop consonants close for up to 0.1 s
BLIP_S = 0.06  # a shorter noise in a silence is a click
LEAST_SPEECH_HOPS = 5  # more than a click has


@dataclass(frozen=True)
class Spans:
    """Stretches of hops.

    Attributes:
        first: first hop of each [J].
        past: the hop after the last one of each [J].
    """

    first: Ints
    past: Ints

    @classmethod
    def between(cls, edges: Ints) -> Spans:
        """Pair up edges: each span begins at an even one and ends at the odd one after it."""
        return cls(edges[::2], edges[1::2])

    def __len__(self) -> int:
        """Count the spans."""
        return len(self.first)

    @property
    def hops(self) -> Ints:
        """Length of each span [J]."""
        return self.past - self.first

    def where(self, mask: Mask) -> Spans:
        """Keep the spans for which a mask [J] is true."""
        return Spans(self.first[mask], self.past[mask])


def silences(envelope: Floats, hop_s: float) -> Spans | None:
    """Find the silences of a recording.

    Args:
        envelope: level of each hop in dBFS [N].
        hop_s: seconds of a hop.

    Returns:
        The silences, or ``None`` if speech hardly stands out from the noise.
    """
    quietest_db, usual_db = _quietest_and_usual(envelope)
    threshold_db = _threshold(quietest_db, usual_db)
    if threshold_db is None:  # perhaps a few words in much silence
        threshold_db = _threshold(quietest_db, loudest_speech_dbfs(envelope))
    if threshold_db is None:
        return None
    loud = _runs(envelope >= threshold_db)
    least_hops = BLIP_S / hop_s
    loud = loud.where(loud.hops >= least_hops)
    end = len(envelope)
    starts = np.concatenate([[0], loud.past])
    ends = np.concatenate([loud.first, [end]])
    quiet = Spans(
        first=starts,
        past=ends,
    )
    quiet_s = quiet.hops * hop_s
    return quiet.where(quiet_s >= MIN_SILENCE_S)


def loudest_speech_dbfs(envelope: Floats) -> float:
    """Return the level that so many hops of an envelope [N] reach that it is no click's."""
    place = min(LEAST_SPEECH_HOPS, (len(envelope) + 1) // 2)
    return float(np.partition(envelope, -place)[-place])


def _quietest_and_usual(envelope: Floats) -> tuple[float, float]:
    """Return the 5th and the 95th percentile of [N], in a third of ``np.percentile``'s time."""
    ranked = np.sort(envelope)
    places = np.arange(len(ranked))
    last = places[-1]
    quietest_db = np.interp(0.05 * last, places, ranked)
    usual_db = np.interp(0.95 * last, places, ranked)
    return float(quietest_db), float(usual_db)


def _threshold(quietest_db: float, speech_db: float) -> float | None:
    """Return the level below which a hop is quiet; None if speech hardly stands out."""
    floor_db = max(quietest_db, speech_db - FLOOR_BELOW_SPEECH_DB)
    range_db = speech_db - floor_db
    if range_db < LEAST_RANGE_DB:
        return None
    return floor_db + QUIET_SHARE * range_db


def _runs(mask: Mask) -> Spans:
    """Find the runs of true values."""
    padded = np.concatenate([[False], mask, [False]])
    before = padded[:-1]
    after = padded[1:]
    edges = np.flatnonzero(before != after)
    return Spans.between(edges)
