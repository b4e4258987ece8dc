"""Whether it is the same person: Resemblyzer's embeddings of speech and recording.

Its encoder is GE2E's (Wan et al. 2018), three LSTM layers trained on LibriSpeech and VoxCeleb.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vibesweep.quality.measures import SIMILARITY
from vibesweep.quality.scorer import Passage, Sound

RATE_HZ = 16_000


class SpeakerScorer:
    """Compares voices."""

    measures = (SIMILARITY,)

    def __init__(self) -> None:
        """Load the encoder."""
        from resemblyzer import VoiceEncoder

        self._encoder = VoiceEncoder("cpu", verbose=False)

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Measure the similarity; nothing for silence, in which nobody speaks."""
        if not spoken.samples.any():
            return {}
        ours = self._embedding(spoken)
        theirs = self._embedding(passage.recording)
        cosine = np.dot(ours, theirs)
        return {SIMILARITY.name: float(cosine)}

    def _embedding(self, sound: Sound) -> npt.NDArray[np.float32]:
        """Return a unit vector [256] that says who speaks."""
        samples = sound.at(RATE_HZ)
        embedding: npt.NDArray[np.float32] = self._encoder.embed_utterance(samples)
        return embedding
