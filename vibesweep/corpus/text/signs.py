"""Signs around numbers become words: −5, ±2, ≥3, €5, 20 °C."""

from __future__ import annotations

import functools
from typing import Any

import regex

from vibesweep.corpus.text.letters import UNSPACED
from vibesweep.corpus.text.wording import CELSIUS, FAHRENHEIT, PERCENT, Wording

AMOUNT = r"\d+(?:[.,]\d+)*"
_MONEY_SIGNS = "€$£¥₩₹₽₴₺₫₪₦₱฿₿"
_DASHES = "−–‐‑﹣-"
_HEAD = rf"(?V1)(?<![[\p{{L}}\p{{N}})\]%°\"”'’.,:/…]--[{UNSPACED}]]|\d\s)"
_NUMBER_AHEAD = rf"(?=[{_MONEY_SIGNS}]?\s?[.,]?\d)"
_MINUS = regex.compile(rf"{_HEAD}(?:−\s?|[{_DASHES}]){_NUMBER_AHEAD}")
_SUBTRACTION = regex.compile(
    r"(?<=[\p{N})\]%])\s?−\s?(?=[\p{L}\p{N}(])|(?<=\p{L})\s−\s(?=[\p{L}\p{N}(])"
)
_SIGN = regex.compile(r"\s?([±≥≤])\s?(?=[\p{Sc}\p{L}\p{N}(−-])|(?<=\d)\s?([×÷])\s?(?=\d)")
_MAGNITUDE = (
    r"(?:\s(?:thousand|[mbtr]+illi?on(?:s|es|en|i)?|Mio\.?|Mrd\.?|Million(?:en)?|Milliarden?"
    r"|milliards?|mille|mil|mill(?:ón|ones)|milh(?:ão|ões)|milion[ei]?|miliard[aiy]?|milj\w+"
    r"|тыс\.?|тысяч\w*|млн\.?|млрд\.?|миллион\w*|миллиард\w*)(?!\p{L}))?"
)
_MONEY = regex.compile(
    rf"(?P<before>[{_MONEY_SIGNS}])\s?(?P<first>{AMOUNT}{_MAGNITUDE})"
    rf"|(?P<second>{AMOUNT}{_MAGNITUDE})\s?(?P<after>[{_MONEY_SIGNS}])"
)
_DEGREES = regex.compile(
    rf"(?P<number>{AMOUNT})\s?(?:°\s?(?P<unit>[CF])(?!\p{{L}})|(?P<wide>[℃℉]))"
)
_PERCENT = regex.compile(rf"(?P<number>{AMOUNT})\s?%")
OPENING = "([{—–-"
NEEDED = regex.compile(rf"[\d{_MONEY_SIGNS}±≥≤×÷−]")
"""Finds something in every text in which there is a sign to read."""


def read_signs(text: str, wording: Wording) -> str:
    """Put words for signs around numbers, as far as a wording has any."""
    text = _read_arithmetic(text, wording)
    text = _MONEY.sub(functools.partial(_money, wording), text)
    text = _DEGREES.sub(functools.partial(_degrees, wording), text)
    text = _PERCENT.sub(functools.partial(_percent, wording), text)
    return text


def _read_arithmetic(text: str, wording: Wording) -> str:
    minus = wording.signs.get("−", "-")
    minus_before = f"{minus} "
    if minus == "-":
        minus_before = minus
    minus_between = wording.subtraction or minus
    text = _MINUS.sub(minus_before, text)
    text = _SUBTRACTION.sub(f" {minus_between} ", text)
    text = _SIGN.sub(functools.partial(_sign, wording), text)
    return text


def _sign(wording: Wording, match: Any) -> str:
    sign = match[1] or match[2]
    name = wording.signs.get(sign)
    if name is None:
        return str(match[0])
    start = match.start()
    before = match.string[start - 1 : start]  # empty at the beginning
    if not before or before in OPENING:
        return f"{name} "
    return f" {name} "


def _money(wording: Wording, match: Any) -> str:
    sign = match["before"] or match["after"]
    amount = match["first"] or match["second"]
    number, *magnitude = amount.split(maxsplit=1)
    name = wording.currency(number, sign)
    if not name:
        return str(match[0])
    if name == sign and wording.has_sign_before_amount:
        return f"{sign}{amount}"
    words = [number, *magnitude, name]
    return " ".join(words)


def _degrees(wording: Wording, match: Any) -> str:
    number: str = match["number"]
    unit, sign = FAHRENHEIT, "°F"
    if match["unit"] == "C" or match["wide"] == "℃":
        unit, sign = CELSIUS, "°C"
    said = wording.amount(number, unit)
    return said or f"{number}{sign}"


def _percent(wording: Wording, match: Any) -> str:
    number: str = match["number"]
    said = wording.amount(number, PERCENT)
    return said or str(match[0])
