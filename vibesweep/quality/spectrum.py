"""Measures that need no weights: mel-cepstral distortion, length, and how the speech ended."""

from __future__ import annotations

from collections.abc import Mapping

from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.quality.alignment import DECIBELS, align, mel_cepstra
from vibesweep.quality.measures import DURATION_RATIO, MCD, RAN_ON, STOP_ERROR
from vibesweep.quality.scorer import Passage, Sound


class SpectrumScorer:
    """Compares speech with the recording by plain signal processing."""

    measures = (MCD, DURATION_RATIO, STOP_ERROR, RAN_ON)

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Measure all four."""
        recording = passage.recording
        alignment = align(mel_cepstra(spoken), mel_cepstra(recording))
        too_long_s = spoken.seconds - recording.seconds
        return {
            MCD.name: DECIBELS * float(alignment.costs.mean()),
            DURATION_RATIO.name: spoken.seconds / recording.seconds,
            STOP_ERROR.name: abs(too_long_s) * LATENT_RATE_HZ,
            RAN_ON.name: float(spoken.cut),
        }
