"""The pitch of a voice, to a few per cent: enough to tell a man's from a woman's, no more.

Shapes: ``S`` samples, ``F`` frames of ``N`` samples, ``L`` lags.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.sound.arrays import Samples

PITCH_RATE_HZ = 8_000
"""Sample rate that the pitch is looked for at; a voice's lies far below its half."""
LOWEST_HZ, HIGHEST_HZ = 65, 400
SHORTEST_LAG, LONGEST_LAG = PITCH_RATE_HZ // HIGHEST_HZ, PITCH_RATE_HZ // LOWEST_HZ
SMALLEST = 1e-30
"""Keeps digital silence from being divided by zero."""
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

Floats = npt.NDArray[np.floating[Any]]


def median_pitch_hz(samples: Samples) -> float | None:
    """Find the median pitch of speech [S] at :data:`PITCH_RATE_HZ`; None where little is voiced.

    The pitch of a frame is its first high peak of the autocorrelation, divided by the window's own
    (Boersma 1993, "Accurate short-term analysis of the fundamental frequency").
    """
    if len(samples) < FEWEST_FRAMES * HOP + FRAME:
        return None
    frames = _loud_frames(samples)
    correlation = _autocorrelation(frames)
    searched = correlation[:, SHORTEST_LAG:]
    highest = searched.max(axis=1)
    candidates = _high_peaks(searched, highest)
    has_peak = candidates.any(axis=1)
    is_voiced = has_peak & (highest > VOICED)
    if is_voiced.sum() < FEWEST_FRAMES:
        return None
    first_peaks = candidates[is_voiced].argmax(axis=1)
    lags = first_peaks + SHORTEST_LAG + 1
    median_lag = np.median(lags)
    return float(PITCH_RATE_HZ / median_lag)


def _high_peaks(searched: Floats, highest: Floats) -> npt.NDArray[np.bool_]:
    """Mark each lag but the first and the last [F, L - 2] that is a peak near the highest [F]."""
    inner = searched[:, 1:-1]
    rises = inner >= searched[:, :-2]
    falls = inner >= searched[:, 2:]
    least = NEARLY_HIGHEST * highest
    marked: npt.NDArray[np.bool_] = rises & falls & (inner > least[:, None])
    return marked


def _loud_frames(samples: Samples) -> Floats:
    """Cut samples [S] into frames [F, N] without their means; leave out the quiet ones."""
    every_start = np.lib.stride_tricks.sliding_window_view(samples, FRAME)
    frames = every_start[::HOP]
    means = frames.mean(axis=1, keepdims=True)
    centred = frames - means
    squares = np.square(centred)
    power = squares.mean(axis=1)
    loud = np.quantile(power, 0.9)
    chosen: Floats = centred[power > LOUD_SHARE * loud]
    return chosen


def _autocorrelation(frames: Floats) -> Floats:
    """Compute the autocorrelation [F, L] of frames [F, N]: 1 at lag 0, and the window's undone."""
    window = np.hanning(FRAME)
    of_frames = _correlated(frames * window)
    of_window = _correlated(window[None])
    energy = np.maximum(of_frames[:, :1], SMALLEST)
    window_energy = of_window[:, :1]
    fading = of_window / window_energy
    normalized: Floats = of_frames / energy / fading
    return normalized


def _correlated(frames: Floats) -> Floats:
    spectrum = np.fft.rfft(frames, TRANSFORM)
    magnitudes = np.abs(spectrum)
    power = np.square(magnitudes)
    every_lag = np.fft.irfft(power)
    lags: Floats = every_lag[:, :LONGEST_LAG]
    return lags
