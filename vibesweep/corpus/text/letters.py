"""The letters of a language, and the signs that belong to the word they stand in.

A sign inside a word (a zero-width non-joiner, the dot of Catalan l·l, an okina, a combining mark)
is handed on with its word: eSpeak, not we, knows what the word is without it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import regex

from vibesweep.corpus.text.language import base_language

# Letters of scripts that are written together, by the names of CLDR's likely subtags. Han
# characters are Mandarin in any case.
_LETTERS_OF_SCRIPT = {
    "Jpan": "\\p{Hira}\\p{Kana}ー",
    "Kore": "\\p{Hang}",
    "Hans": "",
    "Hant": "",
    "Latn": "",
}
# Languages that eSpeak reads in more scripts than CLDR names, or in one that it does not name
_FURTHER_LETTERS = {
    "az": "\\p{Cyrl}",
    "bs": "\\p{Cyrl}",
    "en-shaw": "\\p{Shaw}",
    "ku": "\\p{Arab}",
    "uz": "\\p{Cyrl}",
}
_LATIN = "\\p{Latin}½¼¾²³µ"
_MARKS = "\\p{Mn}\\p{Mc}"
_JOINERS = "\u200c\u200d"
_MIDDLE_DOT = "·"
_OKINA = "ʻ"
_GERSHAYIM = "״"
_AS_GERSHAYIM = '["”“]'
_NAMES_OKINA = frozenset({"haw", "uz", "gn"})
"""Languages whose rules in eSpeak have the okina; in others it would be spelled by its number."""
UNSPACED = r"\p{Han}\p{Hira}\p{Kana}\p{Thai}\p{Laoo}\p{Khmr}\p{Mymr}"
"""Letters of scripts without blanks between words: a number may follow. For character classes."""
_NOT_ASCII = regex.compile(r"[^\x00-\x7f]")


def script_of(language: str) -> str | None:
    """Return the script that a language is mostly written in, by CLDR's name: ``Arab``."""
    from babel.core import get_global

    likely = get_global("likely_subtags")
    with_region = language.replace("-", "_")
    tag = likely.get(with_region) or likely.get(base_language(language))
    if tag is None:
        return None
    _, script, *_ = str(tag).split("_")
    return script


@functools.lru_cache(maxsize=8)
def is_letter(language: str) -> Any:
    """Return a pattern of one letter: Latin, or of the language's own scripts.

    Where the script is not known it matches all letters.
    """
    letters = _letters(language)
    return regex.compile(rf"[{letters}]")


def signs_inside_words(text: str, language: str) -> Mapping[int, str]:
    """Find the signs that are no letters and belong to the word around them.

    Returns:
        What eSpeak is given for the character at each position.
    """
    if not _NOT_ASCII.search(text):
        return {}
    found: dict[int, str] = {}
    for match in _signs_in_words(language).finditer(text):
        sign = _spoken_as(match, language)
        found |= dict.fromkeys(range(*match.span()), sign)
        if match["marks"]:
            found |= dict(enumerate(match["marks"], start=match.start()))
    return found


def _spoken_as(match: Any, language: str) -> str:
    if match["quote"]:
        return _GERSHAYIM
    if match["okina"] and base_language(language) not in _NAMES_OKINA:
        return "'"
    sign: str = match[0]
    return sign


@functools.lru_cache(maxsize=8)
def _signs_in_words(language: str) -> Any:
    """Return a pattern of marks and joiners after a letter, and of signs between two letters."""
    letters = f"[{_letters(language)}]"
    return regex.compile(
        rf"(?<={letters})(?P<marks>[{_MARKS}{_JOINERS}]+)"
        rf"|(?P<okina>(?<={letters}[{_MARKS}]*){_OKINA}|{_OKINA}(?={letters}))"
        rf"|(?<={letters}[{_MARKS}]*){_MIDDLE_DOT}(?={letters})"
        rf"|(?P<quote>(?<=\p{{Hebr}}){_AS_GERSHAYIM}(?=\p{{Hebr}}))"
    )


def _letters(language: str) -> str:
    """Return the inside of a character class."""
    script = script_of(language)
    further = _FURTHER_LETTERS.get(language, "")
    if script is None:
        return rf"\p{{L}}{_MARKS}½¼¾²³"
    vowel_signs_are_marks = rf"\p{{{script}}}{_MARKS}"
    own = _LETTERS_OF_SCRIPT.get(script, vowel_signs_are_marks)
    return f"{_LATIN}{own}{further}"
