"""Measures that need no weights: mel-cepstral distortion, length, and how the speech ended."""

from __future__ import annotations

from collections.abc import Mapping

from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.delivery.quality.alignment import DECIBELS, align, mel_cepstra
from vibesweep.delivery.quality.measure import Measure, Passage, Sound

MCD = Measure("mcd_db", "MCD dB", 0.0, "mel-cepstral distortion along the path of DTW")
DURATION_RATIO = Measure(
    "duration_ratio", "length", 1.0, "length, divided by the recording's", ranks=False
)
STOP_ERROR = Measure("stop_error_latents", "stop", 0.0, "latents too many or too few")
RAN_ON = Measure("ran_on", "ran on", 0.0, "share of texts that only the limit on length ended")


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
