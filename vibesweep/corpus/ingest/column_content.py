"""What a column of a table may hold, by its values alone."""

from __future__ import annotations

import difflib
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

NAME_WORDS = 3
NAME_LETTERS = 40
LONGEST_NAME = 60
MOST_DISTINCT = 0.9  # of a column's values: names of people recur more often than that
OFTEN = 0.5  # of a column's values: each comes twice
SIMILAR = 0.55  # a text and its normalised form reach .7 and more, two sentences of a book .4
COMPARED_ROWS = 60
COMPARED_LETTERS = 200

_CODE = re.compile(r"\w*[\d_]\w*")
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


@dataclass(frozen=True)
class ColumnContent:
    """The values of a column.

    Attributes:
        index: of the column, from 0.
        values: of all rows; empty where a cell is.
        kind: what they look like.
    """

    index: int
    values: tuple[str, ...]
    kind: Kind

    @classmethod
    def of(cls, index: int, values: Sequence[str]) -> ColumnContent:
        """Look at the values of a column."""
        kind = _kind_of([value for value in values if value])
        return cls(index, tuple(values), kind)

    @property
    def filled(self) -> list[str]:
        """The values that are not empty."""
        return [value for value in self.values if value]

    @property
    def recurs_often(self) -> bool:
        """Whether values come twice or more on average."""
        filled = self.filled
        distinct = set(filled)
        return 2 * len(distinct) <= len(filled)

    @property
    def holds_codes(self) -> bool:
        """Whether every value is like p225, spk_1 or 4."""
        return all(_CODE.fullmatch(value) for value in self.filled)

    def __str__(self) -> str:
        """Say how many values it has, and what they look like."""
        rows = len(self.filled)
        values = len(set(self.filled))
        number = self.index + 1
        return f"column {number} has {values} values in {rows} rows ({self.kind})"


def _kind_of(filled: Sequence[str]) -> Kind:
    """Tell what a column holds: few repeated short values are people, long varying ones text."""
    if not filled:
        return Kind.EMPTY
    if _are_decimals(filled):
        return Kind.NUMBER
    distinct = set(filled)
    small = {value.lower() for value in distinct}
    if small <= LABELS:
        return Kind.LABEL
    share = len(distinct) / len(filled)
    if all(_is_name(value) for value in distinct):
        return Kind.SPEAKER if share <= MOST_DISTINCT else Kind.EITHER
    longest = max(len(value) for value in distinct)
    may_be_names = share <= OFTEN and longest <= LONGEST_NAME
    return Kind.EITHER if may_be_names else Kind.TEXT


def _are_decimals(values: Sequence[str]) -> bool:
    """Tell whether all values are numbers, and not all of them whole: those may be people."""
    has_point = False
    for value in values:
        if not _NUMBER.fullmatch(value):
            return False
        has_point |= "." in value
    return has_point


def _is_name(value: str) -> bool:
    if _SENTENCE_END.search(value):
        return False
    if len(value) > NAME_LETTERS:
        return False
    return _words_in(value) <= NAME_WORDS


def _words_in(value: str) -> float:
    """Count words, by letters where the script has no blanks."""
    spaced = len(value.split())
    unspaced = len(_UNSPACED.findall(value))
    return max(spaced, unspaced / _UNSPACED_LETTERS_A_WORD)


def are_similar(first: ColumnContent, second: ColumnContent) -> bool:
    """Tell whether two columns hold the same texts, one of them normalised."""
    pairs = []
    for one, other in zip(first.values, second.values, strict=True):
        if one and other:
            pairs.append((one, other))
    if not pairs:
        return False
    step = max(1, len(pairs) // COMPARED_ROWS)
    sample = pairs[::step]
    ratios = [_likeness(one, other) for one, other in sample]
    return statistics.median(ratios) >= SIMILAR


def _likeness(one: str, other: str) -> float:
    start = one[:COMPARED_LETTERS].lower()
    other_start = other[:COMPARED_LETTERS].lower()
    matcher = difflib.SequenceMatcher(None, start, other_start, autojunk=False)
    return matcher.ratio()
