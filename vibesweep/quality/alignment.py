"""Two sayings of a text laid side by side: mel-cepstra, and the cheapest path through both.

Shapes: ``T``, ``U`` frames, ``M`` mel bins, ``C`` cepstral coefficients, ``L`` steps of the path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.arrays import LogMel
from vibesweep.corpus.sound.levels import SILENCE_DBFS, at_level, level_dbfs
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.quality.scorer import Sound

CEPSTRA = 13
"""Mel-cepstral coefficients compared, loudness left out (Kubichek 1993)."""
DECIBELS = 10 / math.log(10) * math.sqrt(2)
"""From the distance of two cepstra to the RMS difference of their log spectra."""
FLOOR = 50 / 20 * math.log(10)
"""50 dB below the loudest: a recording's noise lies there, and a synthesizer's digital silence."""
MEL = MelSettings()

Floats = npt.NDArray[np.float64]
Path = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which frame of one saying goes with which of another.

    Attributes:
        path: pairs of frames [L, 2], from the first pair to the last.
        costs: distance of each pair [L].
    """

    path: Path
    costs: Floats


def mel_cepstra(sound: Sound) -> Floats:
    """Compute the mel-cepstra [T, C] of a sound brought to the usual level, 75 frames a second."""
    samples = sound.at(MEL.sample_rate_hz)
    missing = MEL.n_fft - len(samples)
    if missing > 0:
        samples = np.pad(samples, (0, missing))
    level = level_dbfs(samples)
    if level > SILENCE_DBFS:
        samples = at_level(samples, MEL.level_dbfs, found=level)
    mel = log_mel(samples, MEL)
    audible = above_floor(mel)
    return cepstra_of(audible)


def above_floor(mel: LogMel) -> LogMel:
    """Raise what is far below the loudest of a log-mel [T, M]: one hears no difference there."""
    loudest = mel.max()
    floor = loudest - np.float32(FLOOR)
    raised: LogMel = np.maximum(mel, floor)
    return raised


def cepstra_of(mel: LogMel) -> Floats:
    """Compute c1 to c13 [T, C] of log magnitudes [T, M], which are c0 / 2 + sum of ck cos(k w)."""
    bins = mel.shape[1]
    centres = np.arange(bins) + 0.5
    angles = np.pi / bins * centres
    past = CEPSTRA + 1
    orders = np.arange(1, past)
    phases = np.outer(angles, orders)
    cosines = np.cos(phases)
    exact = mel.astype(np.float64)
    cepstra: Floats = exact @ cosines
    cepstra *= 2 / bins
    return cepstra


def align(spoken: Floats, recorded: Floats) -> Alignment:
    """Find the path of the smallest sum of distances through two rows of cepstra [T, C], [U, C].

    Dynamic time warping with steps of one frame in either or both (Sakoe and Chiba 1978).
    """
    differences = spoken[:, None] - recorded
    distances: Floats = np.linalg.norm(differences, axis=2)
    totals = _totals(distances)
    path = _walk_back(totals)
    rows, columns = path.T
    costs = distances[rows, columns]
    return Alignment(path, costs)


def _totals(distances: Floats) -> Floats:
    """Sum the distances along the cheapest path to each pair [T + 1, U + 1], by anti-diagonals."""
    rows, columns = distances.shape
    shape = (rows + 1, columns + 1)
    totals = np.full(shape, np.inf)
    totals[0, 0] = 0
    for diagonal in range(2, rows + columns + 1):
        first = max(1, diagonal - columns)
        last = min(diagonal - 1, rows)
        row = np.arange(first, last + 1)
        column = diagonal - row
        row_before = row - 1
        column_before = column - 1
        before = totals[row_before, column_before]
        before = np.minimum(before, totals[row_before, column])
        before = np.minimum(before, totals[row, column_before])
        cost = distances[row_before, column_before]
        totals[row, column] = before + cost
    return totals


def _walk_back(totals: Floats) -> Path:
    rows, columns = totals.shape
    row = rows - 1
    column = columns - 1
    steps = []
    while row and column:
        row_before = row - 1
        column_before = column - 1
        both = (row_before, column_before)
        steps.append(both)
        choices = (
            both,
            (row_before, column),
            (row, column_before),
        )
        row, column = min(choices, key=lambda pair: totals[pair])
    steps.reverse()
    return np.array(steps, dtype=np.intp)
