"""Telephone numbers are read digit by digit."""

from __future__ import annotations

from typing import Any

import regex

from vibesweep.corpus.text.letters import UNSPACED
from vibesweep.corpus.text.wording import Wording

_BLANK = "[ \u00a0\u2009\u202f]"
_GAP = rf"(?:\.|{_BLANK}?[/()‑–-]{{1,2}}{_BLANK}?|{_BLANK})"
_BEFORE = rf"(?<![[\w.,:/+-]--[{UNSPACED}]])"
_CUE = (
    r"(?i:\b(?:tel|tél|phone|fax|call|dial|ring|mobile|hotline|telephone|téléphone|teléfono"
    r"|telefon\p{L}*|тел|телефон\p{L}*|appelez|llame|ligue|chiama|ruf|anruf\p{L}*)\b|电话|電話|전화)"
    r"[\s.:]*(?:\p{L}{1,6}[\s.:]+){0,2}"
)
_NUMBER = regex.compile(
    # with the country's code
    rf"(?V1)(?<![\w+])\+[1-9]\d{{0,3}}(?:{_GAP}\d+)+|(?<![\w+])\+[1-9]\d{{8,14}}"
    # with the zero before an area's code
    rf"|{_BEFORE}\(?0\d{{1,5}}\)?(?:{_GAP}\d{{2,}})+(?!\d)|{_BEFORE}0\d{{6,14}}(?!\d)"
    # North American
    r"|(?<![\w-])(?:\+?1[ .-])?\(?\d{3}\)?[ .-]{1,2}\d{3}[.-]\d{4}(?![\d-])"
    r"|(?<![\w-])(?:\+?1[ .-])?\(?[2-9]\d\d\)?[ ]\d{3}[ ]\d{4}(?![\d-])"
    # after a word that announces it
    rf"|(?<={_CUE})\d+(?:{_GAP}\d+)*"
)
_SPOKEN = regex.compile(r"[\d+]")
_LOCAL = regex.compile(r"(?<![\w-])\d\d[1-9]-\d{4}(?![\d-])")
_SHORTEST = 7
"""Digits of a telephone number."""
_DATE = regex.compile(
    r"\d\d?([./ -])\d\d?\1(?:\d{4}(?!\d)|\d\d(?!\d|\1\d))|\d{4}([./-])\d\d?\2\d\d?(?!\d)"
)
_TIMES = regex.compile(r"[0-2]\d[.:]?[0-5]\d\s?[-–]\s?[0-2]\d[.:]?[0-5]\d")
_THOUSANDS = regex.compile(r"\+?\d{1,2}(?:[\s.]\d{3})+")


def read_telephones(text: str, wording: Wording) -> str:
    """Say the digits of telephone numbers one by one."""

    def read(match: Any) -> str:
        found: str = match[0]
        return spelled(match) if _is_telephone(found) else found

    def spelled(match: Any) -> str:
        signs = _SPOKEN.findall(match[0])
        names = [wording.digits.get(sign, sign) for sign in signs]
        return wording.between_digits.join(names)

    text = _NUMBER.sub(read, text)
    if wording.has_local_telephones:
        text = _LOCAL.sub(spelled, text)
    return text


def _is_telephone(found: str) -> bool:
    """Tell a telephone number from dates, opening hours and amounts."""
    digits = sum(char.isdecimal() for char in found)
    if digits < _SHORTEST or _DATE.match(found) or _TIMES.fullmatch(found):
        return False
    return not _THOUSANDS.fullmatch(found)
