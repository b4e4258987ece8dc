"""The figures that are measured in speech, by name. Nothing here imports what measures them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One figure that is measured.

    Attributes:
        name: in files.
        title: in tables.
        ideal: the best value there is; the farther from it, the worse.
        meaning: in a few words.
        ranks: whether it was found to rank voices, so that it counts in a verdict.
    """

    name: str
    title: str
    ideal: float
    meaning: str
    ranks: bool = True

    def distance(self, value: float) -> float:
        """Return how far a value is from the best."""
        return abs(value - self.ideal)


MCD = Measure("mcd_db", "MCD dB", 0.0, "mel-cepstral distortion along the path of DTW")
DURATION_RATIO = Measure(
    "duration_ratio", "length", 1.0, "length, divided by the recording's", ranks=False
)
STOP_ERROR = Measure("stop_error_latents", "stop", 0.0, "latents too many or too few")
RAN_ON = Measure("ran_on", "ran on", 0.0, "share of texts that only the limit on length ended")
LOG_F0 = Measure(
    "log_f0_rmse", "log F0", 0.0, "RMS difference of ln(F0) where both are voiced", ranks=False
)
VOICING = Measure(
    "voicing_error", "V/UV", 0.0, "share of frames that only one of both voices", ranks=False
)
IDENTIFIED = Measure("identified", "identified", 1.0, "share of texts told from the others")
WORD_ERROR = Measure("word_error", "word error", 0.0, "words wrong, missing or too many, a word")
DNSMOS = Measure(
    "dnsmos", "DNSMOS", 5.0, "opinion score from 1 to 5, guessed by a network", ranks=False
)
SIMILARITY = Measure("speaker_similarity", "speaker", 1.0, "cosine of two speaker embeddings")

MEASURES = {
    measure.name: measure
    for measure in (
        MCD,
        DURATION_RATIO,
        STOP_ERROR,
        RAN_ON,
        LOG_F0,
        VOICING,
        IDENTIFIED,
        WORD_ERROR,
        DNSMOS,
        SIMILARITY,
    )
}
"""Those that vibesweep measures itself."""
