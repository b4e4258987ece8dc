"""From a log-mel back to a waveform, by Griffin and Lim's algorithm.

Shapes: ``S`` samples, ``T`` frames, ``M`` mel bins, ``F`` = n_fft // 2 + 1 linear bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.mel import mel_filters

if TYPE_CHECKING:
    import torch

GRIFFIN_LIM_ITERATIONS = 32
GRIFFIN_LIM_MOMENTUM = 0.99
NNLS_ITERATIONS = 60


def griffin_lim(
    log_mel: npt.NDArray[np.floating[Any]],
    settings: MelSettings,
    *,
    iterations: int = GRIFFIN_LIM_ITERATIONS,
) -> Samples:
    """Find a waveform [S] whose log-mel is close to the given one [T, M].

    Every call gives the same one. Phases are found by Griffin and Lim (1984) with the momentum of
    Perraudin et al. (2013).
    """
    import torch
    import torchaudio

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the algorithm starts from random phases
        mel = torch.from_numpy(np.ascontiguousarray(log_mel, dtype=np.float32)).T.exp()
        last_frame = mel[:, -1:]
        mel = torch.cat([mel, last_frame], dim=1)  # for the frame that log_mel dropped
        vocoder = torchaudio.transforms.GriffinLim(
            settings.n_fft,
            iterations,
            hop_length=settings.hop_samples,
            power=1.0,
            momentum=GRIFFIN_LIM_MOMENTUM,
        )
        magnitudes = _linear_magnitudes(mel, settings)
        waveform: Samples = vocoder(magnitudes).numpy()
    return waveform


def _linear_magnitudes(mel: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Find magnitudes [F, T], none of them negative, whose mel is closest to [M, T].

    Non-negative least squares by multiplicative updates (Lee and Seung 2001).
    """
    filters = mel_filters(settings)  # [F, M]
    target = filters @ mel
    linear: torch.Tensor = target.clone()
    for _ in range(NNLS_ITERATIONS):
        estimate = filters @ (filters.T @ linear)
        linear *= target / estimate.clamp_min(1e-10)
    return linear
