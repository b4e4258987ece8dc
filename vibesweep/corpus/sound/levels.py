"""The level of a waveform: measure it, and bring a waveform to a given one."""

from __future__ import annotations

import math

import numpy as np

from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.arrays import Samples

SILENCE_DBFS = -70.0  # 16-bit rounding noise alone is at -98, a quiet room at about -60
LEAST_POWER = 1e-20  # -200 dB: keeps the logarithm of digital silence finite


def level_dbfs(waveform: Samples) -> float:
    """Measure the RMS of a waveform [S], in dB relative to full scale."""
    exact = waveform.astype(np.float64)
    energy = float(exact @ exact)
    samples = max(len(exact), 1)
    power = max(energy / samples, LEAST_POWER)
    return 10 * math.log10(power)


def at_level(
    waveform: Samples, level: float, *, found: float | None = None, where: str = ""
) -> Samples:
    """Scale a waveform [S] so that its RMS is ``level``.

    Args:
        waveform: the samples [S].
        level: the RMS to reach, in dBFS.
        found: the RMS that the waveform has now, if the caller has measured it.
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
