"""Files of all kinds become waveforms: stretches, facts about the samples, what is refused."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from vibesweep.corpus.ingest import (
    blocks,
    decode,
    decode_stretch,
    level_envelope,
    open_recording,
    probe,
)
from vibesweep.corpus.ingest.envelope import ENVELOPE_FLOOR_DBFS, Levels
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.levels import at_level, centred

RATE_HZ = 24_000
LEVEL_DBFS = -25.0
Floats = npt.NDArray[np.float32]

WAV = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]
FORMATS = [
    *(("WAV", kind) for kind in WAV),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
]
FORMATS += [
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("W64", "PCM_16"),
    ("RF64", "PCM_16"),
    ("CAF", "PCM_16"),
]


def envelope_of(path: Path) -> Levels:
    with open_recording(path) as recording:
        return level_envelope(recording)


def sine(
    seconds: float, rate_hz: int, *, frequency_hz: float = 440.0, amplitude: float = 0.3
) -> Floats:
    wave: Floats = (
        amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    ).astype(np.float32)
    return wave


def noise(seconds: float, rate_hz: int = 24_000, *, seed: int = 0) -> Floats:
    """Noise whose samples have 16 bits."""
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate_hz)).clip(-0.9, 0.9)
    rounded: Floats = (np.rint(wave * 32_768) / 32_768).astype(np.float32)
    return rounded


def write(
    path: Path,
    wave: npt.NDArray[np.floating],
    rate_hz: int = 24_000,
    form: str = "WAV",
    kind: str = "PCM_16",
) -> Path:
    soundfile.write(path, wave, rate_hz, subtype=kind, format=form)
    return path


def reason_of(path: Path, start_s: float = 0.0, end_s: float | None = None) -> str:
    with pytest.raises(RecordingError) as caught:
        decode(path, RATE_HZ, start_s, end_s)
    assert caught.value.where == str(path)
    return caught.value.reason


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(("form", "kind"), FORMATS)
def test_every_format_of_soundfile_is_read(tmp_path: Path, form: str, kind: str) -> None:
    path = write(tmp_path / "a", sine(1.0, 48_000, amplitude=0.1), 48_000, form, kind)
    assert probe(path) == (48_000, 48_000, 1)
    found = decode(path, RATE_HZ)
    assert found.duration_s == pytest.approx(1.0, abs=0.05)
    assert found.level_dbfs == pytest.approx(-23.0, abs=0.3)
    assert found.peak == pytest.approx(0.1, rel=0.1)
    assert found.clipped == 0
    assert tone_hz(found.samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    "rate_hz",
    [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000],
)
def test_any_rate_is_resampled(tmp_path: Path, rate_hz: int) -> None:
    found = decode(write(tmp_path / "a.wav", sine(1.0, rate_hz), rate_hz), RATE_HZ)
    assert found.samples.dtype == np.float32
    assert len(found.samples) == 24_000
    assert tone_hz(found.samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_mixed_by_their_mean(tmp_path: Path, channels: int) -> None:
    waves = np.stack([noise(0.5, seed=i) for i in range(channels)], axis=1)
    found = decode(write(tmp_path / "a.wav", waves), RATE_HZ)
    assert np.abs(found.samples - centred(waves.mean(axis=1))).max() < 1e-6


def test_a_silent_channel_only_halves_the_level(tmp_path: Path) -> None:
    one = sine(1.0, 24_000)
    both, half = (
        decode(write(tmp_path / "a.wav", np.stack([one, right], axis=1)), RATE_HZ)
        for right in (one, one * 0)
    )
    assert both.level_dbfs - half.level_dbfs == pytest.approx(6.02, abs=0.01)
    levelled = [at_level(found.samples, LEVEL_DBFS) for found in (both, half)]
    assert np.abs(levelled[0] - levelled[1]).max() < 1e-4


def test_channels_in_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    one = noise(0.5)
    path = write(tmp_path / "a.wav", np.stack([one * 0.5, -one * 0.53125], axis=1), kind="PCM_24")
    assert np.abs(decode(path, RATE_HZ).samples + centred(one) * 0.53125).max() < 1e-6


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_stretch_is_that_of_the_whole(
    tmp_path: Path, form: str, kind: str, channels: int
) -> None:
    path = write(tmp_path / "a", np.stack([noise(4.0)] * channels, axis=1), 24_000, form, kind)
    whole = decode(path, RATE_HZ)
    for start_s, end_s in ((0.0, 1.0), (1.2345, 2.5), (3.0, None), (3.5, 99.0)):
        found = decode(path, RATE_HZ, start_s, end_s)
        past = len(whole.samples) if end_s is None or end_s > 4 else round(end_s * 24_000)
        expected = centred(whole.samples[round(start_s * 24_000) : past])
        assert np.abs(found.samples - expected).max() < 1e-6


def test_a_recording_of_many_blocks_is_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wave = np.stack([noise(1.0), noise(1.0, seed=1)], axis=1)
    path = write(tmp_path / "a.flac", wave, form="FLAC")
    whole, levels = decode(path, RATE_HZ), envelope_of(path)
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", 1_022)
    found = decode(path, RATE_HZ)
    assert np.array_equal(found.samples, whole.samples)
    assert (found.samples_hash, found.peak, found.clipped) == (
        whole.samples_hash,
        whole.peak,
        whole.clipped,
    )
    assert np.array_equal(envelope_of(path), levels)


def test_samples_at_full_scale_are_counted_in_runs(tmp_path: Path) -> None:
    wave = noise(1.0)
    wave[100:110] = 1.0
    wave[200:203] = -1.0
    wave[300:302] = 1.0  # two are a peak
    wave[400:500] = 0.5  # equal, but not at full scale
    found = decode(write(tmp_path / "a.wav", np.stack([wave, noise(1.0)], axis=1)), RATE_HZ)
    assert found.clipped == pytest.approx(13 / 48_000)
    assert found.peak == 1.0


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ALAW", "ULAW"])
def test_full_scale_is_that_of_the_encoding(tmp_path: Path, kind: str) -> None:
    clipped = np.clip(sine(1.0, 24_000, amplitude=3.0), -1, 1)
    assert decode(write(tmp_path / "a.wav", clipped, kind=kind), RATE_HZ).clipped > 0.5
    assert decode(write(tmp_path / "a.wav", clipped * 0.9, kind=kind), RATE_HZ).clipped == 0


def test_the_same_samples_have_one_hash(tmp_path: Path) -> None:
    wave, silence = noise(0.5), np.zeros(777, np.float32)
    kinds = [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("FLAC", "PCM_16"),
    ]
    hashes = {
        decode(write(tmp_path / "a", wave, 24_000, *kind), RATE_HZ).samples_hash for kind in kinds
    }
    hashes.add(
        decode(
            write(tmp_path / "a", np.concatenate([silence, wave, silence])), RATE_HZ
        ).samples_hash
    )
    hashes.add(decode(write(tmp_path / "a", np.stack([wave, wave], axis=1)), RATE_HZ).samples_hash)
    hashes.add(
        decode(
            write(tmp_path / "a", np.concatenate([noise(1.0, seed=2), wave])), RATE_HZ, 1.0
        ).samples_hash
    )
    assert len(hashes) == 1
    assert len(hashes.pop()) == 32
    assert decode(write(tmp_path / "a", noise(0.5, seed=1)), RATE_HZ).samples_hash not in hashes


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (sine(0.1, 24_000), "short_audio"),
        (np.zeros(0, np.float32), "short_audio"),
        (np.zeros(24_000, np.float32), "silent_audio"),
        (np.full(24_000, 1e-4, np.float32), "silent_audio"),
        (np.full(24_000, np.nan, np.float32), "non_finite_audio"),
        (np.append(sine(1.0, 24_000), np.float32(np.inf)), "non_finite_audio"),
    ],
)
def test_an_unusable_recording_says_why(tmp_path: Path, wave: Floats, reason: str) -> None:
    assert reason_of(write(tmp_path / "a.wav", wave, kind="FLOAT")) == reason


def test_a_stretch_beyond_the_end_is_too_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(1.0))
    assert reason_of(path, 2.0, 3.0) == "short_audio"
    assert reason_of(path, 0.95, 3.0) == "short_audio"


@pytest.mark.parametrize(
    "content", [b"", b"RIFF and then nothing of the kind", b"ID3" + bytes(99), bytes(5_000)]
)
def test_a_file_that_is_no_audio_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert reason_of(tmp_path / "a.wav") == "unreadable_audio"


def test_a_file_that_is_not_there_is_called_as_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        decode(tmp_path / "copy.wav", RATE_HZ, where="s3://bucket/a.wav")
    assert (caught.value.reason, caught.value.where) == ("unreadable_audio", "s3://bucket/a.wav")


TRUNCATED = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"),
]
TRUNCATED += [("AIFF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("AU", "PCM_16")]


@pytest.mark.parametrize(("form", "kind"), TRUNCATED)
def test_a_file_that_ends_early_says_so(tmp_path: Path, form: str, kind: str) -> None:
    path = cut(write(tmp_path / "a", noise(3.0), 24_000, form, kind), 0.7)
    assert reason_of(path) == "truncated_audio"
    with pytest.raises(RecordingError, match="ends before its header says"):
        envelope_of(path)


@pytest.mark.parametrize("kind", ["VORBIS", "OPUS"])
def test_ogg_does_not_say_how_long_it_should_be(tmp_path: Path, kind: str) -> None:
    path = cut(write(tmp_path / "a", noise(5.0), 24_000, "OGG", kind), 0.5)
    assert decode(path, RATE_HZ).duration_s < 4


@pytest.mark.parametrize(("form", "kind"), [("WAV", "PCM_16"), ("AIFF", "PCM_16")])
def test_a_few_missing_frames_are_ignored(tmp_path: Path, form: str, kind: str) -> None:
    path = cut(write(tmp_path / "a", noise(3.0), 24_000, form, kind), 0.98)
    assert decode(path, RATE_HZ).duration_s == pytest.approx(2.94, abs=0.01)


def test_a_recording_is_read_again_after_its_decoder_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", 1_000)  # the missing end is in blocks of its own
    path = cut(write(tmp_path / "a.flac", noise(3.03, 48_000), 48_000, "FLAC"), 0.995)
    with soundfile.SoundFile(str(path)) as file, pytest.raises(soundfile.SoundFileError):
        file.read()
    anew = decode(path, RATE_HZ).samples
    with open_recording(path) as recording:
        levels = level_envelope(recording)
        again = decode_stretch(recording, RATE_HZ).samples
    assert np.array_equal(levels, envelope_of(path))
    assert np.array_equal(again, anew)


def test_damage_in_the_middle_is_not_an_early_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(3.0), form="FLAC")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3_000] = np.random.default_rng(0).bytes(3_000)
    path.write_bytes(content)
    assert reason_of(path) == "unreadable_audio"


@pytest.mark.parametrize(
    "size", [0, 0x7FFFF000 - 36, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF]
)
@pytest.mark.parametrize("kind", ["PCM_16", "FLOAT"])
def test_a_wav_from_a_pipe_is_read_whole(tmp_path: Path, size: int, kind: str) -> None:
    path = write(tmp_path / "a.wav", noise(1.0), kind=kind)
    whole = decode(path, RATE_HZ)
    content = bytearray(path.read_bytes())
    data = content.find(b"data")
    content[data + 4 : data + 8] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF) if size else 0)
    path.write_bytes(content)
    assert probe(path).frames == pytest.approx(
        24_000, abs=20
    )  # chunks behind the samples cannot be told from them
    assert decode(path, RATE_HZ).samples[:23_900] == pytest.approx(whole.samples[:23_900])


def test_an_envelope_has_the_level_of_each_hop(tmp_path: Path) -> None:
    rate_hz = 11_025  # a hop of 220.5 frames
    wave = np.concatenate(
        [
            sine(1.0, rate_hz, amplitude=0.5),
            np.zeros(rate_hz, np.float32),
            sine(1.01, rate_hz, amplitude=0.05),
        ]
    )
    levels = envelope_of(write(tmp_path / "a.wav", np.stack([wave, -wave], axis=1), rate_hz))
    assert len(levels) == 151
    assert levels[5:45] == pytest.approx(-9.0, abs=0.5)
    assert levels[55:95] == pytest.approx(ENVELOPE_FLOOR_DBFS)
    assert levels[105:150] == pytest.approx(-29.0, abs=0.5)


def test_a_constant_offset_is_no_sound(tmp_path: Path) -> None:
    wave = np.concatenate([noise(1.0), np.zeros(24_000, np.float32)]) + np.float32(0.05)
    assert envelope_of(write(tmp_path / "a.wav", wave, kind="FLOAT"))[60:].max() < -100


def test_a_long_recording_takes_little_memory(tmp_path: Path) -> None:
    """An hour of stereo, 690 MB, of which the file system holds the last seconds only."""
    path = write(tmp_path / "a.wav", np.stack([noise(1.0, 48_000)] * 2, axis=1), 48_000)
    header, samples = path.read_bytes()[:44], path.read_bytes()[44:]
    size = 3_600 * len(samples)
    with path.open("wb") as file:
        file.write(
            header[:4] + struct.pack("<I", size + 36) + header[8:40] + struct.pack("<I", size)
        )
        file.seek(44 + size - 2 * len(samples))
        file.write(samples * 2)
    assert probe(path).duration_s == 3_600
    decode(path, RATE_HZ, 3_599.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(path, RATE_HZ, 3_598.0).duration_s == 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1_024  # kB


def tone_hz(wave: Floats) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax()) * 24_000 / len(wave)
