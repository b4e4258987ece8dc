"""Texts are cut where their script changes: Han, what eSpeak reads, and pauses."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from string import digits

import regex

from vibesweep.corpus.text.espeak import says_sign
from vibesweep.corpus.text.language import base_language
from vibesweep.corpus.text.letters import is_letter, signs_inside_words
from vibesweep.corpus.text.pinyin import has_pinyin

PAUSE_OF = {mark: mark for mark in ",.?!;:"}
PAUSE_OF |= dict(zip("，。？！；：、…—–،؛؟।", ",.?!;:,.,,,;?.", strict=True))
PAUSE_OF |= dict(zip("॥۔։՝።፣፤፥፧၊။", "...,.,;:?,.", strict=True))
"""Punctuation marks, and the pause that each of them stands for."""

_SILENT = frozenset('"“”„‟«»‹›()[]{}*_~（）「」『』【】《》〈〉·・¿¡')
_SPOKEN_SIGNS = frozenset("&%$€£¥₩₹+=@#°±≥≤×÷−")  # eSpeak says them, in many languages
_WORD_SIGNS = frozenset("'’-/ˈ")  # it needs them inside a word
_PLAIN = {"’": "'", "‘": "'", "ʼ": "'", "´": "'", "‑": "-", "‐": "-", "־": "-"}


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


def language_of(text: str, language: str) -> str:
    """Return ``zh`` where a text has a Han character, else the language asked for."""
    has_han = regex.search(r"\p{Han}", text) is not None
    return "zh" if has_han else base_language(language)


def split_by_script(text: str, language: str) -> tuple[list[Run], Counter[str]]:
    """Cut a text where its script changes and at pauses.

    Returns:
        The runs, and the Unicode names of characters that cannot be said, counted.
    """
    pieces: list[Run] = []
    unknown: Counter[str] = Counter()
    inside_words = signs_inside_words(text, language)
    for i, char in enumerate(text):
        plain = _PLAIN.get(char, char)
        run = _classify(plain, language)
        if _is_inside_number(text, i):
            run = Run(Script.WORD, plain)
        if i in inside_words:
            run = Run(Script.WORD, inside_words[i])
        if run.script is Script.UNKNOWN:
            unknown[_name(char)] += 1
            run = _SPACE
        pieces.append(run)
    spoken = [run for run in _joined(pieces) if _is_spoken(run)]
    return spoken, unknown


def _joined(pieces: Iterable[Run]) -> Iterator[Run]:
    """Join neighbours of one script, but for pauses."""
    for script, same in groupby(pieces, key=attrgetter("script")):
        if script is Script.PAUSE:
            yield from same
        else:
            text = "".join(piece.text for piece in same)
            yield Run(script, text)


def _name(char: str) -> str:
    """Return the Unicode name of a character, or its number."""
    number = f"U+{ord(char):04X}"
    return unicodedata.name(char, number)


def _is_spoken(run: Run) -> bool:
    """Whether a run is a pause or has something to say."""
    if run.script is not Script.WORD:
        return True
    has_sign = not _SPOKEN_SIGNS.isdisjoint(run.text)
    return has_sign or any(char.isalnum() or _is_word_sign(char) for char in run.text)


def _is_word_sign(char: str) -> bool:
    """Whether a sign of a language's script stands for a word, as Sindhi's ۽ for and."""
    return unicodedata.category(char) == "So"


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
    if char in _SPOKEN_SIGNS:
        return Run(Script.WORD if says_sign(char, language) else Script.UNKNOWN, char)
    if is_letter(language).match(char):
        return Run(Script.WORD, char)
    return Run(Script.UNKNOWN, char)


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
