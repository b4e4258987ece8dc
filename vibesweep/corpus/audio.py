"""Recordings to log-mels and back; the owner of sample-rate and hop arithmetic.

Shapes: ``S`` samples, ``T`` frames (= S // hop), ``M`` mel bins, ``F`` = n_fft // 2 + 1 linear bins.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.rejects import RecordingError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float32]

FRAMES_PER_PATCH = 10  # at the default settings 7.5 patches a second, VibeVoice's rate
LOG_FLOOR = 1e-5
SILENCE_DBFS = -70.0  # 16-bit rounding noise alone is at -98, a quiet room at about -60
GRIFFIN_LIM_ITERATIONS = 32
GRIFFIN_LIM_MOMENTUM = 0.99
NNLS_ITERATIONS = 60


def frames_of(samples: int, settings: MelSettings) -> int:
    """Whole mel frames in so many samples at the settings' rate."""
    return samples // settings.hop_samples


def samples_of(frames: int, settings: MelSettings) -> int:
    """Samples that so many frames stand for."""
    return frames * settings.hop_samples


def seconds_of(frames: float, settings: MelSettings) -> float:
    """How long so many frames last."""
    return frames * settings.hop_samples / settings.sample_rate_hz


def frame_rate_hz(settings: MelSettings) -> float:
    """Mel frames in a second."""
    return settings.sample_rate_hz / settings.hop_samples


def patch_rate_hz(settings: MelSettings) -> float:
    """Patches, that is latents, in a second."""
    return frame_rate_hz(settings) / FRAMES_PER_PATCH


def load(path: Path, settings: MelSettings) -> Array:
    """Decode a recording: mono [S] at the settings' sample rate and level.

    Raises:
        RecordingError: it cannot be decoded, is shorter than a patch, silent, or holds NaN or infinite samples.
    """
    import soundfile

    try:
        samples, rate_hz = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise RecordingError("unreadable_audio", str(error), where=str(path)) from error
    mono = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise RecordingError("non_finite_audio", f"{np.count_nonzero(~np.isfinite(mono))} samples", where=str(path))
    waveform = resample(mono, rate_hz, settings.sample_rate_hz)
    if len(waveform) < samples_of(FRAMES_PER_PATCH, settings):
        raise RecordingError("short_audio", f"{len(mono) / rate_hz:.3f} s", where=str(path))
    return _at_level(waveform, settings.level_dbfs, where=str(path))


def resample(waveform: Array, from_hz: int, to_hz: int) -> Array:
    """Resample [S] by torchaudio's windowed sinc."""
    if from_hz == to_hz or not len(waveform):
        return waveform
    import torch

    resampled: Array = _resampler(from_hz, to_hz)(torch.from_numpy(waveform)).numpy()
    return resampled


def log_mel(waveform: Array, settings: MelSettings) -> Array:
    """The log-mel [T, M] of a waveform [S] at the settings' rate: natural logarithm of magnitudes, not below ``LOG_FLOOR``.

    A centred transform has a frame more than the hops in S; it is dropped, so that frames and time agree.
    """
    import torch

    magnitudes = _mel_transform(settings)(torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)))
    frames = magnitudes.clamp_min(LOG_FLOOR).log().T[: frames_of(len(waveform), settings)]
    mel: Array = frames.contiguous().numpy()
    return mel


def griffin_lim(log_mel: npt.NDArray[np.floating[Any]], settings: MelSettings, *, iterations: int = GRIFFIN_LIM_ITERATIONS) -> Array:
    """A waveform [S] whose log-mel is near the one given, [T, M]; the same on every call.

    Phases by Griffin and Lim (1984) with the momentum of Perraudin et al. (2013).
    """
    import torch
    import torchaudio

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the first phases are drawn
        mel = torch.from_numpy(np.ascontiguousarray(log_mel, dtype=np.float32)).T.exp()
        mel = torch.cat([mel, mel[:, -1:]], dim=1)  # the frame that log_mel dropped
        vocoder = torchaudio.transforms.GriffinLim(
            settings.n_fft, iterations, hop_length=settings.hop_samples, power=1.0, momentum=GRIFFIN_LIM_MOMENTUM
        )
        waveform: Array = vocoder(_linear_magnitudes(mel, settings)).numpy()
    return waveform


def write_wav(path: Path, waveform: Array, settings: MelSettings) -> None:
    """Write [S] as 16-bit WAV at the settings' rate; samples beyond full scale are cut."""
    import soundfile

    soundfile.write(str(path), np.clip(waveform, -1.0, 1.0), settings.sample_rate_hz, subtype="PCM_16", format="WAV")


def _at_level(waveform: Array, level_dbfs: float, *, where: str) -> Array:
    rms = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
    if rms < 10 ** (SILENCE_DBFS / 20):
        raise RecordingError("silent_audio", f"RMS {rms:.1e} of full scale", where=where)
    return (waveform * np.float32(10 ** (level_dbfs / 20) / rms)).astype(np.float32)


def _linear_magnitudes(mel: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Magnitudes [F, T] that the filters turn into [M, T] in the least-squares sense, none negative (Lee and Seung 2001)."""
    filters = _mel_transform(settings).mel_scale.fb.T  # [M, F]
    target = filters.T @ mel
    linear: torch.Tensor = target.clone()
    for _ in range(NNLS_ITERATIONS):
        linear *= target / (filters.T @ (filters @ linear)).clamp_min(1e-10)
    return linear


@functools.lru_cache(maxsize=8)
def _resampler(from_hz: int, to_hz: int) -> Any:
    import torchaudio

    return torchaudio.transforms.Resample(from_hz, to_hz)


@functools.lru_cache(maxsize=2)
def _mel_transform(settings: MelSettings) -> Any:
    import torchaudio

    return torchaudio.transforms.MelSpectrogram(
        settings.sample_rate_hz, settings.n_fft, hop_length=settings.hop_samples, n_mels=settings.n_mels, power=1.0, center=True
    )
