"""Log-mel spectrograms.

Shapes: ``S`` samples, ``T`` = S // hop frames, ``M`` mel bins, ``F`` = n_fft // 2 + 1 linear bins.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.arrays import LogMel, Samples
from vibesweep.corpus.sound.rates import frames_of

if TYPE_CHECKING:
    import torch

LOG_FLOOR = 1e-5
"""Mel magnitudes below this are raised to it before the logarithm is taken."""


def log_mel(waveform: Samples, settings: MelSettings) -> LogMel:
    """Compute the log-mel [T, M] of a waveform [S] at the settings' rate.

    A centred transform has one frame more than S has hops. It is dropped, so that frames and time
    agree.
    """
    import torch

    contiguous = np.ascontiguousarray(waveform, dtype=np.float32)
    samples = torch.from_numpy(contiguous)
    spectrum = torch.stft(
        samples,
        settings.n_fft,
        settings.hop_samples,
        window=_mel_transform(settings).spectrogram.window,
        return_complex=True,
    )
    frames = frames_of(len(waveform), settings)
    magnitudes = _magnitudes(spectrum[:, :frames])
    mel = magnitudes.T @ mel_filters(settings)
    log: LogMel = mel.clamp_min_(LOG_FLOOR).log_().numpy()
    return log


def half_precision(mel: LogMel) -> npt.NDArray[np.float16]:
    """Round [T, M] to half precision. torch does it five times as fast as NumPy."""
    import torch

    halved: npt.NDArray[np.float16] = torch.from_numpy(mel).half().numpy()
    return halved


def mel_filters(settings: MelSettings) -> torch.Tensor:
    """Return the triangular filters [F, M] on the HTK mel scale."""
    filters: torch.Tensor = _mel_transform(settings).mel_scale.fb
    return filters


def _magnitudes(spectrum: torch.Tensor) -> torch.Tensor:
    """Compute absolute values of complex numbers, in a third of the time that ``abs`` takes."""
    import torch

    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    power = torch.addcmul(real * real, imaginary, imaginary)
    return power.sqrt_()


@functools.lru_cache(maxsize=2)
def _mel_transform(settings: MelSettings) -> Any:
    """Make torchaudio's transform, which holds the window and the filters."""
    import torchaudio

    return torchaudio.transforms.MelSpectrogram(
        settings.sample_rate_hz,
        settings.n_fft,
        hop_length=settings.hop_samples,
        n_mels=settings.n_mels,
        power=1.0,
        center=True,
    )
