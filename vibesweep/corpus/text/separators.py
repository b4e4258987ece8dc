"""Thousands and fractions: 1.234,56, 1,234.56, 1 234,56 and 1'234.56 become one way of writing.

Which sign is which is told by the number where it can be (two different signs, a sign twice, groups
that are not of three digits) and by the language where it cannot. What could have been read the
other way is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import regex

from vibesweep.corpus.text.letters import UNSPACED
from vibesweep.corpus.text.number_style import NumberStyle

NARROW_BLANKS = "\u00a0\u2005\u2006\u2007\u2008\u2009\u200a\u202f"
_GAP = f"[{NARROW_BLANKS}'’]"
_CURRENCY = r"(?:\p{Sc}|\b(?:EUR|USD|GBP|CHF|Euro?s?|euros?|dollars?)(?!\p{L}))"
_MONTHS_AND_LISTS = (
    r"(?i:\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)\p{L}*\.?"
    r"|\b(?:chapters|rooms|pages|verses|lines|numbers|sections|articles|figures|questions|flights"
    r"|items|exercises|hymns|psalms|levels|routes))\s"
)
_NOT_INSIDE = rf"(?V1)(?<![[\p{{L}}\p{{N}}/]--[{UNSPACED}]]|\d[.,:])"
_FRACTION = r"(?:(?P<sign>[.,])(?P<fraction>\d+))?(?![.,:]?\d)"
_BLANK_GROUPS = regex.compile(
    rf"{_NOT_INSIDE}(?P<whole>[1-9]\d{{0,2}}(?:{_GAP}\d{{3}})+)(?!{_GAP}\d){_FRACTION}"
)
_PLAIN_GROUPS = regex.compile(
    rf"{_NOT_INSIDE}(?<!\d\s)(?<!\b0\d*[\s-])(?P<whole>[1-9]\d{{0,2}}(?: \d{{3}})+)"
    rf"(?! ?\d|-\d){_FRACTION}"
)
_LISTED = regex.compile(rf"{_MONTHS_AND_LISTS}$")
_SIGNED = regex.compile(rf"{_NOT_INSIDE}(?P<number>\d+(?:[.,]\d+)+)(?!\p{{N}}|[.,:/]\d)")
_CURRENCY_BEFORE = regex.compile(rf"{_CURRENCY}\s?$")
_UNIT_AFTER = regex.compile(
    rf"\s?(?:{_CURRENCY}|[%‰°]|(?:[kmc]?m|[kmµ]?g|m?l|kWh?|[kMGT]B|km/h)(?!\p{{L}}))"
)
_NO_DIGIT = regex.compile(r"\D")
_DIGITS = regex.compile(r"\d+")
_SEPARATOR = regex.compile("[.,]")


@dataclass(frozen=True)
class ReadNumbers:
    """A text whose numbers are written in one way.

    Attributes:
        text: the text.
        doubtful: numbers that could be read otherwise, each with the reading taken.
    """

    text: str
    doubtful: Counter[str]


@dataclass(frozen=True)
class _Number:
    whole: str
    fraction: str = ""
    doubt: str = ""
    has_groups: bool = True


def write_plainly(text: str, style: NumberStyle) -> ReadNumbers:
    """Write thousands and fractions as the reader of a language wants them."""
    writer = _Writer(style)
    text = _SIGNED.sub(writer.with_signs, text)
    text = _BLANK_GROUPS.sub(writer.with_blanks, text)
    text = _PLAIN_GROUPS.sub(writer.with_plain_blanks, text)
    return ReadNumbers(text, writer.doubtful)


class _Writer:
    """Writes the numbers of one text, and counts those that could be read otherwise."""

    def __init__(self, style: NumberStyle) -> None:
        self._style = style
        self.doubtful: Counter[str] = Counter()

    def with_signs(self, match: Any) -> str:
        found: str = match["number"]
        number = _number_of(found, self._style.decimal, _is_measured(match))
        if number is None:
            return found
        if number.doubt:
            self.doubtful[f"{found} {number.doubt}"] += 1
        return self._written(number)

    def with_blanks(self, match: Any) -> str:
        whole = _NO_DIGIT.sub("", match["whole"])
        fraction = match["fraction"] or ""
        number = _Number(whole, fraction)
        return self._written(number)

    def with_plain_blanks(self, match: Any) -> str:
        found: str = match[0]
        if match["whole"].count(" ") > 1:
            return self.with_blanks(match)
        if _LISTED.search(match.string, endpos=match.start()):
            self.doubtful[f"{found} as two numbers"] += 1
            return found
        self.doubtful[f"{found} as one number"] += 1
        return self.with_blanks(match)

    def _written(self, number: _Number) -> str:
        whole = number.whole
        if number.has_groups:
            grouped = f"{int(whole):,}"
            whole = grouped.replace(",", self._style.read_group)
        if not number.fraction:
            return whole
        return f"{whole}{self._style.read_decimal}{number.fraction}"


def _is_measured(match: Any) -> bool:
    """Whether a currency or a unit beside the number says that it is an amount."""
    before = _CURRENCY_BEFORE.search(match.string, endpos=match.start())
    after = _UNIT_AFTER.match(match.string, match.end())
    return before is not None or after is not None


def _number_of(found: str, decimal: str, is_measured: bool) -> _Number | None:
    """Read a number with points or commas in it; None where it is no number of thousands.

    Such are versions and addresses (1.2.3), dates (3.5.2024) and, of foreign signs, all that may be
    two numbers (3.5 in German).
    """
    signs = _DIGITS.sub("", found)
    parts = _SEPARATOR.split(found)
    sign = signs[0]
    if signs[-1] != sign:
        return _with_both_signs(parts, signs)
    are_thousands = _are_thousands(parts, sign)
    if len(signs) > 1:
        is_network_address = sign == "." and _is_network_address(parts)
        if not are_thousands or is_network_address:
            return None
        doubt = "as thousands" if sign == decimal == "." else ""
        return _Number("".join(parts), doubt=doubt)
    whole, rest = parts
    if are_thousands and sign == decimal:
        return _Number(whole, rest, doubt="as a fraction")
    if are_thousands:
        return _Number(whole + rest)
    is_fraction = sign == decimal or is_measured or whole == "0"
    return _Number(whole, rest, has_groups=False) if is_fraction else None


def _with_both_signs(parts: list[str], signs: str) -> _Number | None:
    """Read 1.234,56: the last sign goes before the fraction."""
    *groups, fraction = parts
    is_last_alone = signs.count(signs[-1]) == 1
    if not is_last_alone or not _are_thousands(groups, signs[0]):
        return None
    return _Number("".join(groups), fraction)


def _are_thousands(parts: list[str], sign: str) -> bool:
    """Whether parts are groups of thousands, or of lakhs and crores (12,34,567)."""
    head, *groups = parts
    if head.startswith("0") or len(head) > 3:
        return False
    lengths = {len(group) for group in groups}
    if lengths == {3}:
        return True
    *middle, last = groups
    lengths_of_middle = {len(group) for group in middle}
    is_indian = sign == "," and len(head) < 3
    return is_indian and len(last) == 3 and lengths_of_middle == {2}


def _is_network_address(parts: list[str]) -> bool:
    largest = max(int(part) for part in parts)
    return len(parts) == 4 and largest < 256
