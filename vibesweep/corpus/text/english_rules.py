"""English numbers, signs and abbreviations: what wetext's grammar is given, and rewrites around it.

The grammar gets these wrong: ``1,234`` (a year), ``1000`` (ten hundred), ``1990s`` (seconds),
``100m`` (minutes), ``May 3`` (May three), ``No. 7`` (a pause), ``555-1234`` (a range).
"""

from __future__ import annotations

from typing import Any

import regex

from vibesweep.corpus.text.normalization_rules import (
    NormalizationRules,
    compile_rewrites,
)

_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_UNITS = (
    "km/h|k?m[²³]|k?m|cm|mm|kg|mg|g|lbs?|oz|ft|yds?|mi|mph|min|sec|hrs?|[GMTk]B|[kMG]?Hz|kW|ml|l"
)
_AMOUNT = r"\d+(?:\.\d+)?"

# Characters of a number and what hangs on it. No quotes and brackets: wetext escapes or refuses
# them.
_JOINED = r"\p{L}\p{N}$€£¥%°'@_/+.,:&-"
_DIGITS = rf"(?<![{_JOINED}])[{_JOINED}]*[\d½¼¾](?:[{_JOINED}]*[\p{{L}}\p{{N}}%°])?%?"
_WORD_AFTER = rf"(?:{_UNITS}|{_MONTHS}|[AaPp][Mm]|[mb]illion|trillion|thousand)(?!\w)"
_NUMBER = regex.compile(rf"(?:\b(?:{_MONTHS})\s+)?{_DIGITS}(?:\s+(?:{_DIGITS}|{_WORD_AFTER}))*")

_ABBREVIATIONS = {
    "etc": "et cetera",
    "Jr": "Junior",
    "Sr": "Senior",
    "Inc": "Incorporated",
    "Co": "Company",
    "Ltd": "Limited",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Dept": "Department",
    "vs": "versus",
    "Prof": "Professor",
    "approx": "approximately",
    "Gen": "General",
    "Col": "Colonel",
    "Capt": "Captain",
    "Rev": "Reverend",
    "cf": "compare",
}
_SHORT = "|".join(_ABBREVIATIONS)
_NEVER_LAST = "vs|cf|Prof|Gen|Col|Capt|Rev|approx|St"  # of a sentence

_ADDRESS_SIGNS = {
    ".": "dot",
    "/": "slash",
    "@": "at",
    ":": "colon",
    "-": "dash",
    "_": "underscore",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "#": "hash",
    "%": "percent",
    "~": "tilde",
    "+": "plus",
}
_SPELLED_IN_ADDRESSES = regex.compile(r"\b(https?|www)\b")
_SIGN = regex.compile(r"[^\p{L}\p{N}]")
_SMALL_COINS = {"£": ("penny", "pence"), "$": ("cent", "cents"), "€": ("cent", "cents")}
_ORDINAL_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def _upper(match: Any) -> str:
    letters: str = match[0]
    return letters.upper()


def _sign_name(match: Any) -> str:
    name = _ADDRESS_SIGNS.get(match[0], "")
    return f" {name} "


def _address(match: Any) -> str:
    """Read a web or mail address, sign by sign."""
    with_letters = _SPELLED_IN_ADDRESSES.sub(_upper, match[0])
    with_names = _SIGN.sub(_sign_name, with_letters)
    words = with_names.split()
    return " ".join(words)


def _initials(match: Any) -> str:
    """Read U.S.A. letter by letter; eSpeak would say a lone A as uh."""
    letters = list(match[0].replace(".", ""))
    names = ["ay" if letter == "A" else letter for letter in letters]
    return " ".join(names)


def _half_of_day(match: Any) -> str:
    a_or_p: str = match[1]
    return a_or_p.upper() + "M"


def _abbreviation(match: Any) -> str:
    return _ABBREVIATIONS[match[1]]


def _money(match: Any) -> str:
    """Say five dollars and fifty cents; the grammar would say five point five dollars."""
    sign, whole = match["sign"], match["whole"]
    cents = int(match["part"])
    if not cents:
        return f"{sign}{whole}"
    singular, plural = _SMALL_COINS[sign]
    coins = singular if cents == 1 else plural
    if whole == "0":
        return f"{cents} {coins}"
    return f"{sign}{whole} and {cents} {coins}"


def _without_commas(match: Any) -> str:
    """Write 1,234,567 as 1234567."""
    number: str = match[0]
    return number.replace(",", "")


def _thousand(match: Any) -> str:
    """Write 1,234 as 1 thousand 234; without its comma the grammar takes it for a year."""
    thousands, rest = match[1], int(match[2])
    if not rest:
        return f"{thousands} thousand"
    return f"{thousands} thousand {rest}"


def _day_of_may(match: Any) -> str:
    """Write May 3 as May 3rd; the grammar knows a bare day in all other months."""
    day = int(match[1])
    ending = _ORDINAL_ENDINGS.get(day % 10, "th")
    if 10 < day < 20:
        ending = "th"
    return f"May {day}{ending}"


def _spoken_points(match: Any) -> str:
    """Write 2.0.1 as 2 point 0 point 1."""
    number: str = match[0]
    return number.replace(".", " point ")


def _power(match: Any) -> str:
    return " squared" if match[1] == "²" else " cubed"


_ADDRESSES = compile_rewrites(
    (
        r"(?:https?://|www\.)\S*[\w/]|[\w.+-]+@\w[\w.-]*\.\w+"
        r"|\b(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|ai|co\.uk)\b(?:/\S*[\w/])?",
        _address,
    ),
)

_NAME_BEFORE = (
    r"(?<=\b(?!(?:At|In|On|The|To|From|Near|By|And|For|With|Mount|Fort|Of)\b)\p{Lu}\p{Ll}+\s)"
)
_SHORT_WORDS = compile_rewrites(
    # a dot that ends the sentence as well is one dot more
    (
        rf"\b({_SHORT}|St|[ap]\.\s?m)\.(?=[\"”')\]]*(?:\s*$|\s+\p{{Lu}}))"
        rf"(?<!\b(?:{_NEVER_LAST})\.)",
        r"\1..",
    ),
    (r"\b((?:\p{Lu}\.){2,})(?=[\"”')\]]*\s*$)", r"\1."),
    (r"\b(?:\p{Lu}\.){2,}", _initials),
    (r"\b([ap])\.\s?m\.", _half_of_day),
    (r"\be\.\s?g\.", "for example"),
    (r"\bi\.\s?e\.", "that is"),
    (rf"\b({_SHORT})\.", _abbreviation),
    (rf"{_NAME_BEFORE}St\.(?=\s*$|\s+\p{{Lu}})", "Street."),
    (rf"{_NAME_BEFORE}St\.", "Street"),
    (r"\bSt\.(?=\s+\p{L})", "Saint"),
    (r"\bMt\.(?=\s+\p{Lu})", "Mount"),
    (r"\b(Mrs?|Ms|Dr)\.(?=\s)", r"\1"),
    (r"\bNos?\.\s*(?=\d)|#(?=\d)|№\s*", "number "),
    (rf"\b({_MONTHS})\.(?=\s+\d)", r"\1"),
    (rf"(\d\s?(?:{_UNITS}|in))\.(?=\s+\p{{Ll}})", r"\1"),
)

_DATES = compile_rewrites(
    (rf"\b(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+({_MONTHS})\b", r"\2 \1"),
    (r"\bMay\s+(\d\d?)(?:st|nd|rd|th)?(?![\d:%]|\.\d)", _day_of_may),
)

_RANGES_AND_THOUSANDS = compile_rewrites(
    (r"([$€£])(\d[\d.,]*)\s?[-–]\s?(\d)", r"\2 to \1\3"),
    (
        r"(?<![-–\p{L}\d.,:/])(\d(?:[\d,.:]*\d)?%?)(?:[-–]|\s–\s)([$€£]?\d(?:[\d,.:]*\d)?)"
        r"(?![-–\d/])",
        r"\1 to \2",
    ),
    (
        rf"(?<![\d.,$€£¥])(\d),(\d{{3}})(?![\d\w%°]|[,.]\d|\s?%|\s(?:{_UNITS})\b)",
        _thousand,
    ),
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)", _without_commas),
    (
        r"(?P<sign>[$€£])(?P<whole>\d+)\.(?P<part>\d\d)"
        r"(?![\d\w]|\s?(?:thousand|[mb]illion|trillion))",
        _money,
    ),
)

_YEARS = compile_rewrites(
    (r"\b(1[1-9])00'?s\b", r"\1 hundreds"),
    (r"\b2000'?s\b", "2 thousands"),
    (r"\b(1\d|20)([1-9]0)'?s\b", r"\1 '\2s"),
    (r"(?<![\d.,:/-])'?([2-9]0)'s\b", r"'\1s"),
    (
        rf"(?<![\d.,:/$€£¥#-])100([1-9])(?![\d\w%]|['.,:/-]\d|\s(?:{_UNITS})\b)",
        r"1 thousand \1",
    ),
    (
        rf"(?<![\d.,:/$€£¥#-])(1\d)0([1-9])(?![\d\w%]|['.,:/-]\d|\s(?:{_UNITS})\b)",
        r"\1 oh \2",
    ),
)

_SIGNS = compile_rewrites(
    (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){2,}(?!\.?\d)", _spoken_points),
    (r"(?<=\p{L}\d+)\.(?=\d)", " point "),
    (r"\b24/7\b", "24 7"),
    (r"(?<![\d.,$€£])(\d[\d.,]*)\s?m(?![\w²³.'])", r"\1 meters"),
    (r"(\d)([½¼¾])", r"\1 \2"),
    (r"(\d)\+(?![\w+])", r"\1 plus"),
    (r"(?<![\p{L}\p{N})+])\+(?=\d)", "plus "),
    (r"[~≈]\s?(?=[$€£]?\d)", "about "),
    (r"(\d)\s?¢", r"\1 cents"),
    (r"(\d)\^(?=-?\d)", r"\1 to the power of "),
    (r"(?<=\d|(?<!\d\s?)\b[A-Za-z])([²³])", _power),
    (r"§\s?", "section "),
)

_BEFORE = (
    *compile_rewrites((r"’", "'")),
    *_ADDRESSES,
    *_SHORT_WORDS,
    *_DATES,
    *_RANGES_AND_THOUSANDS,
    *_YEARS,
    *_SIGNS,
)

_AFTER = compile_rewrites(
    (r"\bten hundred\b", "one thousand"),
    (
        r"(?<!(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen|ty|hundred) )"
        r"\bthousand\b",
        "one thousand",
    ),
)

_NEEDED = regex.compile(
    rf"[\d½¼¾#№@§²³≈]|\b(?:Mrs?|Ms|Dr|St|Mt|i\.\s?e|e\.\s?g|{_SHORT})\.|\p{{Lu}}\.\s?\p{{Lu}}\."
    r"|www\.|://|\w\.(?:com|org|net|edu|gov|io|ai)\b"
)

ENGLISH = NormalizationRules("en", _NEEDED, _BEFORE, _NUMBER, _AFTER)
