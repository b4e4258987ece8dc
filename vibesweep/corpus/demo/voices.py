"""eSpeak NG as a source of recordings: voices, and samples of what they say."""

from __future__ import annotations

import ctypes
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.errors import CorpusError

ESPEAK_RATE_HZ = 22_050

# speak_lib.h
_SYNCHRONOUS, _CHARS_UTF8, _OK = 2, 1, 0
_RATE, _PITCH = 1, 3
_TRIM_LEVEL, _TRIM_KEEP = 96, 220  # -50 dBFS, and 10 ms left at both ends

# No variant with breath noise (f2, f3, f5, Reed, ...): what such a voice says differs from one process to the next.
_MEN = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "max", "rob", "david")
_WOMEN = ("f1", "f4", "linda", "shelby", "grandma", "aunty")
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
    """One speaker: an eSpeak voice with a variant, pitch (0 to 99, 50 is the variant's own) and rate in words a minute."""

    name: str
    espeak_voice: str
    pitch: int
    rate_wpm: int

    @property
    def language(self) -> str:
        """``zh`` or ``en``."""
        return "zh" if self.espeak_voice.startswith("cmn") else "en"


def _base_voices() -> tuple[Voice, ...]:
    variants = (*_MEN, *_WOMEN)
    manners = ((35, 165), (50, 145), (65, 185))
    american = [(f"en-us+{variant}", *manner) for variant, manner in product(variants, manners)]
    pairs = [f"{accent}+{variant}" for accent, variant in product(_ACCENTS, variants)]
    others = [(voice, pitch, rate) for voice, (pitch, rate) in zip(pairs, cycle(manners))]
    mandarin = [
        (f"cmn+{variant}", *manner) for variant, manner in product(variants, ((40, 150), (60, 170)))
    ]
    return tuple(
        Voice(f"{voice}-p{pitch}-r{rate}", voice, pitch, rate)
        for voice, pitch, rate in american + others + mandarin
    )


#: Speakers that a base is trained on.
BASE_VOICES = _base_voices()

#: Speakers that no base has met.
DEMO_VOICES = (
    Voice("Alex", "en-us+Alex", 45, 160),
    Voice("Belinda", "en-us+belinda", 55, 175),
    Voice("Michael", "cmn+Michael", 50, 160),
    Voice("Steph", "cmn+steph", 60, 165),
)


def speak(text: str, voice: Voice) -> npt.NDArray[np.int16]:
    """What the voice says: 16-bit samples [S] at :data:`ESPEAK_RATE_HZ`, silence at both ends taken off.

    Raises:
        CorpusError: eSpeak does not know the voice.
    """
    return speak_turns([(voice, text)])[0]


def speak_turns(turns: Sequence[tuple[Voice, str]]) -> list[npt.NDArray[np.int16]]:
    """What the voices say, turn by turn; the same samples on every call. Not for several threads at once.

    Raises:
        CorpusError: eSpeak does not know a voice.
    """
    with _fresh_espeak() as (library, spoken):
        return [_trim(_say(library, spoken, voice, text)) for voice, text in turns]


def _say(
    library: ctypes.CDLL, spoken: list[npt.NDArray[np.int16]], voice: Voice, text: str
) -> npt.NDArray[np.int16]:
    spoken.clear()
    variant = voice.espeak_voice.partition("+")[2]
    # eSpeak says yes to a variant that it does not have and takes none, and no to some of its own languages' names (en-gb)
    known = not variant or (_data() / "voices" / "!v" / variant).is_file()
    if not known or library.espeak_SetVoiceByName(voice.espeak_voice.encode()) != _OK:
        raise CorpusError(
            f"eSpeak NG has no voice {voice.espeak_voice}",
            where=voice.name,
            fix="see `espeak-ng --voices`",
        )
    library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)
    said = text.encode()
    status = library.espeak_Synth(
        said, ctypes.c_size_t(len(said) + 1), 0, 0, 0, _CHARS_UTF8, None, None
    )
    assert status == _OK, status
    library.espeak_Synchronize()
    return np.concatenate(spoken) if spoken else np.zeros(0, np.int16)


def _trim(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _TRIM_LEVEL)
    if not len(loud):
        return samples[:0]
    return samples[max(0, loud[0] - _TRIM_KEEP) : loud[-1] + _TRIM_KEEP]


@contextmanager
def _fresh_espeak() -> Iterator[tuple[ctypes.CDLL, list[npt.NDArray[np.int16]]]]:
    """The library as if just started, and the list in which it puts what it says.

    eSpeak's static variables (flutter, phase of the wave) live through ``espeak_Terminate``: what it says depends on all that it
    has said before. Only loading the library anew (3 ms) sets them back; its own copy, since phonemizer may hold the original.
    """
    import _ctypes

    library = ctypes.CDLL(_private_copy()[1])
    spoken: list[npt.NDArray[np.int16]] = []

    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            spoken.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )(take)
    try:
        ctypes.CDLL(None).srand(1)
        rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, str(_data()).encode(), 0)
        assert rate_hz == ESPEAK_RATE_HZ, rate_hz
        library.espeak_SetSynthCallback(callback)
        yield library, spoken
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)


@functools.lru_cache(maxsize=1)
def _private_copy() -> tuple[Any, str]:
    """A copy of the library in a folder that goes with the process; the folder's owner is kept, or it would go at once."""
    import espeakng_loader

    folder = tempfile.TemporaryDirectory(prefix="vibesweep-espeak-")
    return folder, shutil.copy(espeakng_loader.get_library_path(), folder.name)


@functools.lru_cache(maxsize=1)
def _data() -> Path:
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())
