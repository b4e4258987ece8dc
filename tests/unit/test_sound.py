"""Levels, hop arithmetic, resampling, log-mels against NumPy and librosa, and the way back by Griffin and Lim."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
import torchaudio

from vibesweep.config import MelSettings
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.levels import at_level, level_dbfs
from vibesweep.corpus.sound.mel import LOG_FLOOR, log_mel
from vibesweep.corpus.sound.rates import frame_rate_hz, frames_of, patch_rate_hz, seconds_of
from vibesweep.corpus.sound.resampling import SINC_BETA, SINC_ROLLOFF, SINC_ZEROS, resample
from vibesweep.corpus.sound.vocoder import griffin_lim, write_wav

SETTINGS = MelSettings()
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.floating]


@pytest.fixture(scope="module")
def librosa() -> Any:
    """Librosa where it is installed; it compiles itself for seconds when it is first called."""
    found = pytest.importorskip("librosa")
    found.feature.melspectrogram(y=np.zeros(24_000), sr=24_000, n_fft=1_024)
    return found


def sine(
    seconds: float, rate_hz: int, *, frequency_hz: float = 440.0, amplitude: float = 0.3
) -> Floats:
    return (
        amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    ).astype(np.float32)


def spoken() -> Floats:
    samples = speak("The yellow bicycle is by the river.", DEMO_VOICES[0]).astype(
        np.float32
    ) / np.float32(32_768)
    return resample(samples, ESPEAK_RATE_HZ, SETTINGS.sample_rate_hz)


def test_a_patch_is_a_latent_of_vibevoice() -> None:
    assert patch_rate_hz(SETTINGS) == 7.5
    assert frame_rate_hz(SETTINGS) == 75.0


def test_frames_and_seconds_agree() -> None:
    assert [frames_of(samples, SETTINGS) for samples in (0, 319, 320, 24_000)] == [
        0,
        0,
        1,
        75,
    ]
    assert seconds_of(75, SETTINGS) == 1.0


def test_a_recording_is_loaded_at_the_rate_and_level_of_the_settings(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sine(1.0, 16_000, amplitude=0.01), 16_000)
    decoded = decode(tmp_path / "a.flac", SETTINGS)
    loaded = at_level(decoded.samples, SETTINGS.level_dbfs)
    assert loaded.dtype == np.float32
    assert loaded.shape == (24_000,)
    assert level_dbfs(loaded) == pytest.approx(-25.0, abs=0.01)


def test_silence_is_not_made_louder() -> None:
    with pytest.raises(RecordingError) as caught:
        at_level(np.full(24_000, 1e-5, np.float32), -25.0, where="a.wav")
    assert (caught.value.reason, caught.value.where) == ("silent_audio", "a.wav")


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 96_000, 16_000, 22_050])
def test_resampling_leaves_neither_aliases_nor_images(rate_hz: int) -> None:
    """A sweep over all that the file's rate can hold; what is not the sweep itself is more than 80 dB below it."""
    seconds, top_hz, nyquist_hz = 3.0, rate_hz / 2, min(rate_hz, 24_000) / 2
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    sweep = (0.5 * np.sin(np.pi * top_hz / seconds * time_s**2)).astype(np.float32)
    frequency_hz, sounding_hz, spectra = spectrogram(resample(sweep, rate_hz, 24_000))
    swept_hz = sounding_hz * top_hz / seconds
    own = np.abs(frequency_hz - swept_hz[:, None]) < 500
    folded = (np.abs(swept_hz - nyquist_hz) < 500)[:, None] & (
        np.abs(frequency_hz - nyquist_hz) < 1_000
    )  # both are one peak there
    loudest = spectra[own & (swept_hz < 0.85 * nyquist_hz)[:, None]].max()
    assert loudest > 0
    assert 20 * np.log10(spectra[~own & ~folded].max() / loudest) < -80
    if swept_hz.max() > nyquist_hz + 500:
        assert 20 * np.log10(spectra[swept_hz > nyquist_hz + 500].max() / loudest) < -80


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 96_000, 16_000, 22_050])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_resampling_keeps_what_lies_below_nyquist(rate_hz: int, share: float) -> None:
    tone = sine(0.5, rate_hz, frequency_hz=share * min(rate_hz, 24_000) / 2)
    middle = resample(tone, rate_hz, 24_000)[2_000:10_000]
    assert level_dbfs(middle) == pytest.approx(level_dbfs(tone), abs=0.1)


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("samples", [1, 2_399, 24_001])
def test_resampling_is_torchaudios(rate_hz: int, samples: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    kernel = (SINC_ZEROS, SINC_ROLLOFF, SINC_BETA)
    expected = torchaudio.transforms.Resample(rate_hz, 24_000, "sinc_interp_kaiser", *kernel)(
        torch.from_numpy(noise)
    )
    resampled = resample(noise, rate_hz, 24_000)
    assert len(resampled) == len(expected)
    assert np.abs(resampled - expected.numpy()).max() < 1e-6


@pytest.mark.parametrize("samples", [3_200, 24_000, 24_319])
def test_a_mel_has_one_frame_for_each_whole_hop(samples: int) -> None:
    mel = log_mel(sine(2, 24_000)[:samples], SETTINGS)
    assert mel.shape == (samples // 320, 80)
    assert mel.dtype == np.float32


@pytest.mark.parametrize("signal", ["noise", "speech", "rumble"])
def test_the_mel_agrees_with_one_written_in_numpy(signal: str) -> None:
    wave = like_real(signal)
    assert np.abs(log_mel(wave, SETTINGS) - numpy_log_mel(wave)).max() < 1e-4


@pytest.mark.parametrize("signal", ["noise", "speech", "rumble"])
def test_the_mel_agrees_with_librosas(librosa: Any, signal: str) -> None:
    wave = like_real(signal)
    options = {
        "n_fft": 1_024,
        "hop_length": 320,
        "n_mels": 80,
        "power": 1.0,
        "htk": True,
        "norm": None,
        "pad_mode": "reflect",
    }
    mel = librosa.feature.melspectrogram(y=wave.astype(np.float64), sr=24_000, **options)
    expected = np.log(np.maximum(mel, LOG_FLOOR)).T[: len(wave) // 320]
    assert np.abs(log_mel(wave, SETTINGS) - expected).max() < 1e-4


def test_the_mel_does_not_depend_on_the_threads() -> None:
    wave, threads = like_real("speech"), torch.get_num_threads()
    mels = []
    for count in (1, 2):
        torch.set_num_threads(count)
        resampled = resample(wave, 22_050, SETTINGS.sample_rate_hz)
        mels.append(log_mel(resampled, SETTINGS))
    torch.set_num_threads(threads)
    assert np.array_equal(mels[0], mels[1])


def test_silence_lies_on_the_floor() -> None:
    assert log_mel(np.zeros(24_000, np.float32), SETTINGS) == pytest.approx(
        math.log(LOG_FLOOR)
    )


def test_griffin_lim_gives_back_speech_with_nearly_the_same_mel() -> None:
    mel = log_mel(spoken(), SETTINGS)
    wave = griffin_lim(mel, SETTINGS)
    assert len(wave) == len(mel) * SETTINGS.hop_samples
    assert np.isfinite(wave).all()
    loud = mel > -6  # below lies what nobody hears
    assert np.abs(log_mel(wave, SETTINGS) - mel)[loud].mean() < 0.25


def test_griffin_lim_is_the_same_on_every_call() -> None:
    mel = log_mel(spoken()[:12_000], SETTINGS)
    first, second = (griffin_lim(mel, SETTINGS, iterations=4) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_wav_is_16_bit_and_cut_at_full_scale(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([0.0, 0.5, 2.0, -2.0], np.float32), SETTINGS)
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate_hz == 24_000
    assert samples.tolist() == pytest.approx([0, 16_384, 32_767, -32_768], abs=1)


def like_real(signal: str) -> Floats:
    """A second of white noise, of speech, or of noise whose power falls with the square of the frequency."""
    noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    if signal == "speech":
        return at_level(spoken()[:24_000] + noise * np.float32(0.01), SETTINGS.level_dbfs)
    return (
        at_level(np.cumsum(noise - noise.mean(), dtype=np.float32), SETTINGS.level_dbfs)
        if signal == "rumble"
        else noise
    )


def spectrogram(wave: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Frequencies in Hz, the middle of each frame in s, and magnitudes, all at 24 kHz; leakage is 92 dB down (Blackman-Harris)."""
    size, turn = 1_024, 2 * np.pi * np.arange(1_024) / 1_024
    window = (
        0.35875 - 0.48829 * np.cos(turn) + 0.14128 * np.cos(2 * turn) - 0.01168 * np.cos(3 * turn)
    )
    starts = np.arange(0, len(wave) - size, 256)
    spectra = np.abs(np.fft.rfft(np.stack([wave[i : i + size] * window for i in starts])))
    return np.fft.rfftfreq(size, 1 / 24_000), (starts + size / 2) / 24_000, spectra


def numpy_log_mel(wave: Floats) -> npt.NDArray[np.float64]:
    """An STFT with a periodic Hann window and triangles on the HTK mel scale, from their textbook definitions."""
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    frames = np.stack([padded[i * 320 : i * 320 + 1_024] * window for i in range(len(wave) // 320)])
    edges_mel = np.linspace(0, 2_595 * np.log10(1 + 12_000 / 700), 82)
    edges_hz = 700 * (10 ** (edges_mel / 2_595) - 1)
    bins_hz = np.linspace(0, 12_000, 513)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    filters = np.maximum(
        0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre))
    )
    log_mel: npt.NDArray[np.float64] = np.log(
        np.maximum(np.abs(np.fft.rfft(frames)) @ filters.T, 1e-5)
    )
    return log_mel
