"""Melody: the fundamental frequency by swift-f0, compared along the path of DTW.

Shapes: ``T`` frames of 1/75 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.sound.rates import frame_rate_hz
from vibesweep.quality.alignment import MEL, align, mel_cepstra
from vibesweep.quality.measures import LOG_F0, VOICING
from vibesweep.quality.scorer import Passage, Sound

LOWEST_HZ, HIGHEST_HZ = 50.0, 600.0
"""Voices of people; above are children's cries, below creaks."""
DETECTOR_RATE_HZ = 16_000
VOICED_FROM = 0.5
"""swift-f0's own threshold on its confidence."""


class Pitch(NamedTuple):
    """Melody by frame.

    Attributes:
        log_f0: natural logarithm of the fundamental frequency in Hz [T].
        voiced: whether there is one [T].
    """

    log_f0: npt.NDArray[np.float64]
    voiced: npt.NDArray[np.bool_]

    def at(self, frames: npt.NDArray[np.intp]) -> Pitch:
        """Return the melody at these frames."""
        return Pitch(
            self.log_f0[frames],
            self.voiced[frames],
        )


class PitchScorer:
    """Compares melodies."""

    measures = (LOG_F0, VOICING)

    def __init__(self) -> None:
        """Load swift-f0."""
        from swift_f0 import SwiftF0

        self._detector = SwiftF0(threads=1)

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Measure both; no log-F0 where no frame is voiced in both."""
        recording = passage.recording
        said = mel_cepstra(spoken)
        recorded = mel_cepstra(recording)
        alignment = align(said, recorded)
        our_frames, their_frames = alignment.path.T
        ours = self.pitch(spoken, len(said)).at(our_frames)
        theirs = self.pitch(recording, len(recorded)).at(their_frames)
        differs = ours.voiced != theirs.voiced
        error = differs.mean()
        scores = {VOICING.name: float(error)}
        both = ours.voiced & theirs.voiced
        if both.any():
            difference = ours.log_f0 - theirs.log_f0
            squares = difference[both] ** 2
            rmse = math.sqrt(squares.mean())
            scores[LOG_F0.name] = rmse
        return scores

    def pitch(self, sound: Sound, frames: int) -> Pitch:
        """Measure the melody, at the times of so many mel frames."""
        # At its own rate: for others swift-f0 wants a package that it does not bring
        samples = sound.at(DETECTOR_RATE_HZ)
        found = self._detector.detect(
            samples,
            DETECTOR_RATE_HZ,
            LOWEST_HZ,
            HIGHEST_HZ,
        )
        numbers = np.arange(frames)
        times_s = numbers / frame_rate_hz(MEL)
        following = np.searchsorted(found.timestamps, times_s)
        last = len(found.timestamps) - 1
        moments = following.clip(0, last)
        log_f0 = np.log(found.pitch_hz)
        voiced = found.confidence >= VOICED_FROM
        return Pitch(log_f0, voiced).at(moments)
