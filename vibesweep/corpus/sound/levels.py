"""The level of a waveform: measure it, and bring a waveform to a given one.

Shapes: ``S`` samples.
"""

from __future__ import annotations

import math

import numpy as np

from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.arrays import Samples

SILENCE_DBFS = -70.0  # 16-bit rounding noise alone is at -98, a quiet room at about -60
LEAST_POWER = 1e-20  # -200 dB: keeps the logarithm of digital silence finite


def centred(waveform: Samples) -> Samples:
    """Take the mean away from a waveform [S]: a microphone's constant offset is no sound."""
    if not len(waveform):
        return waveform
    offset = waveform.mean(dtype=np.float64)
    return waveform - np.float32(offset)


def level_dbfs(waveform: Samples) -> float:
    """Measure the RMS of a waveform [S] about its mean, in dB relative to full scale."""
    exact = waveform.astype(np.float64)
    power = float(exact.var()) if len(exact) else 0.0
    return dbfs_of(power)


def dbfs_of(power: float) -> float:
    """Return the level of a mean square."""
    return 10 * math.log10(max(power, LEAST_POWER))


def at_level(
    waveform: Samples, level: float, *, found: float | None = None, where: str = ""
) -> Samples:
    """Scale a waveform [S] so that its level is ``level``.

    Args:
        waveform: the samples [S].
        level: the level to reach, in dBFS.
        found: the level that the waveform has now, if the caller has measured it: of its speech, as
            :mod:`vibesweep.corpus.sound.activity` does.
        where: the recording, named in the error.

    Raises:
        RecordingError: the waveform is silence.
    """
    if found is None:
        found = level_dbfs(waveform)
    if found < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{found:.1f} dBFS", where=where)
    gain_db = level - found
    gain = np.float32(10 ** (gain_db / 20))
    return (waveform * gain).astype(np.float32)
