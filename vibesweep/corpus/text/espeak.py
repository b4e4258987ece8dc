"""The IPA of texts in eSpeak NG's voices, and how these read signs and fractions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vibesweep.corpus.text.espeak_library import EspeakReader, voices_by_language
from vibesweep.corpus.text.ipa import LANGUAGE_SWITCH, ipa_characters

_WORDS_OF_OTHER_SCRIPTS = ("да", "ναι")


@functools.lru_cache(maxsize=1)
def espeak_languages() -> tuple[str, ...]:
    """List the languages that eSpeak NG has a voice for, sorted.

    Raises:
        CorpusError: eSpeak NG is not installed.
    """
    return tuple(sorted(voices_by_language()))


def pronounce(texts: Sequence[str], language: str) -> list[list[str]]:
    """Return the IPA characters of each text.

    Args:
        texts: stretches without pauses.
        language: one of :func:`espeak_languages`.
    """
    asked = [" ".join(text.split()) for text in texts]
    answers = [_reader(language).read(text) for text in asked]
    return [
        ipa_characters(_steady(answer, text, language), language)
        for text, answer in zip(asked, answers, strict=True)
    ]


@functools.lru_cache(maxsize=4096)
def says_sign(sign: str, language: str) -> bool:
    """Tell whether eSpeak says a sign between two numbers, in the language itself."""
    reader = _reader(language)
    with_sign = reader.read(f"2 {sign} 3")
    without = reader.read("2 3")
    in_other_language = LANGUAGE_SWITCH.search(with_sign) is not None
    return with_sign != without and not in_other_language


@functools.lru_cache(maxsize=256)
def decimal_sign(language: str, usual: str) -> str:
    """Return the sign that eSpeak reads as the one before a fraction: the usual one, if it does."""
    other = "." if usual == "," else ","
    for sign in (usual, other):
        asked = [f"3{sign}5", "3 5", f"1{sign}234", "1234", "1 234"]
        fraction, pair, thousands, number, parts = map(_reader(language).read, asked)
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
    reader = _reader(language)
    for word in _WORDS_OF_OTHER_SCRIPTS:
        reader.read(word)
    return reader.read(text)


@functools.cache  # a library stays loaded all the same, and would be initialized a second time
def _reader(language: str) -> EspeakReader:
    return EspeakReader(language)
