"""Feet and inches become words: 27", 5'11", 6′. A quote after a number may end a quotation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import regex

from vibesweep.corpus.text.signs import AMOUNT, OPENING
from vibesweep.corpus.text.wording import FOOT, INCH, Wording

_HEIGHT = regex.compile(r"(?<![\d°′])(\d{1,2})\s?['’′]\s?(\d{1,2})\s?(?:[\"”″]|''|’’)")
_FEET = regex.compile(
    r"(?<![\d°′.,])(\d+)\s?(?:′(?!\s?\d)|['’](?=\s(?:tall|high|wide|long|deep)\b))"
)
_INCHES = regex.compile(rf"(?<![°′]\s?)(?<![\d.,])(?P<number>{AMOUNT})\s?(?P<mark>″|''|\"|”)")
_QUOTE = regex.compile(r"\"|(?<=\d)”|“")
_TOUCHES_DIGIT = regex.compile(r"(?<=\d\s?)[\"”]")


def read_lengths(text: str, wording: Wording) -> str:
    """Say feet and inches, as far as a wording has words for them."""

    def height(match: Any) -> str:
        said = wording.height(match[1], match[2])
        return said or str(match[0])

    def feet(match: Any) -> str:
        said = wording.amount(match[1], FOOT)
        return said or str(match[0])

    def inches(match: Any) -> str:
        may_be_quote = match["mark"] in '"”'
        if may_be_quote and match.start("mark") not in marks:
            return str(match[0])
        said = wording.amount(match["number"], INCH)
        return said or str(match[0])

    text = _HEIGHT.sub(height, text)
    text = _FEET.sub(feet, text)
    marks = _inch_marks(text)
    return str(_INCHES.sub(inches, text))


def _inch_marks(text: str) -> set[int]:
    """Find the quotes that are inch marks: after a digit, where no quotation is open.

    In "a 27" screen" the second one is, because another one closes the quotation.
    """
    quotes = [match.start() for match in _QUOTE.finditer(text)]
    marks = set()
    is_open = False
    for at, following in pairwise([*quotes, len(text)]):
        if _opens(text, at):
            is_open = True
            continue
        another_closes = following < len(text) and not _opens(text, following)
        is_needed = is_open and not another_closes
        if _TOUCHES_DIGIT.match(text, at) and not is_needed:
            marks.add(at)
        else:
            is_open = False
    return marks


def _opens(text: str, at: int) -> bool:
    """Whether a quote begins a quotation."""
    if text[at] == "“":
        return True
    before = text[at - 1 : at]  # empty at the beginning
    after = text[at + 1 : at + 2]
    is_free = not before or before.isspace() or before in OPENING
    return is_free and bool(after) and not after.isspace()
