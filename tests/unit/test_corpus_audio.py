"""Decoding, levels, hop arithmetic, log-mels against NumPy, and the way back by Griffin and Lim."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from vibesweep.config import MelSettings
from vibesweep.corpus import audio
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.voices import DEMO_VOICES, ESPEAK_RATE_HZ, speak

SETTINGS = MelSettings()
Floats = npt.NDArray[np.float32]


def sine(seconds: float, rate_hz: int, *, frequency_hz: float = 440.0, amplitude: float = 0.3) -> Floats:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def spoken() -> Floats:
    samples = speak("The yellow bicycle is by the river.", DEMO_VOICES[0]).astype(np.float32) / np.float32(32_768)
    return audio.resample(samples, ESPEAK_RATE_HZ, SETTINGS.sample_rate_hz)


def test_a_patch_is_a_latent_of_vibevoice() -> None:
    assert audio.samples_of(audio.FRAMES_PER_PATCH, SETTINGS) == 3_200
    assert audio.patch_rate_hz(SETTINGS) == 7.5
    assert audio.frame_rate_hz(SETTINGS) == 75.0


def test_frames_and_seconds_agree() -> None:
    assert [audio.frames_of(samples, SETTINGS) for samples in (0, 319, 320, 24_000)] == [0, 0, 1, 75]
    assert audio.seconds_of(75, SETTINGS) == 1.0


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_come_out_at_one_rate_and_level(tmp_path: Path, rate_hz: int, channels: int) -> None:
    wave = sine(1.0, rate_hz, amplitude=0.01)
    soundfile.write(tmp_path / "a.flac", np.stack([wave] * channels, axis=1), rate_hz)
    loaded = audio.load(tmp_path / "a.flac", SETTINGS)
    assert loaded.dtype == np.float32
    assert abs(len(loaded) - 24_000) <= 1
    assert 20 * math.log10(float(np.sqrt(np.mean(loaded.astype(np.float64) ** 2)))) == pytest.approx(-25.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(loaded[:24_000]))
    assert int(spectrum.argmax()) * 24_000 / len(loaded[:24_000]) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (sine(0.1, 24_000), "short_audio"),
        (np.zeros(0, np.float32), "short_audio"),
        (np.zeros(24_000, np.float32), "silent_audio"),
        (np.full(24_000, np.nan, np.float32), "non_finite_audio"),
    ],
)
def test_a_recording_of_no_use_says_why(tmp_path: Path, wave: Floats, reason: str) -> None:
    soundfile.write(tmp_path / "a.wav", wave, 24_000, subtype="FLOAT")
    with pytest.raises(RecordingError) as caught:
        audio.load(tmp_path / "a.wav", SETTINGS)
    assert caught.value.reason == reason
    assert caught.value.where.endswith("a.wav")


def test_a_file_that_is_no_audio_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF and then nothing of the kind")
    with pytest.raises(RecordingError) as caught:
        audio.load(tmp_path / "a.wav", SETTINGS)
    assert caught.value.reason == "unreadable_audio"


@pytest.mark.parametrize("samples", [3_200, 24_000, 24_319])
def test_a_mel_has_one_frame_for_each_whole_hop(samples: int) -> None:
    mel = audio.log_mel(sine(2, 24_000)[:samples], SETTINGS)
    assert mel.shape == (samples // 320, 80)
    assert mel.dtype == np.float32


def test_the_mel_agrees_with_one_written_in_numpy() -> None:
    wave = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    assert np.abs(audio.log_mel(wave, SETTINGS) - numpy_log_mel(wave)).max() < 1e-4


def test_silence_lies_on_the_floor() -> None:
    assert audio.log_mel(np.zeros(24_000, np.float32), SETTINGS) == pytest.approx(math.log(audio.LOG_FLOOR))


def test_griffin_lim_gives_back_speech_with_nearly_the_same_mel() -> None:
    mel = audio.log_mel(spoken(), SETTINGS)
    began = time.perf_counter()
    wave = audio.griffin_lim(mel, SETTINGS)
    seconds = time.perf_counter() - began
    assert len(wave) == audio.samples_of(len(mel), SETTINGS)
    assert np.isfinite(wave).all()
    loud = mel > -6  # below lies what nobody hears
    assert np.abs(audio.log_mel(wave, SETTINGS) - mel)[loud].mean() < 0.25
    assert seconds < len(wave) / SETTINGS.sample_rate_hz


def test_griffin_lim_is_the_same_on_every_call() -> None:
    mel = audio.log_mel(spoken()[:12_000], SETTINGS)
    first, second = (audio.griffin_lim(mel, SETTINGS, iterations=4) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_wav_is_16_bit_and_cut_at_full_scale(tmp_path: Path) -> None:
    audio.write_wav(tmp_path / "a.wav", np.array([0.0, 0.5, 2.0, -2.0], np.float32), SETTINGS)
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate_hz == 24_000
    assert samples.tolist() == pytest.approx([0, 16_384, 32_767, -32_768], abs=1)


def numpy_log_mel(wave: Floats) -> npt.NDArray[np.float64]:
    """An STFT with a periodic Hann window and triangles on the HTK mel scale, from their textbook definitions."""
    padded = np.pad(wave.astype(np.float64), 512, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1_024) / 1_024)
    frames = np.stack([padded[i * 320 : i * 320 + 1_024] * window for i in range(len(wave) // 320)])
    edges_mel = np.linspace(0, 2_595 * np.log10(1 + 12_000 / 700), 82)
    edges_hz = 700 * (10 ** (edges_mel / 2_595) - 1)
    bins_hz = np.linspace(0, 12_000, 513)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    filters = np.maximum(0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)))
    log_mel: npt.NDArray[np.float64] = np.log(np.maximum(np.abs(np.fft.rfft(frames)) @ filters.T, 1e-5))
    return log_mel
