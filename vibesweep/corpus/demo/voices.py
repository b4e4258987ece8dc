"""eSpeak NG as a source of recordings: voices, and samples of what they say."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.text.espeak_library import (
    CHARS_UTF8,
    OK,
    initialize,
    library_copy,
    load_espeak,
)
from vibesweep.errors import CorpusError

Samples = npt.NDArray[np.int16]

ESPEAK_RATE_HZ = 22_050

# Constants and the callback's type, from eSpeak NG's speak_lib.h
_RATE = 1
_PITCH = 3
_SYNTH_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)

_TRIM_LEVEL = 96  # -50 dBFS
_TRIM_KEEP = 220  # samples, 10 ms, left at both ends

# No variant with breath noise (f2, f3, f5, Reed, ...): what such a voice says differs from one
# process to the next.
_MEN = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "max", "rob", "david")
_WOMEN = ("f1", "f4", "linda", "shelby", "grandma", "aunty")
_VARIANTS = (*_MEN, *_WOMEN)
_ENGLISH_MANNERS = ((35, 165), (50, 145), (65, 185))  # pitch, words a minute
_MANDARIN_MANNERS = ((40, 150), (60, 170))
_ACCENTS = (
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-029",
    "en-us-nyc",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Attributes:
        name: unique among the voices.
        espeak_voice: eSpeak's language and variant, as ``en-us+m1``.
        pitch: 0 to 99; 50 is the variant's own.
        rate_wpm: words a minute.
    """

    name: str
    espeak_voice: str
    pitch: int
    rate_wpm: int

    @property
    def language(self) -> str:
        """``zh`` or ``en``."""
        return "zh" if self.espeak_voice.startswith("cmn") else "en"


def _base_voices() -> tuple[Voice, ...]:
    """List every variant in American English and Mandarin in several manners, accents in one."""
    voices = []
    for variant in _VARIANTS:
        for pitch, rate_wpm in _ENGLISH_MANNERS:
            voices.append(_voice("en-us", variant, pitch, rate_wpm))
    manners = cycle(_ENGLISH_MANNERS)
    for accent in _ACCENTS:
        for variant in _VARIANTS:
            pitch, rate_wpm = next(manners)
            voices.append(_voice(accent, variant, pitch, rate_wpm))
    for variant in _VARIANTS:
        for pitch, rate_wpm in _MANDARIN_MANNERS:
            voices.append(_voice("cmn", variant, pitch, rate_wpm))
    return tuple(voices)


def _voice(language: str, variant: str, pitch: int, rate_wpm: int) -> Voice:
    espeak_voice = f"{language}+{variant}"
    return Voice(f"{espeak_voice}-p{pitch}-r{rate_wpm}", espeak_voice, pitch, rate_wpm)


BASE_VOICES = _base_voices()
"""Speakers that a base is trained on."""

DEMO_VOICES = (
    Voice("Alex", "en-us+Alex", 45, 160),
    Voice("Belinda", "en-us+belinda", 55, 175),
    Voice("Michael", "cmn+Michael", 50, 160),
    Voice("Steph", "cmn+steph", 60, 165),
)
"""Speakers that no base has met."""


def speak(text: str, voice: Voice) -> Samples:
    """Speak a text: samples [S] at :data:`ESPEAK_RATE_HZ`, without silence at the ends.

    Raises:
        CorpusError: eSpeak NG is not installed or does not know the voice.
    """
    return speak_turns([(voice, text)])[0]


def speak_turns(turns: Sequence[tuple[Voice, str]]) -> list[Samples]:
    """Speak turn after turn; the same samples on every call. Not for several threads at once.

    Raises:
        CorpusError: eSpeak NG is not installed or does not know a voice.
    """
    with _fresh_espeak() as espeak:
        untrimmed = [espeak.say(text, voice) for voice, text in turns]
    return [_trim(samples) for samples in untrimmed]


@dataclass(frozen=True)
class _Espeak:
    """The library, ready to speak, and the list to which its callback adds samples."""

    library: ctypes.CDLL
    spoken: list[Samples]

    def say(self, text: str, voice: Voice) -> Samples:
        """Say a text; silence is left at both ends."""
        self._choose(voice)
        self.spoken.clear()
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        status = self.library.espeak_Synth(encoded, size, 0, 0, 0, CHARS_UTF8, None, None)
        assert status == OK, status
        self.library.espeak_Synchronize()
        if not self.spoken:
            return np.zeros(0, np.int16)
        return np.concatenate(self.spoken)

    def _choose(self, voice: Voice) -> None:
        name = voice.espeak_voice.encode()
        if not _has_variant(voice) or self.library.espeak_SetVoiceByName(name) != OK:
            raise CorpusError(
                f"eSpeak NG has no voice {voice.espeak_voice}",
                where=voice.name,
                fix="see `espeak-ng --voices`",
            )
        self.library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self.library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)


def _has_variant(voice: Voice) -> bool:
    """Whether the voice's variant is there: eSpeak takes none, silently, where it is not."""
    _, _, variant = voice.espeak_voice.partition("+")
    if not variant:
        return True
    variants = load_espeak().data / "voices" / "!v"
    return (variants / variant).is_file()


def _trim(samples: Samples) -> Samples:
    """Cut silence off both ends."""
    exact = samples.astype(np.int32)  # 16 bits have no absolute value of -32,768
    levels = np.abs(exact)
    loud = np.flatnonzero(levels > _TRIM_LEVEL)
    if not len(loud):
        return samples[:0]
    first = max(0, loud[0] - _TRIM_KEEP)
    past = loud[-1] + _TRIM_KEEP
    return samples[first:past]


@contextmanager
def _fresh_espeak() -> Iterator[_Espeak]:
    """Load the library as if for the first time.

    eSpeak's static variables (flutter, phase of the wave) live through ``espeak_Terminate``, so
    that what it says depends on all that it has said before. Only loading the library anew (3 ms)
    resets them.
    """
    import _ctypes

    library = library_copy("speaker")
    spoken: list[Samples] = []

    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            block = np.ctypeslib.as_array(samples, (count,))
            spoken.append(block.copy())
        return 0

    callback = _SYNTH_CALLBACK(take)  # kept here for as long as the library calls it
    try:
        ctypes.CDLL(None).srand(1)
        rate_hz = initialize(library)
        assert rate_hz == ESPEAK_RATE_HZ, rate_hz
        library.espeak_SetSynthCallback(callback)
        yield _Espeak(library, spoken)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
