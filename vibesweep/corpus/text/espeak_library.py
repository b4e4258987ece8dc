"""eSpeak NG's shared library, through ctypes: copies of our own, and what it reads in a voice.

The library keeps what it has said in static variables, and a file is loaded once in a process,
however often it is opened. So each purpose loads a copy of the file.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vibesweep.corpus.text.mel_extra import require_packages

# From eSpeak NG's speak_lib.h
OK = 0
CHARS_UTF8 = 1
_SYNCHRONOUS = 2
_IPA = 2
_BETWEEN_PHONEMES = "_"
_SEPARATED_IPA = ord(_BETWEEN_PHONEMES) << 8 | _IPA


class _Voice(ctypes.Structure):
    """The beginning of ``espeak_VOICE``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
    )

    name: bytes
    languages: bytes
    identifier: bytes


@dataclass(frozen=True)
class EspeakFiles:
    """Where eSpeak NG's shared library and its data folder lie."""

    library: Path
    data: Path


def load_espeak() -> EspeakFiles:
    """Find the eSpeak NG that is installed.

    Raises:
        CorpusError: it is not installed.
    """
    require_packages("eSpeak NG's voices", "espeakng_loader")
    import espeakng_loader

    library = Path(espeakng_loader.get_library_path())
    data = Path(espeakng_loader.get_data_path())
    return EspeakFiles(library, data)


def library_copy(purpose: str) -> ctypes.CDLL:
    """Load a copy of the library that nothing else in this process has.

    Args:
        purpose: a plain name, one for each copy.

    Raises:
        CorpusError: eSpeak NG is not installed.
        OSError: the library does not load.
    """
    copy = Path(_copies().name) / purpose
    if not copy.exists():
        shutil.copy(load_espeak().library, copy)
    return ctypes.CDLL(str(copy))


@functools.lru_cache(maxsize=1)
def _copies() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for copies of the library; it goes with the process."""
    return tempfile.TemporaryDirectory(prefix="vibesweep-espeak-")


def initialize(library: ctypes.CDLL) -> int:
    """Have the library read its data; return the rate at which it speaks.

    Raises:
        RuntimeError: it does not find them.
    """
    data = str(load_espeak().data).encode()
    rate_hz = int(library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0))
    if rate_hz <= 0:
        raise RuntimeError("eSpeak NG could not be initialized")
    return rate_hz


class EspeakReader:
    """Reads texts in one language's voice."""

    def __init__(self, language: str) -> None:
        """Load the library for this language alone.

        Args:
            language: one of :func:`voices_by_language`.

        Raises:
            OSError: the library does not load.
            RuntimeError: it cannot be initialized, or lacks the voice.
        """
        self._library = library_copy(f"reader-{language}")
        initialize(self._library)
        identifier = _voices(self._library)[language]
        if self._library.espeak_SetVoiceByName(identifier) != OK:
            raise RuntimeError(f"eSpeak NG cannot load its voice for {language}")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def read(self, text: str) -> str:
        """Return the IPA of a text, words apart by spaces."""
        clauses = " ".join(self._clauses(text))
        line = clauses.strip().replace("\n", " ").replace("  ", " ")
        return line.replace(_BETWEEN_PHONEMES, "")

    def _clauses(self, text: str) -> Iterator[str]:
        """Yield the IPA of each clause that eSpeak cuts the text into."""
        rest = ctypes.c_char_p(text.encode())
        while rest.value is not None:
            ipa = self._library.espeak_TextToPhonemes(
                ctypes.byref(rest), CHARS_UTF8, _SEPARATED_IPA
            )
            if ipa:
                yield ipa.decode()


def voices_by_language() -> dict[str, bytes]:
    """Return the best voice of each language that eSpeak NG speaks, by the language's code.

    Raises:
        CorpusError: eSpeak NG is not installed.
        OSError: the library does not load.
        RuntimeError: it cannot be initialized.
    """
    library = library_copy("list")
    initialize(library)
    return _voices(library)


def _voices(library: ctypes.CDLL) -> dict[str, bytes]:
    """Return the first voice of each language in an initialized library, which is its best."""
    list_voices = library.espeak_ListVoices
    list_voices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    listed = list_voices(None)
    found: dict[str, bytes] = {}
    number = 0
    while listed[number]:
        voice = listed[number].contents
        code = voice.languages[1:]  # after a byte that ranks it
        found.setdefault(code.decode(), voice.identifier)
        number += 1
    return found
