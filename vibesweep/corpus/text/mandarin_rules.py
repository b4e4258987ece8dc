"""Mandarin numbers: which of them wetext's grammar is given, and what is rewritten before."""

from __future__ import annotations

from typing import Any

import regex

from vibesweep.corpus.text.normalization_rules import (
    NormalizationRules,
    compile_rewrites,
)

_HAN_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
_AMOUNT = r"\d+(?:\.\d+)?"

_NUMBER = regex.compile(
    r"\p{Han}{0,4}"
    r"(?:[$€£¥+\-±]{0,2}\d[\d.:/%°℃℉×=+\-<>]*(?:\s?[A-Za-zµ]{1,3}(?![A-Za-z]))?[²³]?\p{Han}{0,4})+"
)


def _decimal(match: Any) -> str:
    """Say the digits after the point one by one; the grammar takes 12.5 for a date."""
    whole, digits = match.groups()
    in_words = digits.translate(_HAN_DIGITS)
    return f"{whole}点{in_words}"


_BEFORE = compile_rewrites(
    (r"(?<=\p{Han})\s+(?=[\d$¥€£])|(?<=\d)\s+(?=\p{Han})", ""),
    # ranges of years and of other numbers
    (r"(?<!\d)(\d{4})年?[-–—~～至到](\d{4})年", r"\1年到\2年"),
    (
        r"(?<![-\d.:/])(?!0\d)(\d[\d.:]*%?)\s?[-–—~～]\s?(?!0\d|\d{7})(\d[\d.:]*)(?![-\d/])",
        r"\1到\2",
    ),
    (r"(?<![\d.$€£¥])(\d+)\.(\d+)(?![\d.%‰°℃℉]|\s?[A-Za-z])", _decimal),
    # money and units
    (rf"({_AMOUNT})\s?([¥$€£])", r"\2\1"),
    (rf"¥({_AMOUNT})元", r"\1元"),
    (rf"({_AMOUNT})‰", r"千分之\1"),
    (r"(\d:\d\d)分", r"\1"),
    (r"㎡", "平方米"),
    # two as an ordinal, and before a measure word
    (r"第2(?!\d)", "第二"),
    (r"(?<![\d.点:/-])2(?=[次种倍台部])", "两"),
)

MANDARIN = NormalizationRules("zh", regex.compile(r"\d"), _BEFORE, _NUMBER)
