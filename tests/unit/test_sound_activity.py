"""What of a recording is speech: offsets, long silences, clicks, and what the level is taken of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from vibesweep.config import MelSettings
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.ingest.decoding import Waveform, decode
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.activity import SpeechActivity, speech_activity
from vibesweep.corpus.sound.levels import at_level, level_dbfs
from vibesweep.corpus.sound.mel import log_mel

RATE_HZ = 24_000
SETTINGS = MelSettings()
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def spoken() -> Floats:
    """Speak a sentence, at eSpeak's rate, without the silence around it."""
    samples = speak("The yellow bicycle is by the river, under a tree.", DEMO_VOICES[0])
    heard = np.flatnonzero(np.abs(samples) > 300)
    speech = samples[heard[0] : heard[-1]].astype(np.float32)
    return speech / np.float32(131_072)


def noise(seconds: float, dbfs: float, seed: int = 0) -> Floats:
    samples = round(seconds * ESPEAK_RATE_HZ)
    wave = np.random.default_rng(seed).normal(0, 10 ** (dbfs / 20), samples)
    return wave.astype(np.float32)


def decoded(path: Path, wave: Floats) -> Waveform:
    soundfile.write(path, wave, ESPEAK_RATE_HZ, subtype="PCM_24")
    return decode(path, RATE_HZ)


def mel_of(waveform: Waveform) -> Floats:
    levelled = at_level(waveform.samples, SETTINGS.level_dbfs, found=waveform.level_dbfs)
    return log_mel(levelled, SETTINGS)


@pytest.mark.parametrize("offset", [0.08, -0.3, 0.003])
def test_an_offset_changes_neither_level_nor_mel(
    tmp_path: Path, spoken: Floats, offset: float
) -> None:
    clean = decoded(tmp_path / "a.flac", spoken)
    moved = decoded(tmp_path / "b.flac", spoken + np.float32(offset))
    assert moved.level_dbfs == pytest.approx(clean.level_dbfs, abs=1e-3)
    loud = mel_of(clean) > -8.0  # below, the file's own rounding is seen
    assert loud.mean() > 0.5
    assert np.abs(mel_of(moved) - mel_of(clean))[loud].max() < 0.03


def test_offsets_of_two_channels_do_not_hide_what_they_share(
    tmp_path: Path, spoken: Floats
) -> None:
    clean = decoded(tmp_path / "a.flac", spoken)
    apart = np.stack([spoken + np.float32(0.2), spoken - np.float32(0.2)], axis=1)
    both = decoded(tmp_path / "b.flac", apart)
    assert np.abs(both.samples - clean.samples).max() < 1e-5
    alone = np.stack([np.full_like(spoken, 0.3), spoken, -spoken], axis=1)
    loudest = decoded(tmp_path / "c.flac", alone)
    assert np.abs(loudest.samples - clean.samples).max() < 1e-5, "the first has an offset alone"


def dead_microphones() -> dict[str, Floats]:
    hiss = noise(3.0, -96.0)
    drift = np.linspace(0.01, 0.06, len(hiss), dtype=np.float32)
    clicks = np.zeros_like(hiss)
    clicks[::10_000] = 0.9
    step = np.zeros_like(hiss)
    step[30_000:] = 0.1
    return {
        "offset": hiss + np.float32(0.02),
        "large offset": hiss - np.float32(0.5),
        "drift": hiss + drift,
        "step": hiss + step,
        "clicks": hiss + clicks,
    }


@pytest.mark.parametrize(("name", "wave"), dead_microphones().items())
def test_a_dead_microphone_is_silence(tmp_path: Path, name: str, wave: Floats) -> None:
    with pytest.raises(RecordingError) as caught:
        decoded(tmp_path / "a.wav", wave)
    assert caught.value.reason == "silent_audio", name


def test_a_clip_with_ordinary_pauses_has_its_plain_rms(spoken: Floats) -> None:
    pause = np.zeros(round(0.3 * ESPEAK_RATE_HZ), np.float32)
    wave = np.concatenate([pause, spoken, pause, spoken, pause])
    found = speech_activity(wave, ESPEAK_RATE_HZ)
    assert found.level_dbfs == pytest.approx(level_dbfs(wave), abs=1e-9)
    assert found.speech_s == pytest.approx(len(wave) / ESPEAK_RATE_HZ)


def in_a_room(parts: list[Floats], floor_dbfs: float) -> SpeechActivity:
    wave = np.concatenate(parts)
    room = noise(len(wave) / ESPEAK_RATE_HZ, floor_dbfs)
    return speech_activity((wave + room).astype(np.float32), ESPEAK_RATE_HZ)


@pytest.mark.parametrize("floor_dbfs", [-140.0, -75.0, -50.0])
@pytest.mark.parametrize(
    ("before_s", "between_s", "after_s"),
    [(5.0, 0.0, 0.0), (0.0, 0.0, 9.0), (0.0, 8.0, 0.0), (3.0, 2.0, 60.0), (0.8, 0.0, 0.8)],
)
def test_long_silences_change_neither_level_nor_length(
    spoken: Floats, floor_dbfs: float, before_s: float, between_s: float, after_s: float
) -> None:
    tight = in_a_room([spoken, spoken], floor_dbfs)
    silences = [noise(seconds, -140.0) for seconds in (before_s, between_s, after_s)]
    found = in_a_room([silences[0], spoken, silences[1], spoken, silences[2]], floor_dbfs)
    assert found.level_dbfs == pytest.approx(tight.level_dbfs, abs=0.15)
    assert found.speech_s == pytest.approx(tight.speech_s, abs=0.25)
    assert found.leading_s == pytest.approx(before_s, abs=0.1)
    assert found.trailing_s == pytest.approx(after_s, abs=0.15)
    assert found.longest_pause_s == pytest.approx(between_s, abs=0.2)


def test_a_soft_speaker_is_no_silence(spoken: Floats) -> None:
    soft = spoken * np.float32(0.06)  # 24 dB below
    wave = np.concatenate([spoken, spoken, soft, noise(2.0, -90.0)])
    found = speech_activity(wave, ESPEAK_RATE_HZ)
    assert found.trailing_s == pytest.approx(2.0, abs=0.2)


def test_steady_sound_is_all_speech() -> None:
    found = speech_activity(noise(4.0, -20.0), ESPEAK_RATE_HZ)
    assert found.speech_s == 4.0
    assert (found.leading_s, found.trailing_s, found.longest_pause_s) == (0.0, 0.0, 0.0)


def test_a_word_too_short_for_a_latent_is_short(tmp_path: Path, spoken: Floats) -> None:
    word = spoken[4_000 : 4_000 + round(0.11 * ESPEAK_RATE_HZ)]
    silence = np.zeros(ESPEAK_RATE_HZ * 2, np.float32)
    with pytest.raises(RecordingError) as caught:
        decoded(tmp_path / "a.wav", np.concatenate([silence, word, silence]))
    assert caught.value.reason == "short_audio"
