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
SINC_ZEROS, SINC_ROLLOFF, SINC_BETA = (
    46,
    0.942,
    8.0,
)  # -82 dB from Nyquist on; 0.1 dB at 0.90 of Nyquist
SINC_PHASES = 16
SINC_STEPS = 8_192  # windows in one matrix product: some MB of copies
GRIFFIN_LIM_ITERATIONS = 32
GRIFFIN_LIM_MOMENTUM = 0.99
NNLS_ITERATIONS = 60


def frames_of(samples: int, settings: MelSettings) -> int:
    """Whole mel frames in so many samples at the settings' rate."""
    return samples // settings.hop_samples


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
        RecordingError: as :func:`vibesweep.corpus.ingest.decoding.decode`.
    """
    from vibesweep.corpus.ingest.decoding import decode  # it resamples, and so looks here first

    return at_level(decode(path, settings).samples, settings.level_dbfs, where=str(path))


def level_dbfs(waveform: Array) -> float:
    """RMS of [S] in dB of full scale."""
    exact = waveform.astype(np.float64)
    return 10 * math.log10(max(float(exact @ exact) / max(len(exact), 1), 1e-20))


def at_level(
    waveform: Array, level: float, *, found: float | None = None, where: str = ""
) -> Array:
    """The waveform [S] with its RMS at so many dBFS; ``found`` is the level that it has, where that is known.

    Raises:
        RecordingError: it is silence.
    """
    found = level_dbfs(waveform) if found is None else found
    if found < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{found:.1f} dBFS", where=where)
    return (waveform * np.float32(10 ** ((level - found) / 20))).astype(np.float32)


def resample(waveform: Array, from_hz: int, to_hz: int) -> Array:
    """Resample [S] by a windowed sinc: nothing of what lies above either Nyquist frequency is louder than -80 dB.

    The filters are torchaudio's. They are applied as a matrix product, a stretch at a time: torch's convolution makes a plan for each
    length that it meets, which for clips of some seconds takes longer than the work.
    """
    if from_hz == to_hz or not len(waveform):
        return waveform
    import torch
    from torch.nn import functional

    filters, width, stride = _sinc_filters(from_hz, to_hz)
    taps, phases = filters.shape
    steps = -(-len(waveform) // stride)
    right = stride * (steps - 1) + taps - width - len(waveform)
    padded = functional.pad(
        torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32)), (width, right)
    )
    windows = padded.unfold(0, taps, stride)  # [steps, taps], a view
    resampled = torch.empty(steps, phases)
    for first in range(0, steps, SINC_STEPS):
        torch.matmul(
            windows[first : first + SINC_STEPS], filters, out=resampled[first : first + SINC_STEPS]
        )
    samples: Array = resampled.view(-1)[: -(-len(waveform) * to_hz // from_hz)].numpy()
    return samples


def log_mel(waveform: Array, settings: MelSettings) -> Array:
    """The log-mel [T, M] of a waveform [S] at the settings' rate: natural logarithm of magnitudes, not below ``LOG_FLOOR``.

    A centred transform has a frame more than the hops in S; it is dropped, so that frames and time agree.
    """
    import torch

    transform = _mel_transform(settings)
    samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
    n_fft, hop, window = settings.n_fft, settings.hop_samples, transform.spectrogram.window
    parts = torch.view_as_real(torch.stft(samples, n_fft, hop, window=window, return_complex=True))
    real, imaginary = parts[:, : frames_of(len(waveform), settings)].unbind(-1)
    # The transform's own abs() of complex numbers takes as long as its Fourier transform; this is a third of it
    magnitudes = torch.addcmul(real * real, imaginary, imaginary).sqrt_()
    mel: Array = (magnitudes.T @ transform.mel_scale.fb).clamp_min_(LOG_FLOOR).log_().numpy()
    return mel


def half(mel: Array) -> npt.NDArray[np.float16]:
    """In half precision, rounded to nearest even; torch does it five times as fast as NumPy."""
    import torch

    halved: npt.NDArray[np.float16] = torch.from_numpy(mel).half().numpy()
    return halved


def griffin_lim(
    log_mel: npt.NDArray[np.floating[Any]],
    settings: MelSettings,
    *,
    iterations: int = GRIFFIN_LIM_ITERATIONS,
) -> Array:
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
            settings.n_fft,
            iterations,
            hop_length=settings.hop_samples,
            power=1.0,
            momentum=GRIFFIN_LIM_MOMENTUM,
        )
        waveform: Array = vocoder(_linear_magnitudes(mel, settings)).numpy()
    return waveform


def write_wav(path: Path, waveform: Array, settings: MelSettings) -> None:
    """Write [S] as 16-bit WAV at the settings' rate; samples beyond full scale are cut."""
    import soundfile

    soundfile.write(
        str(path),
        np.clip(waveform, -1.0, 1.0),
        settings.sample_rate_hz,
        subtype="PCM_16",
        format="WAV",
    )


def _linear_magnitudes(mel: torch.Tensor, settings: MelSettings) -> torch.Tensor:
    """Magnitudes [F, T] that the filters turn into [M, T] in the least-squares sense, none negative (Lee and Seung 2001)."""
    filters = _mel_transform(settings).mel_scale.fb.T  # [M, F]
    target = filters.T @ mel
    linear: torch.Tensor = target.clone()
    for _ in range(NNLS_ITERATIONS):
        linear *= target / (filters.T @ (filters @ linear)).clamp_min(1e-10)
    return linear


@functools.lru_cache(maxsize=8)
def _sinc_filters(from_hz: int, to_hz: int) -> tuple[torch.Tensor, int, int]:
    """Filters [taps, phases], the zeros in front of the waveform, and how many samples a step of all phases moves on.

    torchaudio's filters, one for each phase of the ratio, repeated until there are enough of them to fill a matrix product: the
    one phase of 48 to 24 kHz would make it a product with a vector.
    """
    import torch
    import torchaudio

    sinc = torchaudio.transforms.Resample(
        from_hz, to_hz, "sinc_interp_kaiser", SINC_ZEROS, SINC_ROLLOFF, SINC_BETA
    )
    common = math.gcd(from_hz, to_hz)
    move, phases = from_hz // common, to_hz // common
    repeats = -(-SINC_PHASES // phases)
    taps = sinc.kernel.shape[-1]
    filters = torch.zeros(taps + (repeats - 1) * move, repeats * phases)
    for i in range(repeats):
        filters[i * move : i * move + taps, i * phases : (i + 1) * phases] = sinc.kernel[:, 0].T
    return filters, int(sinc.width), repeats * move


@functools.lru_cache(maxsize=2)
def _mel_transform(settings: MelSettings) -> Any:
    import torchaudio

    return torchaudio.transforms.MelSpectrogram(
        settings.sample_rate_hz,
        settings.n_fft,
        hop_length=settings.hop_samples,
        n_mels=settings.n_mels,
        power=1.0,
        center=True,
    )
