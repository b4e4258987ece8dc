"""What libsndfile does not read, and headers that name a rate that nobody records at."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vibesweep.corpus.ingest import decode, level_envelope, open_recording, probe
from vibesweep.corpus.ingest.audio_file import SAMPLE_RATES_HZ
from vibesweep.corpus.ingest.envelope import Levels
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.resampling import resample

RATE_HZ = 24_000
HAS_FFMPEG = shutil.which("ffmpeg") is not None
needs_ffmpeg = pytest.mark.skipif(not HAS_FFMPEG, reason="ffmpeg is not installed")


def envelope_of(path: Path) -> Levels:
    with open_recording(path) as recording:
        return level_envelope(recording)


def tone(path: Path, rate_hz: int = 48_000, channels: int = 2) -> Path:
    time_s = np.arange(2 * rate_hz) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * 440 * time_s)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate_hz)
    return path


def with_rate(path: Path, rate_hz: int) -> Path:
    """Write a sample rate into a WAV's header."""
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate_hz)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate_hz", [1, 100, 3_999, 768_001, 10_000_000, 2_000_000_000])
def test_a_rate_that_nobody_records_at_is_a_reject(tmp_path: Path, rate_hz: int) -> None:
    path = with_rate(tone(tmp_path / "a.wav"), rate_hz)
    for read in (probe, envelope_of, lambda path: decode(path, RATE_HZ)):
        with pytest.raises(RecordingError) as caught:
            read(path)
        assert caught.value.reason == "sample_rate"
        assert f"{rate_hz:,} Hz" in caught.value.detail


@pytest.mark.parametrize("rate_hz", [44_101, 23_999, 24_001, 47_999, 11_027, 767_999, 4_001])
def test_rates_without_a_common_factor_take_little_memory(rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    wave = np.sin(2 * np.pi * 440 * time_s).astype(np.float32)
    found = resample(wave, rate_hz, RATE_HZ)
    assert len(found) == pytest.approx(RATE_HZ, abs=2)
    heard = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert np.argmax(heard) == pytest.approx(440, abs=1)


def test_the_lowest_and_highest_rates_are_read(tmp_path: Path) -> None:
    for rate_hz in SAMPLE_RATES_HZ:
        found = decode(tone(tmp_path / "a.wav", rate_hz, 1), RATE_HZ)
        assert found.duration_s == 2.0


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


M4A = b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isomiso2" + bytes(4_000)
WMA = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(4_000)
WEBM = bytes.fromhex("1a45dfa3") + b"\x9fB\x86\x81\x01webm" + bytes(4_000)


@pytest.mark.parametrize("content", [M4A, WMA, WEBM], ids=["m4a", "wma", "webm"])
def test_without_ffmpeg_the_reject_names_it(
    tmp_path: Path, no_ffmpeg: None, content: bytes
) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="install ffmpeg") as caught:
        decode(path, RATE_HZ)
    assert caught.value.reason == "unreadable_audio"


def test_what_libsndfile_reads_needs_no_ffmpeg(tmp_path: Path, no_ffmpeg: None) -> None:
    path = tone(tmp_path / "a.wav")
    with open_recording(path) as recording:
        assert recording.path == path


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "a.wma", "a.webm", "a.mkv", "-a b.mp4"])
def test_other_formats_are_read_through_ffmpeg(tmp_path: Path, name: str) -> None:
    source = tone(tmp_path / "tone.wav")
    path = tmp_path / name
    video = ["-f", "lavfi", "-i", "color=s=32x32:d=2", "-c:v", "mpeg4"] if "b.mp4" in name else []
    making = ["ffmpeg", "-v", "error", "-i", str(source), *video]
    subprocess.run([*making, f"file:{path}"], check=True)
    with pytest.raises(soundfile.SoundFileError):
        soundfile.info(str(path))
    found = decode(path, RATE_HZ)
    assert found.duration_s == pytest.approx(2.0, abs=0.1)
    assert found.level_dbfs == pytest.approx(-13.5, abs=0.5)
    heard = np.abs(np.fft.rfft(found.samples))
    assert np.argmax(heard) / found.duration_s == pytest.approx(440, abs=2)


@needs_ffmpeg
@pytest.mark.parametrize("content", [M4A, b"These are words and no sound.\n" * 40])
def test_what_ffmpeg_cannot_read_either_is_a_reject(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="neither libsndfile nor ffmpeg") as caught:
        decode(path, RATE_HZ)
    assert "\n" not in caught.value.detail


@needs_ffmpeg
def test_the_decoded_copy_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    making = ["ffmpeg", "-v", "error", "-i", str(tone(tmp_path / "tone.wav")), str(path)]
    subprocess.run(making, check=True)
    with open_recording(path, "a.m4a") as recording:
        assert recording.path != path
        assert recording.path.exists()
        assert recording.header.rate_hz == 48_000
        assert recording.header.channels == 2
    assert not recording.path.exists()
