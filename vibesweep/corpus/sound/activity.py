"""What of a waveform is speech: how loud and how long it is, and the silences around and in it.

The level is an active speech level in the manner of ITU-T P.56: the power over the time in which
somebody speaks, where a pause counts as long as it is short. P.56 lets pauses of 0.2 s count; here
those below ``LONG_SILENCE_S`` do, so that a clip with ordinary pauses has its plain RMS, to which
VibeVoice's own feature extractor levels. docs/design/corpus.md has the figures.

Shapes: ``S`` samples, ``N`` whole hops of ``H`` samples, ``J`` silences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibesweep.corpus.sound.arrays import Floats, Ints, Samples
from vibesweep.corpus.sound.levels import LEAST_POWER, SILENCE_DBFS, dbfs_of
from vibesweep.corpus.sound.silences import Mask, Spans, loudest_speech_dbfs, silences

HOP_S = 0.02
LONG_SILENCE_S = 0.5
"""A silence from here on is no part of the speech around it."""


@dataclass(frozen=True)
class SpeechActivity:
    """What of a waveform is speech.

    Attributes:
        level_dbfs: RMS of the speech about its mean, pauses below ``LONG_SILENCE_S`` included.
        speech_s: length of the speech, such pauses included.
        leading_s: silence before the speech.
        trailing_s: silence after it.
        longest_pause_s: the longest silence in between.
    """

    level_dbfs: float
    speech_s: float
    leading_s: float = 0.0
    trailing_s: float = 0.0
    longest_pause_s: float = 0.0


def speech_activity(samples: Samples, rate_hz: int) -> SpeechActivity:
    """Measure what of a waveform [S] is speech; all of it, where no silence stands out."""
    hop = max(1, round(HOP_S * rate_hz))
    hops = _Hops.of(samples, hop)
    envelope = hops.levels()
    loudest = loudest_speech_dbfs(envelope)
    if loudest < SILENCE_DBFS:  # clicks and an offset that drifts are no speech
        return SpeechActivity(loudest, speech_s=0.0)
    hop_s = hop / rate_hz
    quiet = silences(envelope, hop_s)
    if quiet is None:
        return SpeechActivity(hops.level_dbfs(), len(samples) / rate_hz)
    is_long = quiet.hops * hop_s >= LONG_SILENCE_S
    long = quiet.where(is_long)
    speech = hops.without(long)
    is_leading = quiet.first == 0
    is_trailing = quiet.past == len(envelope)
    is_pause = ~(is_leading | is_trailing)
    return SpeechActivity(
        level_dbfs=speech.level_dbfs(),
        speech_s=speech.samples / rate_hz,
        leading_s=_longest_s(quiet.where(is_leading), hop_s),
        trailing_s=_longest_s(quiet.where(is_trailing), hop_s),
        longest_pause_s=_longest_s(quiet.where(is_pause), hop_s),
    )


@dataclass(frozen=True, eq=False)
class _Hops:
    """What the levels of a waveform's hops, and of any of them together, are made of.

    Attributes:
        sums: of the samples of each hop [N + 1]; the last one is what is left after whole hops.
        squares: sums of the squared samples [N + 1].
        lengths: samples of each hop [N + 1].
    """

    sums: Floats
    squares: Floats
    lengths: Ints

    @classmethod
    def of(cls, samples: Samples, hop: int) -> _Hops:
        """Add up the hops of [S]."""
        hops = len(samples) // hop + 1
        flat = np.zeros(hops * hop)
        flat[: len(samples)] = samples
        padded = flat.reshape(hops, hop)
        ones = np.ones(hop)  # a product adds up in half the time of sum()
        sums = padded @ ones
        padded *= padded
        squares = padded @ ones
        lengths = np.full(hops, hop)
        lengths[-1] = len(samples) % hop
        return cls(sums, squares, lengths)

    @property
    def samples(self) -> int:
        """Count the samples of all hops."""
        return int(self.lengths.sum())

    def levels(self) -> Floats:
        """Return the level of each whole hop about its own mean, in dBFS [N]."""
        whole = self._chosen(slice(-1))
        means = whole.sums / whole.lengths
        mean_squares = whole.squares / whole.lengths
        power = mean_squares - means**2
        audible = np.maximum(power, LEAST_POWER)
        levels: Floats = 10 * np.log10(audible)
        return levels

    def level_dbfs(self) -> float:
        """Return the level of all hops together, about their mean."""
        samples = max(1, self.samples)
        mean = self.sums.sum() / samples
        mean_square = self.squares.sum() / samples
        return dbfs_of(mean_square - mean**2)

    def without(self, spans: Spans) -> _Hops:
        """Leave spans of hops out."""
        kept = np.ones(len(self.sums), bool)
        for first, past in zip(spans.first, spans.past, strict=True):
            kept[first:past] = False
        return self._chosen(kept)

    def _chosen(self, hops: slice | Mask) -> _Hops:
        return _Hops(
            sums=self.sums[hops],
            squares=self.squares[hops],
            lengths=self.lengths[hops],
        )


def _longest_s(spans: Spans, hop_s: float) -> float:
    longest = int(spans.hops.max(initial=0))
    return longest * hop_s
