"""What a column of a table may hold, by its values alone."""

from __future__ import annotations

import difflib
import re
import statistics
from collections.abc import Sequence
from enum import StrEnum

NAME_WORDS = 3
NAME_LETTERS = 40
LONGEST_NAME = 60
MOST_DISTINCT = 0.9  # of a column's values: names of people recur more often than that
SIMILAR = 0.55  # a text and its normalised form reach .7 and more, two sentences of a book .4
COMPARED_ROWS = 60
COMPARED_LETTERS = 200

_SENTENCE_END = re.compile(r"[.?!,;:…。！？，、]$")
_NUMBER = re.compile(r"[-+]?\d+[.,]?\d*(e-?\d+)?")
# Scripts that put no blanks between words: Thai to Burmese, Khmer, kana and Han
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_UNSPACED_LETTERS_A_WORD = 2

_LANGUAGES = (
    "ar bg bn ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja jp ka kk"
    " kn ko kr la lt lv mk ml mn mr ms mt my ne nl no pa pl pt ro ru sk sl sq sr sv sw ta te th tl"
    " tr uk ur uz vi yue zh cn us gb en-us en-gb en_us en_gb zh-cn zh_cn pt-br pt_br"
    " eng deu fra spa ita rus zho jpn kor english german french spanish chinese japanese"
)
_OTHERS = (
    "train training val valid validation dev test eval m f male female man woman other"
    " true false yes no none null nan neutral happy sad angry anger sadness happiness joy fear"
    " surprise surprised disgust calm excited whisper sleepy amused normal unknown"
    " teens twenties thirties forties fifties sixties seventies"
)
LABELS = frozenset(f"{_LANGUAGES} {_OTHERS}".split())
"""Languages, splits, moods and the like, which look like names of people."""


class Kind(StrEnum):
    """What the values of a column look like."""

    EMPTY = "empty"
    NUMBER = "numbers"
    LABEL = "labels"
    SPEAKER = "people"
    TEXT = "text"
    EITHER = "text or people"


def kind_of(values: Sequence[str]) -> Kind:
    """Tell what a column holds: few repeated short values are people, long varying ones text."""
    filled = [value for value in values if value]
    if not filled:
        return Kind.EMPTY
    if all(_NUMBER.fullmatch(value) for value in filled) and any("." in value for value in filled):
        return Kind.NUMBER
    distinct = set(filled)
    if {value.lower() for value in distinct} <= LABELS:
        return Kind.LABEL
    recurs = len(distinct) <= MOST_DISTINCT * len(filled)
    if all(_is_name(value) for value in distinct):
        return Kind.SPEAKER if recurs else Kind.EITHER
    longest = max(len(value) for value in distinct)
    recurs_often = 2 * len(distinct) <= len(filled)
    return Kind.EITHER if recurs_often and longest <= LONGEST_NAME else Kind.TEXT


def _is_name(value: str) -> bool:
    is_short = len(value) <= NAME_LETTERS and words_in(value) <= NAME_WORDS
    return is_short and not _SENTENCE_END.search(value)


def words_in(value: str) -> float:
    """Count words, by letters where the script has no blanks."""
    unspaced = len(_UNSPACED.findall(value))
    return max(len(value.split()), unspaced / _UNSPACED_LETTERS_A_WORD)


def recurs_often(values: Sequence[str]) -> bool:
    """Tell whether values come twice or more on average."""
    filled = [value for value in values if value]
    return 2 * len(set(filled)) <= len(filled)


def are_similar(first: Sequence[str], second: Sequence[str]) -> bool:
    """Tell whether two columns hold the same texts, one of them normalised."""
    pairs = [pair for pair in zip(first, second, strict=True) if all(pair)]
    step = max(1, len(pairs) // COMPARED_ROWS)
    ratios = [_likeness(one, other) for one, other in pairs[::step]]
    return bool(ratios) and statistics.median(ratios) >= SIMILAR


def _likeness(one: str, other: str) -> float:
    start = one[:COMPARED_LETTERS].lower()
    other_start = other[:COMPARED_LETTERS].lower()
    return difflib.SequenceMatcher(None, start, other_start, autojunk=False).ratio()
