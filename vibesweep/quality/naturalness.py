"""DNSMOS: how good people would find the speech, guessed by Microsoft's network (P.835, overall).

The network comes with the package speechmos, whose own code needs librosa and 20 s to get ready;
it is asked directly (Reddy et al. 2022, arXiv 2110.01763).

Shapes: ``S`` samples.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vibesweep.corpus.sound.arrays import Samples
from vibesweep.quality.measures import DNSMOS
from vibesweep.quality.scorer import Passage, Sound

RATE_HZ = 16_000
WINDOW_SAMPLES = 144_160
"""9.01 s, which the network takes at once."""
OVERALL = np.polynomial.Polynomial([0.04602535, 1.11546468, -0.06766283])
"""speechmos' calibration of the overall score."""
OVERALL_OUTPUT = 2


class NaturalnessScorer:
    """Asks the network."""

    measures = (DNSMOS,)

    def __init__(self) -> None:
        """Load the network."""
        import onnxruntime

        package = importlib.util.find_spec("speechmos")
        assert package is not None
        assert package.origin is not None
        network = Path(package.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._network = onnxruntime.InferenceSession(network)

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Score the speech alone: the recording plays no part."""
        del passage
        samples = spoken.at(RATE_HZ)
        loudness = np.abs(samples)
        peak = loudness.max(initial=0)
        if not peak:
            return {}
        windows = _windows(samples / peak)
        raw = [self._raw(window) for window in windows]
        scores = [OVERALL(value) for value in raw]
        return {DNSMOS.name: statistics.fmean(scores)}

    def _raw(self, window: Samples) -> float:
        batch = window[None]
        inputs = {"input_1": batch}
        (outputs,) = self._network.run(None, inputs)
        (scores,) = outputs
        return float(scores[OVERALL_OUTPUT])


def _windows(samples: Samples) -> list[Samples]:
    """Cut speech [S] into windows as speechmos does.

    They are one second apart; speech that is shorter than one is said twice as often until it is
    not.
    """
    while len(samples) < WINDOW_SAMPLES:
        samples = np.concatenate([samples, samples])
    whole_s = len(samples) // RATE_HZ
    window_s = WINDOW_SAMPLES / RATE_HZ
    count = int(whole_s - window_s) + 1
    windows = []
    for number in range(count):
        start = number * RATE_HZ
        past = start + WINDOW_SAMPLES
        window = samples[start:past]
        windows.append(window)
    return windows
