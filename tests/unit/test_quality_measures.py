"""Each measure of speech quality, against an independent way to get the same figure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.errors import ModelError
from vibesweep.quality.alignment import (
    DECIBELS,
    align,
    cepstra_of,
    mel_cepstra,
)
from vibesweep.quality.measures import (
    DNSMOS,
    DURATION_RATIO,
    IDENTIFIED,
    LOG_F0,
    MCD,
    RAN_ON,
    STOP_ERROR,
    VOICING,
    WORD_ERROR,
)
from vibesweep.quality.naturalness import NaturalnessScorer
from vibesweep.quality.pitch import PitchScorer
from vibesweep.quality.recognition import RecognitionScorer, edits, words_of
from vibesweep.quality.scorer import Passage, Sound
from vibesweep.quality.scorers import make_scorers
from vibesweep.quality.spectrum import SpectrumScorer

RATE_HZ = 24_000
TEXTS = (
    "The river was very cold that morning.",
    "She wrote a long letter to her sister.",
    "Nobody could remember the name of the town.",
    "We shall have dinner when the train comes in.",
    "My father keeps his money in an old box.",
    "They walked along the beach until it was dark.",
    "A small dog followed the children home.",
    "Please close the window before you leave.",
)


def said(text: str, voice: int = 0) -> Sound:
    samples = speak(text, BASE_VOICES[voice]).astype(np.float32)
    return Sound(samples / np.float32(32_768), ESPEAK_RATE_HZ)


def passage(recording: Sound, text: str = TEXTS[0], language: str = "en") -> Passage:
    turns = (Turn("SPEAKER_A", text),)
    return Passage("one", turns, {"SPEAKER_A": "Ann"}, language, recording, {})


def buzz(f0_hz: float, seconds: float = 1.0) -> Sound:
    """Make a voice-like tone: a pulse train through a falling spectrum."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples: Samples = np.zeros(len(times), np.float32)
    for harmonic in range(1, int(4_000 / f0_hz)):
        samples += (np.sin(2 * np.pi * harmonic * f0_hz * times) / harmonic).astype(np.float32)
    return Sound(samples * np.float32(0.1), RATE_HZ)


def test_the_distortion_is_the_rms_difference_of_two_log_spectra_in_decibels() -> None:
    bins = 80
    angles = np.pi * (np.arange(bins) + 0.5) / bins
    difference = 0.3 * np.cos(angles) - 0.2 * np.cos(4 * angles)  # ln of magnitudes
    rms_db = 20 / math.log(10) * math.sqrt(np.mean(difference**2))
    spectra = np.stack([np.zeros(bins), difference]).astype(np.float32)
    flat, shaped = cepstra_of(spectra)
    assert DECIBELS * float(np.linalg.norm(shaped - flat)) == pytest.approx(rms_db, rel=1e-5)


def test_the_path_follows_a_saying_that_is_drawn_out() -> None:
    cepstra = mel_cepstra(said(TEXTS[0]))[:60]
    slow = np.repeat(cepstra, 2, axis=0)
    alignment = align(slow, cepstra)
    assert alignment.costs.max() == pytest.approx(0, abs=1e-5)
    assert np.array_equal(alignment.path[:, 0] // 2, alignment.path[:, 1])


def test_length_and_stop_are_those_of_the_sounds() -> None:
    recording = buzz(120, 2.0)
    late = Sound(np.concatenate([recording.samples] * 2), RATE_HZ, cut=True)
    scores = SpectrumScorer().score(late, passage(recording))
    assert scores[DURATION_RATIO.name] == pytest.approx(2)
    assert scores[STOP_ERROR.name] == pytest.approx(2 * 7.5)
    assert scores[RAN_ON.name] == 1


def test_silence_and_a_click_are_measured_too() -> None:
    for samples in (np.zeros(2_000, np.float32), np.ones(10, np.float32)):
        scores = SpectrumScorer().score(Sound(samples, RATE_HZ), passage(said(TEXTS[0])))
        assert all(math.isfinite(value) for value in scores.values())
        assert scores[MCD.name] > 1


# Melody


def test_an_octave_is_ln_2_and_noise_is_unvoiced() -> None:
    pytest.importorskip("swift_f0")
    scorer = PitchScorer()
    low = buzz(110)
    scores = scorer.score(buzz(220), passage(low))
    assert scores[LOG_F0.name] == pytest.approx(math.log(2), abs=0.03)
    rng = np.random.default_rng(0)
    noise = Sound(rng.normal(0, 0.05, RATE_HZ).astype(np.float32), RATE_HZ)
    assert scorer.score(noise, passage(low))[VOICING.name] > 0.8


# Recognition


@pytest.fixture(scope="module")
def listener() -> RecognitionScorer:
    pytest.importorskip("pocketsphinx")
    return RecognitionScorer(TEXTS)


def test_a_sentence_is_told_from_others_and_from_noise(listener: RecognitionScorer) -> None:
    spoken = said(TEXTS[3])
    right, wrong = passage(spoken, TEXTS[3]), passage(spoken, TEXTS[4])
    assert listener.score(spoken, right)[IDENTIFIED.name] == 1
    assert listener.score(spoken, wrong)[IDENTIFIED.name] == 0
    silence = Sound(np.zeros(16_000, np.float32), 16_000)
    assert listener.score(silence, right) == {IDENTIFIED.name: 0, WORD_ERROR.name: 1}


def test_a_text_without_letters_has_no_words_to_count(listener: RecognitionScorer) -> None:
    sound = said(TEXTS[0])
    assert listener.score(sound, passage(sound, "42.")) == {}


def test_a_sentence_is_told_whichever_of_two_like_ones_is_asked_for() -> None:
    again = TEXTS[0].replace(".", "!")
    listener = RecognitionScorer((*TEXTS, again))
    sound = said(TEXTS[0])
    for text in (TEXTS[0], again):
        assert listener.score(sound, passage(sound, text))[IDENTIFIED.name] == 1.0


def test_nothing_is_said_of_other_languages(listener: RecognitionScorer) -> None:
    assert listener.score(said(TEXTS[0]), passage(said(TEXTS[0]), language="zh")) == {}


@pytest.mark.parametrize(
    ("heard", "wanted", "wrong"),
    [("", "a b", 2), ("a b c", "a b c", 0), ("a x c d", "a b c", 2), ("b c", "a b c", 1)],
)
def test_word_errors_are_counted(heard: str, wanted: str, wrong: int) -> None:
    assert edits(heard.split(), wanted.split()) == wrong


def test_words_are_those_of_the_dictionary() -> None:
    assert words_of("Don't, said Mr. O'Neil!") == ["don't", "said", "mr", "o'neil"]


# Naturalness


def test_dnsmos_puts_speech_above_noise() -> None:
    pytest.importorskip("speechmos")
    assert DNSMOS.distance(1.0) > DNSMOS.distance(3.0)
    scorer = NaturalnessScorer()
    rng = np.random.default_rng(0)
    noise = Sound(rng.normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    speech = said(TEXTS[0])
    of_noise = scorer.score(noise, passage(speech))[DNSMOS.name]
    of_speech = scorer.score(speech, passage(speech))[DNSMOS.name]
    assert 1 <= of_noise < of_speech <= 5


# Scorers


class Loudness:
    """A scorer of the user's: a model is a number here, by which the level is divided."""

    measures = (DNSMOS,)

    def __init__(self, model: str) -> None:
        self._divisor = float(model)

    def score(self, spoken: Sound, passage: Passage) -> dict[str, float]:
        return {DNSMOS.name: float(np.abs(spoken.samples).max()) / self._divisor}


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_a_scorer_of_the_users_is_made_with_its_model() -> None:
    scorers = make_scorers(TEXTS, [f"{__name__}:Loudness=0.5"]).scorers
    spoken = Sound(np.full(100, 0.25, np.float32), RATE_HZ)
    assert scorers[-1].score(spoken, passage(spoken)) == {DNSMOS.name: 0.5}


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("named", ["nothing", "no.such:Class=x", f"{__name__}:Loudness=loud"])
def test_a_scorer_that_cannot_be_made_is_the_users_case(named: str) -> None:
    with pytest.raises(ModelError, match=r"package.module:Class=MODEL"):
        make_scorers(TEXTS, [named])


@pytest.mark.usefixtures("nothing_installed")
def test_without_the_extras_one_line_says_what_to_install() -> None:
    found = make_scorers(TEXTS)
    assert [type(scorer) for scorer in found.scorers] == [SpectrumScorer]
    assert "what is understood" in found.missing
    assert 'pip install "vibesweep[quality]" Resemblyzer brings' in found.missing
