"""Those who can speak: hibari, flite and eSpeak NG. Each says a text in a person's changed voice.

Shapes: ``S`` samples at 24 kHz, ``F`` frequencies, ``T`` frames.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from examples.base.channels import RATE_HZ
from examples.base.people import Person
from vibesweep.corpus.demo import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.sound.arrays import Floats, Samples
from vibesweep.corpus.sound.resampling import resample

VOICED_HZ = 40.0
"""hibari's own bound of voiced frames."""
RESIDUE = 1.0
"""What hibari adds in its own pitch is lowered by so much (nepers) where the pitch is changed."""
SIZE_STEP_HZ = 800
"""Flite's voices are resampled by ratios that keep the filters small."""


class Teacher(Protocol):
    """Speaks."""

    def say(self, text: str, person: Person, seed: int) -> Samples:
        """Say a text in a person's voice: samples [S]."""


class Hibari:
    """hibari-tts (Apache-2.0), whose network predicts pitch and spectra: both can be changed."""

    def __init__(self) -> None:
        """Load the network of its one voice."""
        self._hibari = importlib.import_module("hibari").Hibari(threads=1)
        self._dsp = importlib.import_module("hibari.dsp")

    def say(self, text: str, person: Person, seed: int) -> Samples:
        """Say a text: with another pitch, another vocal tract, and more or less breath."""
        parts = [
            self._sentence(phonemes, person, seed) for phonemes in self._hibari.phonemize(text)
        ]
        return np.concatenate(parts)

    def _sentence(self, phonemes: str, person: Person, seed: int) -> Samples:
        ids = np.asarray([self._hibari.ids(phonemes)], np.int64)
        asked = {"ids": ids, "speed": np.asarray([person.tempo], np.float32)}
        answers = [answer[0] for answer in self._hibari.sess.run(None, asked)]
        voice, theta, noise, free, phases, pitch_hz = answers
        rng = np.random.default_rng(seed)
        random_phases = rng.uniform(-np.pi, np.pi, phases.shape).astype(np.float32)
        sound: Samples = self._dsp.synth(
            _longer_tract(voice, person.formants),
            _longer_tract(theta, person.formants),
            _longer_tract(noise, person.formants) + np.float32(person.breath),
            _longer_tract(free, person.formants) - np.float32(RESIDUE),
            random_phases,
            _other_pitch(pitch_hz, person),
            rng,
        )
        return sound


def _longer_tract(spectra: Floats, factor: float) -> Any:
    """Move spectra [F, T] to frequencies higher by a factor."""
    bins = len(spectra)
    places = np.minimum(np.arange(bins) / factor, bins - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, bins - 1)
    share = (places - below).astype(np.float32)[:, None]
    return spectra[below] * (1 - share) + spectra[above] * share


def _other_pitch(pitch_hz: Floats, person: Person) -> Floats:
    """Change a pitch contour [T] about its mean, and move it."""
    voiced = pitch_hz > VOICED_HZ
    if not voiced.any():
        return pitch_hz
    centre = np.exp(np.log(pitch_hz[voiced]).mean())
    moved = centre * person.pitch * (pitch_hz[voiced] / centre) ** person.intonation
    changed = pitch_hz.copy()
    changed[voiced] = np.clip(moved, VOICED_HZ * 1.25, 500.0)
    return changed


class Flite:
    """Flite's voices of people who read the CMU Arctic sentences; free for any use."""

    def __init__(self) -> None:
        """Find the program."""
        self._program = shutil.which("flite")
        assert self._program is not None

    def say(self, text: str, person: Person, seed: int) -> Samples:
        """Say a text; another vocal tract changes the pitch alike."""
        stretch = person.formants / person.tempo
        with tempfile.TemporaryDirectory(prefix="base-") as folder:
            file = Path(folder) / "said.wav"
            options = ["-voice", person.voice, "--setf", f"duration_stretch={stretch:.3f}"]
            command = [str(self._program), *options, "-t", text, "-o", str(file)]
            subprocess.run(command, check=True, capture_output=True)  # nosec B603
            read, rate_hz = soundfile.read(file, dtype="float32")
        samples: Samples = read
        to_hz = RATE_HZ / person.formants
        return resample(samples, rate_hz, round(to_hz / SIZE_STEP_HZ) * SIZE_STEP_HZ)


class Espeak:
    """eSpeak NG's voices (GPL-3.0, what they say is free), of many people and two languages."""

    def __init__(self) -> None:
        """List the voices."""
        self._voices = {voice.name: voice for voice in BASE_VOICES}

    def say(self, text: str, person: Person, seed: int) -> Samples:
        """Say a text. These voices differ already, and are not changed."""
        spoken = speak(text, self._voices[person.voice]).astype(np.float32) / np.float32(32_768)
        return resample(spoken, ESPEAK_RATE_HZ, RATE_HZ)


TEACHERS: dict[str, type[Teacher]] = {"hibari": Hibari, "flite": Flite, "espeak": Espeak}


def installed() -> tuple[str, ...]:
    """Name the teachers that are there."""
    found = {
        "hibari": importlib.util.find_spec("hibari") is not None,
        "flite": shutil.which("flite") is not None,
        "espeak": True,
    }
    return tuple(name for name, is_there in found.items() if is_there)
