"""eSpeak's answers become IPA: its own marks are left out, or put into IPA where they say a sound.

eSpeak writes a phoneme that has no IPA name by its mnemonic, in ASCII: ``'`` and ``"`` for
stresses, ``-``, ``#`` and ``+`` for variants, digits for tones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

import regex

# eSpeak marks the words for which it switches to another language, and the way back: "(en)...(de)"
LANGUAGE_SWITCH = regex.compile(r"\(([a-z][\w-]*)\)")

_TIE_BARS = frozenset("\u0361\u035c")
_IPA_OF_MARKS = {":": "ː", "?": "ʔ", "`": "ʼ", "^": "ʲ"}
_RETROFLEX = {"r": "ɽ", "s": "ʂ", "z": "ʐ", "t": "ʈ", "d": "ɖ", "n": "ɳ", "l": "ɭ"}
_RETROFLEX_LETTER = regex.compile(r"([rstdnlz])(\u032a?)\.")

# eSpeak's numbers of tones by language; it writes tone 3 as ɜ
_LEVELS = {"1": "˩", "2": "˨", "ɜ": "˧", "4": "˦", "5": "˥"}
_VIETNAMESE = {"1": "˧", "2": "˨˩", "ɜ": "˧˥", "4": "˧˩˨", "5": "˧˥ˀ", "6": "˨˩ˀ", "7": "˦˥"}
_CANTONESE = {"1": "˥", "2": "˨˥", "ɜ": "˧", "4": "˨˩", "5": "˨˧", "6": "˨", "7": "˥"}
_HAKKA = {"1": "˨˦", "2": "˩", "ɜ": "˧˩", "4": "˥", "5": "˨", "6": "˥"}
_TONES: Mapping[str, Mapping[str, str]] = {
    "vi": _VIETNAMESE,
    "yue": _CANTONESE,
    "hak": _HAKKA,
    "cmn": _LEVELS,
    "th": _LEVELS,
    "my": _LEVELS,
    "shn": _LEVELS,
}


def ipa_characters(answer: str, language: str) -> list[str]:
    """Return the characters of an answer that are phonemes, stresses, lengths, tones or blanks.

    Args:
        answer: eSpeak's, with the marks of its switches to other languages.
        language: the voice that was asked.
    """
    spoken_in = language
    kept = []
    start = 0
    for switch in LANGUAGE_SWITCH.finditer(answer):
        before = answer[start : switch.start()]
        kept.append(_ipa(before, spoken_in))
        spoken_in = switch[1]
        start = switch.end()
    rest = answer[start:]
    kept.append(_ipa(rest, spoken_in))
    words = "".join(kept).split()
    spaced = " ".join(words)
    composed = unicodedata.normalize("NFC", spaced)
    return list(composed)


def _ipa(stretch: str, language: str) -> str:
    base = language.split("-")[0]
    tones = _TONES.get(base, {})
    with_retroflexes = _RETROFLEX_LETTER.sub(_retroflex, stretch)
    symbols = [_symbols_of(char, tones) for char in with_retroflexes]
    return "".join(symbols)


def _retroflex(match: Any) -> str:
    return _RETROFLEX[match[1]]


def _symbols_of(char: str, tones: Mapping[str, str]) -> str:
    """Return what stands for one character of eSpeak's: nothing where it is a mark of its own."""
    if char in tones:
        return tones[char]
    char = _IPA_OF_MARKS.get(char, char)
    kind = unicodedata.category(char)[0]
    is_sound = kind in "LM" and char not in _TIE_BARS
    is_kept = is_sound or char.isspace()
    return char if is_kept else ""
