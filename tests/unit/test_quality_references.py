"""Measures of speech quality beside other people's code for the same: librosa, SciPy, speechmos.

All of it is slow: librosa compiles its loops for half a minute.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.test_quality_measures import TEXTS, passage, said
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.quality.measures import DNSMOS, LOG_F0, MCD, VOICING
from vibesweep.quality.naturalness import NaturalnessScorer
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.pitch import PitchScorer
from vibesweep.quality.scorer import Passage, Sound
from vibesweep.quality.spectrum import SpectrumScorer

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speech"
RATE_HZ, FFT, HOP, MELS, CEPSTRA = 24_000, 1_024, 320, 80, 13
VOICES = ((0, 5), (1, 4), (2, 3))

Floats = npt.NDArray[np.float64]
pytestmark = pytest.mark.slow


def reference_cepstra(sound: Sound) -> Floats:
    """Compute c1 to c13 [C, T] by the formula of Kubichek (1993), from the waveform on."""
    fft = pytest.importorskip("scipy.fft")
    samples = sound.at(RATE_HZ)
    rms = np.sqrt(np.mean(samples**2))
    levelled = samples * (10 ** (-25 / 20) / rms)
    mel = librosa.feature.melspectrogram(
        y=levelled,
        sr=RATE_HZ,
        n_fft=FFT,
        hop_length=HOP,
        n_mels=MELS,
        power=1.0,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    log = np.log(np.maximum(mel, 1e-5))[:, :-1]
    audible = np.maximum(log, log.max() - 50 * math.log(10) / 20)
    # SciPy's DCT-II has a factor of 2: log|H| = c0 / 2 + sum of c_k cos(k w)
    return np.asarray(fft.dct(audible, axis=0) / MELS)[1 : CEPSTRA + 1]


def reference_path(one: Sound, other: Sound) -> tuple[float, npt.NDArray[np.intp]]:
    """Return the sum of distances along librosa's path, and the path [L, 2]."""
    cepstra = [reference_cepstra(sound) for sound in (one, other)]
    total, path = librosa.sequence.dtw(X=cepstra[0], Y=cepstra[1], metric="euclidean")
    return float(total[-1, -1]), path


@pytest.mark.parametrize("voices", VOICES)
def test_mcd_agrees_with_librosas_mel_and_dtw_and_scipys_cosines(voices: tuple[int, int]) -> None:
    one, other = (said(TEXTS[0], voice) for voice in voices)
    total, path = reference_path(one, other)
    expected = 10 / math.log(10) * math.sqrt(2) * total / len(path)
    found = SpectrumScorer().score(one, passage(other))[MCD.name]
    assert found == pytest.approx(expected, rel=0.01)


def pyin(sound: Sound) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return F0 in Hz and whether it is voiced, by frame (Mauch and Dixon 2014)."""
    f0, voiced, _ = librosa.pyin(
        sound.at(RATE_HZ), fmin=60, fmax=400, sr=RATE_HZ, frame_length=2_048, hop_length=HOP
    )
    return f0, voiced


def test_pitch_agrees_with_librosas_pyin() -> None:
    pytest.importorskip("swift_f0")
    sound = said(TEXTS[0])
    f0, voiced = pyin(sound)
    pitch = PitchScorer().pitch(sound, len(f0))
    both = voiced & pitch.voiced
    assert both.sum() > 50
    ratio = np.exp(pitch.log_f0[both]) / f0[both]
    assert abs(np.median(ratio) - 1) < 0.01
    assert np.mean(np.abs(np.log(ratio)) < 0.06) > 0.9  # within a semitone


@pytest.mark.parametrize("voices", VOICES)
def test_log_f0_and_voicing_agree_with_pyin_along_librosas_path(voices: tuple[int, int]) -> None:
    pytest.importorskip("swift_f0")
    one, other = (said(TEXTS[0], voice) for voice in voices)
    _, path = reference_path(one, other)
    melodies = [pyin(sound) for sound in (one, other)]
    f0 = [melody[0][path[:, side]] for side, melody in enumerate(melodies)]
    voiced = [melody[1][path[:, side]] for side, melody in enumerate(melodies)]
    both = voiced[0] & voiced[1]
    differences = np.log(f0[0][both] / f0[1][both])
    found = PitchScorer().score(one, passage(other))
    assert found[LOG_F0.name] == pytest.approx(math.sqrt(np.mean(differences**2)), rel=0.05)
    assert found[VOICING.name] == pytest.approx(np.mean(voiced[0] != voiced[1]), abs=0.06)


# Naturalness


@pytest.fixture(scope="module")
def people() -> tuple[Passage, ...]:
    """Return a few sentences as people said them."""
    if not SPEECH.is_dir():
        pytest.skip(f"real speech is not in {SPEECH}")
    return choose_passages(SPEECH, "en-us", 4).passages


def with_noise(sound: Sound, below_db: float) -> Sound:
    """Add white noise so many decibels below the speech."""
    rng = np.random.default_rng(0)
    level = np.sqrt(np.mean(sound.samples**2)) * 10 ** (-below_db / 20)
    noise = rng.normal(0, level, len(sound.samples)).astype(np.float32)
    noisy: Samples = sound.samples + noise
    return Sound(noisy, sound.rate_hz)


def test_dnsmos_is_what_its_own_package_says(people: tuple[Passage, ...]) -> None:
    dnsmos: Any = pytest.importorskip("speechmos.dnsmos")
    scorer = NaturalnessScorer()
    for each in people:
        samples = each.recording.at(16_000)
        theirs = dnsmos.run(samples / np.abs(samples).max(), 16_000)["ovrl_mos"]
        ours = scorer.score(each.recording, each)[DNSMOS.name]
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_dnsmos_ranks_people_above_people_in_noise_above_noise(
    people: tuple[Passage, ...],
) -> None:
    pytest.importorskip("speechmos")
    scorer = NaturalnessScorer()
    for each in people:
        sounds = (each.recording, with_noise(each.recording, 5), with_noise(each.recording, -60))
        scores = [scorer.score(sound, each)[DNSMOS.name] for sound in sounds]
        assert scores[0] > scores[1] > scores[2], scores
