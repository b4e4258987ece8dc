"""What of a waveform is speech: how loud and how long it is, and the silences around and in it.

The level is an active speech level in the manner of ITU-T P.56: the power over the time in which
somebody speaks, where a pause counts as long as it is short. P.56 lets pauses of 0.2 s count; here
those below ``LONG_SILENCE_S`` do, so that a clip with ordinary pauses has its plain RMS, to which
VibeVoice's own feature extractor levels. docs/design/corpus.md has the figures.

Shapes: ``S`` samples, ``N`` hops, ``J`` silences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibesweep.corpus.sound.arrays import Floats, Samples
from vibesweep.corpus.sound.levels import LEAST_POWER, SILENCE_DBFS, level_dbfs
from vibesweep.corpus.sound.silences import Spans, loudest_speech_dbfs, silences

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
    envelope = _hop_levels(samples, hop)
    duration_s = len(samples) / rate_hz
    loudest = loudest_speech_dbfs(envelope)
    if loudest < SILENCE_DBFS:  # clicks and an offset that drifts are no speech
        return SpeechActivity(loudest, speech_s=0.0)
    hop_s = hop / rate_hz
    quiet = silences(envelope, hop_s)
    if quiet is None:
        return SpeechActivity(level_dbfs(samples), duration_s)
    is_long = quiet.hops * hop_s >= LONG_SILENCE_S
    long = quiet.where(is_long)
    speech = _without(samples, long, hop)
    is_leading = quiet.first == 0
    is_trailing = quiet.past == len(envelope)
    is_pause = ~(is_leading | is_trailing)
    return SpeechActivity(
        level_dbfs=level_dbfs(speech),
        speech_s=len(speech) / rate_hz,
        leading_s=_longest_s(quiet.where(is_leading), hop_s),
        trailing_s=_longest_s(quiet.where(is_trailing), hop_s),
        longest_pause_s=_longest_s(quiet.where(is_pause), hop_s),
    )


def _hop_levels(samples: Samples, hop: int) -> Floats:
    """Measure each whole hop of [S] about its own mean, in dBFS [N]."""
    hops = len(samples) // hop
    whole = samples[: hops * hop]
    by_hop = whole.reshape(hops, hop).astype(np.float64)
    power = by_hop.var(axis=1)
    audible = np.maximum(power, LEAST_POWER)
    levels: Floats = 10 * np.log10(audible)
    return levels


def _without(samples: Samples, spans: Spans, hop: int) -> Samples:
    """Leave spans of hops out of [S]."""
    is_speech = np.ones(len(samples), bool)
    for first, past in zip(spans.first, spans.past, strict=True):
        is_speech[first * hop : past * hop] = False
    return samples[is_speech]


def _longest_s(spans: Spans, hop_s: float) -> float:
    longest = int(spans.hops.max(initial=0))
    return longest * hop_s
