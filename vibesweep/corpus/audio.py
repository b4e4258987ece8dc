"""Recordings to log-mels and back; the owner of sample-rate and hop arithmetic.

Shapes: ``S`` samples, ``T`` frames (= S // hop), ``M`` mel bins, ``F`` = n_fft // 2 + 1 linear bins.
"""

from __future__ import annotations

import functools
import math
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
SINC_ZEROS, SINC_ROLLOFF, SINC_BETA = 46, 0.942, 8.0  # -82 dB from Nyquist on; 0.1 dB at 0.90 of Nyquist
SINC_PHASES = 16
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
    """A whole recording, mono [S], at the settings' rate and level.

    Raises:
        RecordingError: as :func:`vibesweep.corpus.decoding.decode`.
    """
    from vibesweep.corpus.decoding import decode  # it resamples, and so looks here first

    return at_level(decode(path, settings).samples, settings.level_dbfs, where=str(path))


def level_dbfs(waveform: Array) -> float:
    """RMS of [S] in dB of full scale."""
    return 10 * math.log10(max(float(np.square(waveform, dtype=np.float64).mean()), 1e-20))


def at_level(waveform: Array, level: float, *, where: str = "") -> Array:
    """The waveform [S] with its RMS at so many dBFS.

    Raises:
        RecordingError: it is silence.
    """
    found = level_dbfs(waveform)
    if found < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{found:.1f} dBFS", where=where)
    return (waveform * np.float32(10 ** ((level - found) / 20))).astype(np.float32)


def resample(waveform: Array, from_hz: int, to_hz: int) -> Array:
    """Resample [S] by a windowed sinc: nothing of what lies above either Nyquist frequency is louder than -80 dB.

    It is ``torchaudio.transforms.Resample`` to the last bit; for halving a rate it is ten times as fast.
    """
    if from_hz == to_hz or not len(waveform):
        return waveform
    import torch
    from torch.nn import functional

    kernel, width, stride = _sinc_kernel(from_hz, to_hz)
    samples = -(-len(waveform) * to_hz // from_hz)
    right = stride * (-(-len(waveform) // stride)) + kernel.shape[-1] - len(waveform)
    padded = functional.pad(torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)), (width, right))
    phases = functional.conv1d(padded[None, None], kernel, stride=stride)[0]
    resampled: Array = phases.T.reshape(-1)[:samples].contiguous().numpy()
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


def _linear_magnitudes(mel: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Magnitudes [F, T] that the filters turn into [M, T] in the least-squares sense, none negative (Lee and Seung 2001)."""
    filters = _mel_transform(settings).mel_scale.fb.T  # [M, F]
    target = filters.T @ mel
    linear: torch.Tensor = target.clone()
    for _ in range(NNLS_ITERATIONS):
        linear *= target / (filters.T @ (filters @ linear)).clamp_min(1e-10)
    return linear


@functools.lru_cache(maxsize=8)
def _sinc_kernel(from_hz: int, to_hz: int) -> tuple[torch.Tensor, int, int]:
    """Filters [phases, 1, taps], the zeros in front of the waveform, and how many samples a step of all phases moves on.

    torchaudio's filters, one for each phase of the ratio, repeated until there are enough of them to fill a matrix product:
    a convolution with the one phase of 48 to 24 kHz is slower than one with sixteen.
    """
    import torch
    import torchaudio

    sinc = torchaudio.transforms.Resample(from_hz, to_hz, "sinc_interp_kaiser", SINC_ZEROS, SINC_ROLLOFF, SINC_BETA)
    common = math.gcd(from_hz, to_hz)
    move, phases = from_hz // common, to_hz // common
    repeats = -(-SINC_PHASES // phases)
    taps = sinc.kernel.shape[-1]
    kernel = torch.zeros(repeats * phases, 1, taps + (repeats - 1) * move)
    for i in range(repeats):
        kernel[i * phases : (i + 1) * phases, :, i * move : i * move + taps] = sinc.kernel
    return kernel, int(sinc.width), repeats * move


@functools.lru_cache(maxsize=2)
def _mel_transform(settings: MelSettings) -> Any:
    import torchaudio

    return torchaudio.transforms.MelSpectrogram(
        settings.sample_rate_hz, settings.n_fft, hop_length=settings.hop_samples, n_mels=settings.n_mels, power=1.0, center=True
    )
