"""The corpus that eSpeak NG speaks."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from vibesweep.corpus.demo import (
    Dialogue,
    demo_dialogues,
    write_corpus,
    write_demo_corpus,
)
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import BASE_VOICES, DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.corpus.text.turns import read_turns
from vibesweep.errors import CorpusError


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_seed_gives_the_same_bytes_again_and_another_gives_others(tmp_path: Path) -> None:
    first = digests(write_demo_corpus(tmp_path / "a", recordings=4, seed=3))
    speak("Something else is said in between.", BASE_VOICES[0])
    assert digests(write_demo_corpus(tmp_path / "b", recordings=4, seed=3)) == first
    assert len(first) == 4 + 4 + 2
    assert digests(write_demo_corpus(tmp_path / "c", recordings=4, seed=4)) != first


def test_the_demo_corpus_is_a_corpus_and_its_times_are_those_of_the_audio(tmp_path: Path) -> None:
    found = read_metadata(write_demo_corpus(tmp_path, recordings=8))
    assert found.rejects == ()
    assert len(found.recordings) == 8
    for recording in found.recordings:
        samples, rate_hz = soundfile.read(recording.audio, dtype="int16")
        assert rate_hz == ESPEAK_RATE_HZ
        assert len(samples) / rate_hz == pytest.approx(recording.duration_s, abs=1e-3)
        assert 3.0 < len(samples) / rate_hz < 11.0
        turns = read_turns(recording).turns
        assert len(recording.segments) == len(turns)
        for before, after in zip(recording.segments[:-1], recording.segments[1:], strict=True):
            pause = samples[round(before.end_s * rate_hz) + 2 : round(after.start_s * rate_hz) - 2]
            assert 0.19 < len(pause) / rate_hz < 0.51
            assert not pause.any()
        for segment in recording.segments:
            start, end = round(segment.start_s * rate_hz), round(segment.end_s * rate_hz)
            assert np.abs(samples[start:end]).max() > 2_000


def test_the_cast_is_four_people_in_two_languages() -> None:
    dialogues = list(demo_dialogues(48))
    languages = [dialogue.turns[0][0].language for dialogue in dialogues]
    assert languages.count("zh") == 12
    assert {voice for dialogue in dialogues for voice, _ in dialogue.turns} == set(DEMO_VOICES)
    assert all(len({voice for voice, _ in dialogue.turns}) == 2 for dialogue in dialogues)
    assert all(2 <= len(dialogue.turns) <= 4 for dialogue in dialogues)


def test_no_voice_is_there_twice_and_no_demo_voice_among_the_base_voices() -> None:
    names = {voice.name for voice in BASE_VOICES}
    assert len(names) == len(set(BASE_VOICES)) == len(BASE_VOICES) >= 120
    assert sum(voice.language == "zh" for voice in BASE_VOICES) >= 16
    assert not {v.espeak_voice for v in DEMO_VOICES} & {v.espeak_voice for v in BASE_VOICES}


def test_voices_sound_different() -> None:
    english = [voice for voice in (*DEMO_VOICES, *BASE_VOICES[::12]) if voice.language == "en"]
    spoken = {speak("Hello there.", voice).tobytes() for voice in english}
    assert len(spoken) == len(english)


def test_the_two_demo_voices_of_a_language_differ_in_pitch() -> None:
    for language, text in (("en", "The weather was lovely all day."), ("zh", "今天天气很好。")):
        first, second = (
            pitch_hz(speak(text, voice)) for voice in DEMO_VOICES if voice.language == language
        )
        assert abs(np.log2(first / second)) > 0.4  # five semitones


def test_silence_at_the_ends_is_taken_off() -> None:
    samples = np.abs(speak("Hello there.", DEMO_VOICES[0]).astype(int))
    assert samples[:600].max() > 96
    assert samples[-600:].max() > 96


@pytest.mark.parametrize("name", ["en-us+nobody", "xx-yy", "en-gb"])
def test_a_voice_that_espeak_does_not_have_is_an_error(name: str) -> None:
    with pytest.raises(CorpusError, match="no voice"):
        speak("Hello.", Voice("nobody", name, 50, 160))


def test_a_dialogue_of_one_turn_is_a_clip_of_one_speaker(tmp_path: Path) -> None:
    write_corpus(tmp_path, [Dialogue("lone", ((DEMO_VOICES[0], "Nobody else is here."),))])
    (recording,) = read_metadata(tmp_path).recordings
    assert recording.num_speakers == 1
    assert [(turn.tag, recording.person(turn.tag)) for turn in read_turns(recording).turns] == [
        ("SPEAKER_A", "Alex")
    ]


def test_english_sentences_are_short_and_have_every_phoneme() -> None:
    rng = random.Random(0)
    texts = [sentence("en", rng) for _ in range(600)]
    assert all(3 <= len(text.split()) <= 12 for text in texts)
    assert len(set(texts)) > 550
    ipa = {symbol for found in phonemize(texts) for symbol in found.symbols}
    consonants = "p b t d k ɡ f v θ ð s z ʃ ʒ h m n ŋ l ɹ w j ɾ"
    vowels = "i ɪ e ɛ æ ɑ ɔ o ʊ u ʌ ə ɚ ɜ a"
    assert {*consonants.split(), *vowels.split()} <= ipa


def test_mandarin_sentences_have_every_initial_and_tone() -> None:
    rng = random.Random(0)
    found = phonemize([sentence("zh", rng) for _ in range(600)])
    spoken = {symbol.removeprefix("zh:") for phonemes in found for symbol in phonemes.symbols}
    initials = "b p m f d t n l g k h j q x zh ch sh r z c s"
    simple_finals = "a o e i u v ai ei ao ou an en ang eng ong"
    compound_finals = "ia ie iao ian in iang ing ua uo uan ve er"
    assert {*initials.split(), *simple_finals.split(), *compound_finals.split()} <= spoken
    assert {"1", "2", "3", "4", "5"} <= spoken


def pitch_hz(samples: npt.NDArray[np.int16]) -> float:
    """Median of the strongest autocorrelation lag between 60 and 400 Hz over loud frames."""
    found = []
    for start in range(0, len(samples) - 2_048, 1_024):
        frame = samples[start : start + 2_048].astype(np.float64)
        frame -= frame.mean()
        lags = np.correlate(frame, frame, "full")[2_047:]
        low, high = ESPEAK_RATE_HZ // 400, ESPEAK_RATE_HZ // 60
        best = low + int(lags[low:high].argmax())
        if lags[best] > 0.5 * lags[0] > 0:
            found.append(ESPEAK_RATE_HZ / best)
    return float(np.median(found))
