"""Levels, hop arithmetic, resampling, log-mels against NumPy and librosa, and Griffin-Lim."""

from __future__ import annotations

import math
from pathlib import Path

import librosa
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
from vibesweep.corpus.sound.mel import LOG_FLOOR, half_precision, log_mel
from vibesweep.corpus.sound.rates import frame_rate_hz, frames_of, patch_rate_hz, seconds_of
from vibesweep.corpus.sound.resampling import SINC_BETA, SINC_ROLLOFF, SINC_ZEROS, resample
from vibesweep.corpus.sound.speech_file import write_speech
from vibesweep.corpus.sound.vocoder import griffin_lim

SETTINGS = MelSettings()
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.floating]


def sine(
    seconds: float, rate_hz: int, *, frequency_hz: float = 440.0, amplitude: float = 0.3
) -> Floats:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    return wave.astype(np.float32)


def spoken() -> Floats:
    samples = speak("The yellow bicycle is by the river.", DEMO_VOICES[0])
    full_scale = np.float32(32_768)
    waveform = samples.astype(np.float32) / full_scale
    return resample(waveform, ESPEAK_RATE_HZ, SETTINGS.sample_rate_hz)


def like_real(signal: str) -> Floats:
    """Return a second of white noise, of speech, or of noise whose power falls by 1 / f²."""
    noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    if signal == "noise":
        return noise
    if signal == "speech":
        waveform = spoken()[:24_000] + noise * np.float32(0.01)
    else:
        waveform = np.cumsum(noise - noise.mean(), dtype=np.float32)
    return at_level(waveform, SETTINGS.level_dbfs)


# Rates and levels


def test_a_patch_is_a_latent_of_vibevoice() -> None:
    assert patch_rate_hz(SETTINGS) == 7.5
    assert frame_rate_hz(SETTINGS) == 75.0


def test_frames_and_seconds_agree() -> None:
    frames = [frames_of(samples, SETTINGS) for samples in (0, 319, 320, 24_000)]
    assert frames == [0, 0, 1, 75]
    assert seconds_of(75, SETTINGS) == 1.0


def test_a_recording_is_decoded_and_brought_to_the_rate_and_level_of_the_settings(
    tmp_path: Path,
) -> None:
    soundfile.write(tmp_path / "a.flac", sine(1.0, 16_000, amplitude=0.01), 16_000)
    decoded = decode(tmp_path / "a.flac", SETTINGS.sample_rate_hz)
    levelled = at_level(decoded.samples, SETTINGS.level_dbfs)
    assert levelled.dtype == np.float32
    assert levelled.shape == (24_000,)
    assert level_dbfs(levelled) == pytest.approx(-25.0, abs=0.01)


def test_silence_is_not_made_louder() -> None:
    with pytest.raises(RecordingError) as caught:
        at_level(np.full(24_000, 1e-5, np.float32), -25.0, where="a.wav")
    assert (caught.value.reason, caught.value.where) == ("silent_audio", "a.wav")


# Resampling


def spectrogram(wave: Floats) -> tuple[Doubles, Doubles, Doubles]:
    """Return frequencies in Hz, the middle of each frame in s, and magnitudes, all at 24 kHz.

    Leakage is 92 dB down (Blackman-Harris).
    """
    size = 1_024
    turn = 2 * np.pi * np.arange(size) / size
    window = (
        0.35875 - 0.48829 * np.cos(turn) + 0.14128 * np.cos(2 * turn) - 0.01168 * np.cos(3 * turn)
    )
    starts = np.arange(0, len(wave) - size, 256)
    frames = np.stack([wave[i : i + size] * window for i in starts])
    spectra = np.abs(np.fft.rfft(frames))
    return np.fft.rfftfreq(size, 1 / 24_000), (starts + size / 2) / 24_000, spectra


@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 96_000, 16_000, 22_050])
def test_resampling_leaves_neither_aliases_nor_images(rate_hz: int) -> None:
    """Sweep over all that the file's rate can hold.

    What is not the sweep itself must be more than 80 dB below it.
    """
    seconds, top_hz, nyquist_hz = 3.0, rate_hz / 2, min(rate_hz, 24_000) / 2
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    sweep = (0.5 * np.sin(np.pi * top_hz / seconds * time_s**2)).astype(np.float32)
    frequency_hz, sounding_hz, spectra = spectrogram(resample(sweep, rate_hz, 24_000))
    swept_hz = sounding_hz * top_hz / seconds
    own = np.abs(frequency_hz - swept_hz[:, None]) < 500
    # Near Nyquist the sweep and its mirror image are one peak
    swept_near_nyquist = (np.abs(swept_hz - nyquist_hz) < 500)[:, None]
    folded = swept_near_nyquist & (np.abs(frequency_hz - nyquist_hz) < 1_000)
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
    torchaudios = torchaudio.transforms.Resample(
        rate_hz, 24_000, "sinc_interp_kaiser", SINC_ZEROS, SINC_ROLLOFF, SINC_BETA
    )
    expected = torchaudios(torch.from_numpy(noise))
    resampled = resample(noise, rate_hz, 24_000)
    assert len(resampled) == len(expected)
    assert np.abs(resampled - expected.numpy()).max() < 1e-6


# Log-mels


@pytest.mark.parametrize("samples", [3_200, 24_000, 24_319])
def test_a_mel_has_one_frame_for_each_whole_hop(samples: int) -> None:
    mel = log_mel(sine(2, 24_000)[:samples], SETTINGS)
    assert mel.shape == (samples // 320, 80)
    assert mel.dtype == np.float32


def numpy_log_mel(wave: Floats) -> npt.NDArray[np.float64]:
    """Compute a log-mel from textbook definitions: periodic Hann window, HTK mel triangles."""
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    frames = np.stack([padded[i * 320 : i * 320 + 1_024] * window for i in range(len(wave) // 320)])
    edges_mel = np.linspace(0, 2_595 * np.log10(1 + 12_000 / 700), 82)
    edges_hz = 700 * (10 ** (edges_mel / 2_595) - 1)
    bins_hz = np.linspace(0, 12_000, 513)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    mel = np.abs(np.fft.rfft(frames)) @ filters.T
    logarithm: npt.NDArray[np.float64] = np.log(np.maximum(mel, 1e-5))
    return logarithm


@pytest.fixture(scope="module")
def compiled_librosa() -> None:
    """Call librosa once: it compiles itself for some seconds."""
    librosa_log_mel(np.zeros(24_000, np.float32))


def librosa_log_mel(wave: Floats) -> npt.NDArray[np.float64]:
    mel = librosa.feature.melspectrogram(
        y=wave.astype(np.float64),
        sr=24_000,
        n_fft=1_024,
        hop_length=320,
        n_mels=80,
        power=1.0,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    logarithm: npt.NDArray[np.float64] = np.log(np.maximum(mel, LOG_FLOOR)).T
    return logarithm[: len(wave) // 320]


@pytest.mark.parametrize("signal", ["noise", "speech", "rumble"])
def test_the_mel_agrees_with_one_written_in_numpy(signal: str) -> None:
    wave = like_real(signal)
    assert np.abs(log_mel(wave, SETTINGS) - numpy_log_mel(wave)).max() < 1e-4


@pytest.mark.usefixtures("compiled_librosa")
@pytest.mark.parametrize("signal", ["noise", "speech", "rumble"])
def test_the_mel_agrees_with_librosas(signal: str) -> None:
    wave = like_real(signal)
    ours = log_mel(wave, SETTINGS)
    librosas = librosa_log_mel(wave)
    assert ours.shape == librosas.shape
    assert np.abs(ours - librosas).max() < 1e-4


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
    mel = log_mel(np.zeros(24_000, np.float32), SETTINGS)
    assert mel == pytest.approx(math.log(LOG_FLOOR))


def test_half_precision_rounds_as_numpy_does() -> None:
    mel = log_mel(spoken(), SETTINGS)
    assert np.array_equal(half_precision(mel), mel.astype(np.float16))


# Back to sound


def test_griffin_lim_gives_back_speech_with_nearly_the_same_mel() -> None:
    mel = log_mel(spoken(), SETTINGS)
    wave = griffin_lim(mel, SETTINGS)
    assert len(wave) == len(mel) * SETTINGS.hop_samples
    assert np.isfinite(wave).all()
    audible = mel > -6
    assert np.abs(log_mel(wave, SETTINGS) - mel)[audible].mean() < 0.25


def test_griffin_lim_is_the_same_on_every_call() -> None:
    mel = log_mel(spoken()[:12_000], SETTINGS)
    first, second = (griffin_lim(mel, SETTINGS, iterations=4) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_wav_is_16_bit_and_clipped_at_full_scale(tmp_path: Path) -> None:
    write_speech(tmp_path / "a.wav", np.array([0.0, 0.5, 2.0, -2.0], np.float32), 24_000)
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate_hz == 24_000
    assert samples.tolist() == pytest.approx([0, 16_384, 32_767, -32_768], abs=1)
