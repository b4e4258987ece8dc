"""Texts are cut where their script changes: Han, what eSpeak reads, and pauses."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from string import digits
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


_SPACE = Run(Script.WORD, " ")


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
        plain = _PLAIN.get(char, char)
        run = _classify(plain, language)
        if _is_inside_number(text, i):
            run = Run(Script.WORD, plain)
        if run.script is Script.UNKNOWN:
            unknown[_name(char)] += 1
            run = _SPACE
        _append(runs, run)
    spoken = [run for run in runs if _is_spoken(run)]
    return spoken, unknown


def _append(runs: list[Run], run: Run) -> None:
    """Add a run; one in the script of the last run becomes part of it, unless it is a pause."""
    if runs and run.script is not Script.PAUSE:
        last = runs[-1]
        if last.script is run.script:
            runs.pop()
            run = Run(run.script, last.text + run.text)
    runs.append(run)


def _name(char: str) -> str:
    """Return the Unicode name of a character, or its number."""
    number = f"U+{ord(char):04X}"
    return unicodedata.name(char, number)


def _is_spoken(run: Run) -> bool:
    """Whether a run is a pause or has something to say."""
    if run.script is not Script.WORD:
        return True
    has_sign = not _SPOKEN_SIGNS.isdisjoint(run.text)
    return has_sign or any(char.isalnum() for char in run.text)


@functools.lru_cache(maxsize=65_536)
def _classify(char: str, language: str) -> Run:
    """Return a run of one character, or of what stands for it."""
    if char in PAUSE_OF:
        return Run(Script.PAUSE, PAUSE_OF[char])
    if _is_han(char):
        script = Script.HAN if has_pinyin(char) else Script.UNKNOWN
        return Run(script, char)
    if char.isspace() or char in _SILENT:
        return _SPACE
    if char in _WORD_SIGNS or char in digits:
        return Run(Script.WORD, char)
    if _letters(language).fullmatch(char):
        return Run(Script.WORD, char)
    return Run(Script.UNKNOWN, char)


@functools.lru_cache(maxsize=8)
def _letters(language: str) -> Any:
    """Return a pattern of Latin letters and of those of the language's own script.

    Where the script is not known it matches all letters.
    """
    from babel.core import get_global

    likely = get_global("likely_subtags")
    with_region = language.replace("-", "_")
    tag = likely.get(with_region) or likely.get(base_language(language))
    if tag is None:
        return regex.compile(r"[\p{L}\p{M}]")
    _, script, *_ = str(tag).split("_")
    letters_and_marks = rf"\p{{{script}}}\p{{M}}"  # vowel signs are marks
    own = _LETTERS_OF.get(script, letters_and_marks)
    return regex.compile(rf"[\p{{Latin}}½¼¾²³{own}]")


def _is_inside_number(text: str, i: int) -> bool:
    """Whether the mark at i is the point of 3.5 or the comma of 1,000."""
    if text[i] not in ".,:":
        return False
    before = text[i - 1 : i]  # empty at the beginning
    after = text[i + 1 : i + 2]
    return before.isdecimal() and after.isdecimal()


def _is_han(char: str) -> bool:
    name = unicodedata.name(char, "")
    return char == "〇" or name.startswith("CJK UNIFIED IDEOGRAPH")
