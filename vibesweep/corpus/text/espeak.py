"""eSpeak NG: where its library lies, and the IPA of texts in its voices, through phonemizer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibesweep.corpus.text.ipa import LANGUAGE_SWITCH, ipa_characters
from vibesweep.corpus.text.mel_extra import require_packages

_WORDS_OF_OTHER_SCRIPTS = ["да", "ναι"]
# phonemizer takes its punctuation marks out of 3.5 and 1,000. All others are gone before it is
# asked, so it gets a character that no text has.
_NO_PUNCTUATION = "\ufffe"


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


@functools.lru_cache(maxsize=1)
def espeak_languages() -> tuple[str, ...]:
    """List the languages that eSpeak NG has a voice for, sorted.

    Raises:
        CorpusError: eSpeak NG or phonemizer is not installed.
    """
    return tuple(sorted(_backend_class().supported_languages()))


def pronounce(texts: Sequence[str], language: str) -> list[list[str]]:
    """Return the IPA characters of each text.

    Args:
        texts: stretches without pauses. None may be empty, because phonemizer then shifts its
            answers.
        language: one of :func:`espeak_languages`.
    """
    if not texts:
        return []
    asked = [" ".join(text.split()) for text in texts]
    answers = _backend(language).phonemize(asked, strip=True)
    assert len(answers) == len(asked), f"eSpeak gave {len(answers)} lines for {len(asked)}"
    return [
        ipa_characters(_steady(answer, text, language), language)
        for text, answer in zip(asked, answers, strict=True)
    ]


@functools.lru_cache(maxsize=4096)
def says_sign(sign: str, language: str) -> bool:
    """Tell whether eSpeak says a sign between two numbers, in the language itself."""
    (with_sign, without) = _backend(language).phonemize([f"2 {sign} 3", "2 3"], strip=True)
    in_other_language = LANGUAGE_SWITCH.search(with_sign) is not None
    return with_sign != without and not in_other_language


@functools.lru_cache(maxsize=256)
def decimal_sign(language: str, usual: str) -> str:
    """Return the sign that eSpeak reads as the one before a fraction: the usual one, if it does."""
    other = "." if usual == "," else ","
    for sign in (usual, other):
        asked = [f"3{sign}5", "3 5", f"1{sign}234", "1234", "1 234"]
        fraction, pair, thousands, number, parts = _backend(language).phonemize(asked, strip=True)
        if fraction != pair and thousands not in (number, parts):
            return sign
    return usual


def _steady(answer: str, text: str, language: str) -> str:
    """Ask again where a text has words of another language, so that they are read alike each time.

    eSpeak chooses between readings of such words, as of "live" or "house", by what it last said in
    that language: it resets these flags for the voice's own language alone. Words of two other
    scripts in between make it reset them. This steadies most voices, not all
    (docs/design/corpus.md).
    """
    if not LANGUAGE_SWITCH.search(answer):
        return answer
    backend = _backend(language)
    backend.phonemize(_WORDS_OF_OTHER_SCRIPTS, strip=True)
    return str(backend.phonemize([text], strip=True)[0])


@functools.lru_cache(maxsize=8)
def _backend(language: str) -> Any:
    # phonemizer warns of each word that eSpeak says in another language
    quiet = logging.getLogger("vibesweep.phonemizer")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    return _backend_class()(
        language,
        punctuation_marks=_NO_PUNCTUATION,
        with_stress=True,
        language_switch="keep-flags",
        logger=quiet,
    )


@functools.lru_cache(maxsize=1)
def _backend_class() -> Any:
    """Return phonemizer's class for eSpeak, told where eSpeak NG lies."""
    espeak = load_espeak()
    require_packages("phonemes", "phonemizer")
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(str(espeak.library))
    EspeakWrapper.set_data_path(str(espeak.data))
    return EspeakBackend
