"""Texts are cut where their script changes: Han, what eSpeak reads, and pauses."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import regex

from vibesweep.corpus.text.pinyin import has_pinyin

PAUSE_OF = {mark: mark for mark in ",.?!;:"}
PAUSE_OF |= dict(zip("，。？！；：、…—–،؛؟।", ",.?!;:,.,,,;?.", strict=True))
"""Punctuation marks, and the pause that each of them stands for."""

_SILENT = frozenset('"“”„‟«»‹›()[]{}*_~（）「」『』【】《》〈〉·¿¡')
_SPOKEN_SIGNS = frozenset("&%$€£+=@#°")  # eSpeak says them
_WORD_SIGNS = _SPOKEN_SIGNS | frozenset("'’-/ˈ")  # or needs them inside a word
_PLAIN = {"’": "'", "‘": "'", "ʼ": "'", "‑": "-"}

# Letters of scripts that are written together, by the names of CLDR's likely subtags. Han
# characters are Mandarin in any case.
_LETTERS_OF = {
    "Jpan": "\\p{Hira}\\p{Kana}ー",
    "Kore": "\\p{Hang}",
    "Hans": "",
    "Hant": "",
    "Latn": "",
}


class Script(StrEnum):
    """Who reads a character."""

    HAN = "zh"
    WORD = "word"  # eSpeak
    PAUSE = "pause"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Run:
    """A stretch of a text in one script; of a pause, its mark."""

    script: Script
    text: str


def base_language(language: str) -> str:
    """Return a language without its region: ``en`` of ``en-us``."""
    return language.split("-")[0]


def language_of(text: str, language: str) -> str:
    """Return ``zh`` where a text has a Han character, else the language asked for."""
    has_han = regex.search(r"\p{Han}", text) is not None
    return "zh" if has_han else base_language(language)


def split_by_script(text: str, language: str) -> tuple[list[Run], Counter[str]]:
    """Cut a text where its script changes and at pauses.

    Returns:
        The runs, and the Unicode names of characters that cannot be said, counted.
    """
    runs: list[Run] = []
    unknown: Counter[str] = Counter()
    for i, char in enumerate(text):
        script, kept = _classify(_PLAIN.get(char, char), language)
        if script is Script.PAUSE and _is_inside_number(text, i):
            script = Script.WORD
        if script is Script.UNKNOWN:
            unknown[unicodedata.name(char, f"U+{ord(char):04X}")] += 1
            script, kept = Script.WORD, " "
        if runs and runs[-1].script is script and script is not Script.PAUSE:
            runs[-1] = Run(script, runs[-1].text + kept)
        else:
            runs.append(Run(script, kept))
    return [run for run in runs if _is_spoken(run)], unknown


def _is_spoken(run: Run) -> bool:
    """Whether a run is a pause or has something to say."""
    if run.script is not Script.WORD:
        return True
    return any(char.isalnum() or char in _SPOKEN_SIGNS for char in run.text)


@functools.lru_cache(maxsize=65_536)
def _classify(char: str, language: str) -> tuple[Script, str]:
    """Return the script of a character, and what stands for it."""
    if char in PAUSE_OF:
        return Script.PAUSE, PAUSE_OF[char]
    if _is_han(char):
        return Script.HAN if has_pinyin(char) else Script.UNKNOWN, char
    if char.isspace() or char in _SILENT:
        return Script.WORD, " "
    if char in _WORD_SIGNS or char in "0123456789" or _letters(language).fullmatch(char):
        return Script.WORD, char
    return Script.UNKNOWN, char


@functools.lru_cache(maxsize=8)
def _letters(language: str) -> Any:
    """Return a pattern of Latin letters and of those of the language's own script.

    Where the script is not known it matches all letters.
    """
    from babel.core import get_global

    likely = get_global("likely_subtags")
    tag = likely.get(language.replace("-", "_")) or likely.get(base_language(language))
    if tag is None:
        return regex.compile(r"[\p{L}\p{M}]")
    script = str(tag).split("_")[1]
    own = _LETTERS_OF.get(script, rf"\p{{{script}}}\p{{M}}")  # vowel signs are marks
    return regex.compile(rf"[\p{{Latin}}½¼¾²³{own}]")


def _is_inside_number(text: str, i: int) -> bool:
    """Whether the mark at i is the point of 3.5 or the comma of 1,000."""
    if text[i] not in ".,:" or not 0 < i < len(text) - 1:
        return False
    return text[i - 1].isdecimal() and text[i + 1].isdecimal()


def _is_han(char: str) -> bool:
    return char == "〇" or unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")
