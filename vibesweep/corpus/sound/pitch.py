"""The pitch of a voice, to a few per cent: enough to tell a man's from a woman's, no more.

Shapes: ``S`` samples, ``F`` frames of ``N`` samples, ``L`` lags.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.sound.arrays import Samples

PITCH_RATE_HZ = 8_000
"""Sample rate that the pitch is looked for at; a voice's lies far below its half."""
LOWEST_HZ, HIGHEST_HZ = 65, 400
FRAME = 320  # samples: 40 ms, over two periods of the lowest voice
HOP = 160
TRANSFORM = 1_024  # frame and largest lag fit without wrapping around
LOUD_SHARE = 0.1
"""Frames with less than this share of the power of loud ones are pauses and consonants."""
VOICED = 0.6
"""Least autocorrelation of a voiced frame (Boersma 1993 has 0.45 for each candidate)."""
NEARLY_HIGHEST = 0.85
"""The first peak this near to the highest is the pitch: later ones are multiples of its period."""
FEWEST_FRAMES = 10

Floats = npt.NDArray[np.floating]


def median_pitch_hz(samples: Samples) -> float | None:
    """Find the median pitch of speech [S] at :data:`PITCH_RATE_HZ`; None where little is voiced.

    The pitch of a frame is its first high peak of the autocorrelation, divided by the window's own
    (Boersma 1993, "Accurate short-term analysis of the fundamental frequency").
    """
    if len(samples) < FEWEST_FRAMES * HOP + FRAME:
        return None
    correlation = _autocorrelation(_loud_frames(samples))
    shortest, longest = PITCH_RATE_HZ // HIGHEST_HZ, PITCH_RATE_HZ // LOWEST_HZ
    searched = correlation[:, shortest:longest]
    highest = searched.max(axis=1)
    inner = searched[:, 1:-1]
    is_peak = (inner >= searched[:, :-2]) & (inner >= searched[:, 2:])
    is_high = inner > NEARLY_HIGHEST * highest[:, None]
    candidates = is_peak & is_high
    is_voiced = (highest > VOICED) & candidates.any(axis=1)
    if is_voiced.sum() < FEWEST_FRAMES:
        return None
    first_lags = candidates[is_voiced].argmax(axis=1) + shortest + 1
    return float(np.median(PITCH_RATE_HZ / first_lags))


def _loud_frames(samples: Samples) -> Floats:
    """Cut samples [S] into frames [F, N] without their means; leave out the quiet ones."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    centred = frames - frames.mean(axis=1, keepdims=True)
    power = np.square(centred).mean(axis=1)
    loud = np.quantile(power, 0.9)
    chosen: Floats = centred[power > LOUD_SHARE * loud]
    return chosen


def _autocorrelation(frames: Floats) -> Floats:
    """Compute the autocorrelation [F, L] of frames [F, N]: 1 at lag 0, and the window's undone."""
    window = np.hanning(FRAME)
    raw = _correlated(frames * window)
    of_window = _correlated(window[None])
    normalized: Floats = raw / np.maximum(raw[:, :1], np.finfo(np.float64).tiny)
    return normalized / (of_window / of_window[:, :1])


def _correlated(frames: Floats) -> Floats:
    power = np.square(np.abs(np.fft.rfft(frames, TRANSFORM)))
    lags: Floats = np.fft.irfft(power)[:, : PITCH_RATE_HZ // LOWEST_HZ]
    return lags
