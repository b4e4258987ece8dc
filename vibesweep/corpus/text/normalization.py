"""Numbers, dates, times, money, units and abbreviations become words, before words become phonemes.

The grammars are wetext's, English and Mandarin. It takes 0.1 ms for each character and stumbles over signs that it does not know, so
that it is shown a figure and the words that belong to it and never a sentence: plain prose does not pay, and one strange sign leaves
the rest of a turn alone. Tables of rewrites go before, for what the grammars lack or get wrong.

A text with Han characters is cut by script first. What is no letter belongs to the letter before it, or, behind a pause, to the next
one; up to three letters behind a figure are its unit. In 我有12个 and 跑了5km the figures are Mandarin, in iPhone 15 卖了 English.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import regex

Rewrites = tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Spelled:
    """A text in words. ``failed`` counts the figures that the grammars refused and that stand as they were."""

    text: str
    failed: int = 0


def spell_out(text: str, language: str = "en-us") -> Spelled:
    """Put words for figures, signs and abbreviations: in Mandarin stretches, and in the others where the language is English.

    Args:
        text: any text, on one line or several.
        language: the eSpeak NG voice that reads what is not Mandarin; all but the English ones read figures themselves.
    """
    english = language.split("-")[0] == "en"
    text = _fold(text)
    if text.isascii() or not _HAN.search(text):
        return _english(text) if english else Spelled(text)
    parts = [
        _mandarin(part) if script == "zh" else _english(part) if english else Spelled(part)
        for script, part in _stretches(text)
    ]
    return Spelled("".join(part.text for part in parts), sum(part.failed for part in parts))


def _fold(text: str) -> str:
    """Composed letters, narrow forms, ASCII digits."""
    if text.isascii():
        return text
    return str(
        _FOLDED.sub(lambda m: _narrow(m[0]), _UNHEARD.sub("", unicodedata.normalize("NFC", text)))
    )


def _narrow(char: str) -> str:
    return (
        str(unicodedata.decimal(char)) if char.isdecimal() else unicodedata.normalize("NFKC", char)
    )


def _stretches(text: str) -> list[tuple[str, str]]:
    """(script, text): Mandarin is ``zh``, all else ``en``."""
    found: list[tuple[str, str]] = []
    waiting, paused = "", True
    for token in _TOKEN.finditer(text):
        script = token.lastgroup
        if script in ("zh", "en"):
            before = found.pop()[1] if found and found[-1][0] == script else ""
            found.append((script, before + waiting + token[0]))
            waiting, paused = "", False
        elif paused:
            waiting += token[0]
        else:
            paused = script == "pause"
            found[-1] = (found[-1][0], found[-1][1] + token[0])
    return [*found, (found[-1][0], waiting)] if waiting and found else found


def _english(text: str) -> Spelled:
    if not _ENGLISH_ASKS.search(text):
        return Spelled(text)
    return _ask("en", _ENGLISH_FIGURE, _rewrite(text.replace("’", "'"), _ENGLISH))


def _mandarin(text: str) -> Spelled:
    return (
        _ask("zh", _MANDARIN_FIGURE, _rewrite(text, _MANDARIN))
        if _DIGIT.search(text)
        else Spelled(text)
    )


def _rewrite(text: str, table: Rewrites) -> str:
    for pattern, put in table:
        text = pattern.sub(put, text)
    return text


def _ask(lang: str, figure: Any, text: str) -> Spelled:
    """Put the grammar's words for each match of the pattern."""
    failed = 0

    def words(match: Any) -> str:
        nonlocal failed
        found = _normalize(lang, " ".join(match[0].split()))
        failed += found is None
        return match[0] if found is None else found

    return Spelled(figure.sub(words, text), failed)


@functools.lru_cache(maxsize=65_536)
def _normalize(lang: str, text: str) -> str | None:
    """The grammar's words, or ``None`` where it does not parse the text."""
    try:
        found: str = _grammar(lang)(text)
    except Exception:  # it promises no kinds; a bare AssertionError is what it mostly raises
        return None
    return _rewrite(found, _ENGLISH_AFTER) if lang == "en" else found


@functools.lru_cache(maxsize=2)
def _grammar(lang: str) -> Callable[[str], str]:
    from wetext import Normalizer

    normalize: Callable[[str], str] = Normalizer(lang=lang, operator="tn").normalize
    return normalize


def _table(*rows: tuple[str, Any]) -> Rewrites:
    return tuple((regex.compile(pattern), put) for pattern, put in rows)


def _address(match: Any) -> str:
    """A web or mail address, sign by sign."""
    text = regex.sub(r"\b(https?|www)\b", lambda m: m[0].upper(), match[0])
    return " ".join(
        regex.sub(r"[^\p{L}\p{N}]", lambda m: f" {_ADDRESS_SIGNS.get(m[0], '')} ", text).split()
    )


def _digits(match: Any) -> str:
    """A telephone number, digit by digit."""
    return " ".join(_DIGIT_NAMES[char] for char in match[0] if char in _DIGIT_NAMES)


def _money(match: Any) -> str:
    """Five dollars and fifty cents; the grammar would say five point five dollars."""
    whole, part = match["whole"], int(match["part"])
    small = (
        ("penny" if part == 1 else "pence")
        if match["sign"] == "£"
        else ("cent" if part == 1 else "cents")
    )
    if not part:
        return f"{match['sign']}{whole}"
    return f"{part} {small}" if whole == "0" else f"{match['sign']}{whole} and {part} {small}"


def _thousand(match: Any) -> str:
    """1 thousand 234; without its comma the grammar takes it for a year."""
    return f"{match[1]} thousand {int(match[2]) or ''}".rstrip()


def _ordinal(match: Any) -> str:
    """The grammar knows May 3rd alone, and all other months with a bare day."""
    day = int(match[1])
    return f"May {day}{'th' if 10 < day < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


_DIGIT = regex.compile(r"\d")
_HAN = regex.compile(r"\p{Han}")
_FOLDED = regex.compile(
    r"(?V1)[\uff01-\uff5e\uffe5\u2160-\u217f\ufb00-\ufb06]|[\p{Nd}--[0-9]]"
)  # wide forms, Ⅷ, ﬁ, ٣
_UNHEARD = regex.compile(
    "[\u00ad\u200b\u2060\ufe0f\ufeff]"
)  # soft hyphen, zero-width marks, emoji selector, BOM
_TOKEN = regex.compile(
    r"(?s)(?P<zh>\p{Han}+)|(?P<unit>(?<=\d\s?)(?!st|nd|rd|th)[A-Za-zµ]{1,3}(?![A-Za-z]))|(?P<en>\p{L}+)"
    r"|(?P<pause>(?:[?!;。？！；：、…\n]|[.,:](?!\d)|(?<!\d)[.,:])+)|."
)

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
_UNITS = (
    "km/h|k?m[²³]|k?m|cm|mm|kg|mg|g|lbs?|oz|ft|yds?|mi|mph|min|sec|hrs?|[GMTk]B|[kMG]?Hz|kW|ml|l"
)
_ADDRESS_SIGNS = {
    ".": "dot",
    "/": "slash",
    "@": "at",
    ":": "colon",
    "-": "dash",
    "_": "underscore",
    "?": "question mark",
}
_ADDRESS_SIGNS |= {
    "=": "equals",
    "&": "and",
    "#": "hash",
    "%": "percent",
    "~": "tilde",
    "+": "plus",
}
_DIGIT_NAMES = dict(
    zip(
        "0123456789+", "zero one two three four five six seven eight nine plus".split(), strict=True
    )
)
_HAN_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")

_SAFE = r"\p{L}\p{N}$€£¥%°'@_/+.,:&-"  # no quotes and brackets: the library escapes or refuses them
_FIGURE = rf"(?<![{_SAFE}])[{_SAFE}]*[\d½¼¾](?:[{_SAFE}]*[\p{{L}}\p{{N}}%°])?%?"
_ENGLISH_FIGURE = regex.compile(
    rf"(?:\b(?:{_MONTHS})\s+)?{_FIGURE}(?:\s+(?:{_FIGURE}|(?:{_UNITS}|{_MONTHS}|[AaPp][Mm]|[mb]illion|trillion|thousand)(?!\w)))*"
)
_MANDARIN_FIGURE = regex.compile(
    r"\p{Han}{0,4}(?:[$€£¥+\-±]{0,2}\d[\d.:/%°℃℉×=+\-<>]*(?:\s?[A-Za-zµ]{1,3}(?![A-Za-z]))?[²³]?\p{Han}{0,4})+"
)

_ABBREVIATIONS = {
    "etc": "et cetera",
    "Jr": "Junior",
    "Sr": "Senior",
    "Inc": "Incorporated",
    "Co": "Company",
    "Ltd": "Limited",
}
_ABBREVIATIONS |= {
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Dept": "Department",
    "vs": "versus",
    "Prof": "Professor",
}
_ABBREVIATIONS |= {
    "approx": "approximately",
    "Gen": "General",
    "Col": "Colonel",
    "Capt": "Captain",
    "Rev": "Reverend",
    "cf": "compare",
}
_SHORT = "|".join(_ABBREVIATIONS)
_NAME_BEFORE = (
    r"(?<=\b(?!(?:At|In|On|The|To|From|Near|By|And|For|With|Mount|Fort|Of)\b)\p{Lu}\p{Ll}+\s)"
)
_SITE = r"(?:https?://|www\.)\S*[\w/]|[\w.+-]+@\w[\w.-]*\.\w+|\b(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|ai|co\.uk)\b(?:/\S*[\w/])?"
_AMOUNT = r"\d+(?:\.\d+)?"

_ENGLISH_ASKS = regex.compile(
    rf"[\d½¼¾#№@§²³≈]|\b(?:Mrs?|Ms|Dr|St|Mt|i\.\s?e|e\.\s?g|{_SHORT})\.|\p{{Lu}}\.\s?\p{{Lu}}\.|www\.|://|\w\.(?:com|org|net|edu|gov|io|ai)\b"
)
_ENGLISH = _table(
    (_SITE, _address),
    (
        r"\+\d[\d ()-]{6,}\d|(?<!\d)\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?!\d)|(?<![\d-])\d{3}-\d{4}(?![\d-])",
        _digits,
    ),
    # a dot that ends the sentence as well is one dot more
    (
        rf"\b({_SHORT}|St|[ap]\.\s?m)\.(?=[\"”')\]]*(?:\s*$|\s+\p{{Lu}}))(?<!\b(?:vs|cf|Prof|Gen|Col|Capt|Rev|approx|St)\.)",
        r"\1..",
    ),
    (r"\b((?:\p{Lu}\.){2,})(?=[\"”')\]]*\s*$)", r"\1."),
    (
        r"\b(?:\p{Lu}\.){2,}",
        lambda m: " ".join("ay" if char == "A" else char for char in m[0] if char != "."),
    ),  # eSpeak says A as uh
    (r"\b([ap])\.\s?m\.", lambda m: f"{m[1].upper()}M"),
    (r"\be\.\s?g\.", "for example"),
    (r"\bi\.\s?e\.", "that is"),
    (rf"\b({_SHORT})\.", lambda m: _ABBREVIATIONS[m[1]]),
    (rf"{_NAME_BEFORE}St\.(?=\s*$|\s+\p{{Lu}})", "Street."),
    (rf"{_NAME_BEFORE}St\.", "Street"),
    (r"\bSt\.(?=\s+\p{L})", "Saint"),
    (r"\bMt\.(?=\s+\p{Lu})", "Mount"),
    (r"\b(Mrs?|Ms|Dr)\.(?=\s)", r"\1"),
    (r"\bNos?\.\s*(?=\d)|#(?=\d)|№\s*", "number "),
    (rf"\b({_MONTHS})\.(?=\s+\d)", r"\1"),
    (rf"(\d\s?(?:{_UNITS}|in))\.(?=\s+\p{{Ll}})", r"\1"),
    (rf"\b(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+({_MONTHS})\b", r"\2 \1"),
    (r"\bMay\s+(\d\d?)(?:st|nd|rd|th)?(?![\d:%]|\.\d)", _ordinal),
    (r"([$€£])(\d[\d.,]*)\s?[-–]\s?(\d)", r"\2 to \1\3"),
    (
        r"(?<![-–\p{L}\d.,:/])(\d(?:[\d,.:]*\d)?%?)(?:[-–]|\s–\s)([$€£]?\d(?:[\d,.:]*\d)?)(?![-–\d/])",
        r"\1 to \2",
    ),
    (rf"(?<![\d.,$€£¥])(\d),(\d{{3}})(?![\d\w%°]|[,.]\d|\s?%|\s(?:{_UNITS})\b)", _thousand),
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)", lambda m: m[0].replace(",", "")),
    (
        r"(?P<sign>[$€£])(?P<whole>\d+)\.(?P<part>\d\d)(?![\d\w]|\s?(?:thousand|[mb]illion|trillion))",
        _money,
    ),
    (r"\b(1[1-9])00'?s\b", r"\1 hundreds"),
    (r"\b2000'?s\b", "2 thousands"),
    (r"\b(1\d|20)([1-9]0)'?s\b", r"\1 '\2s"),
    (r"(?<![\d.,:/-])'?([2-9]0)'s\b", r"'\1s"),
    (rf"(?<![\d.,:/$€£¥#-])100([1-9])(?![\d\w%]|['.,:/-]\d|\s(?:{_UNITS})\b)", r"1 thousand \1"),
    (rf"(?<![\d.,:/$€£¥#-])(1\d)0([1-9])(?![\d\w%]|['.,:/-]\d|\s(?:{_UNITS})\b)", r"\1 oh \2"),
    (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){2,}(?!\.?\d)", lambda m: m[0].replace(".", " point ")),
    (r"(?<=\p{L}\d+)\.(?=\d)", " point "),
    (r"\b24/7\b", "24 7"),
    (r"(\d)'\s?(\d\d?)(?:\"|”|'')", r"\1 foot \2"),
    (r"(?<![\d.,$€£])(\d[\d.,]*)\s?m(?![\w²³.'])", r"\1 meters"),
    (r"(\d)([½¼¾])", r"\1 \2"),
    (r"(\d)\+(?![\w+])", r"\1 plus"),
    (r"[~≈]\s?(?=[$€£]?\d)", "about "),
    (r"(\d)\s?¢", r"\1 cents"),
    (rf"({_AMOUNT})\s?([$€£])", r"\2\1"),
    (rf"₹\s?({_AMOUNT})", r"\1 rupees"),
    (r"(\d)\s?×\s?(?=\d)", r"\1 times "),
    (r"(\d)\s?÷\s?(?=\d)", r"\1 divided by "),
    (r"(\d)\^(?=-?\d)", r"\1 to the power of "),
    (r"(?<=\d|(?<!\d\s?)\b[A-Za-z])([²³])", lambda m: " squared" if m[1] == "²" else " cubed"),
    (r"§\s?", "section "),
)
_ENGLISH_AFTER = _table(
    (r"\bten hundred\b", "one thousand"),
    (
        r"(?<!(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen|ty|hundred) )\bthousand\b",
        "one thousand",
    ),
)
_MANDARIN = _table(
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)", lambda m: m[0].replace(",", "")),
    (r"(?<=\p{Han})\s+(?=[\d$¥€£])|(?<=\d)\s+(?=\p{Han})", ""),
    (r"(?<!\d)(\d{4})年?[-–—~～至到](\d{4})年", r"\1年到\2年"),
    (
        r"(?<![-\d.:/])(?!0\d)(\d[\d.:]*%?)\s?[-–—~～]\s?(?!0\d|\d{7})(\d[\d.:]*)(?![-\d/])",
        r"\1到\2",
    ),
    (
        r"(?<![\d.$€£¥])(\d+)\.(\d+)(?![\d.%‰°℃℉]|\s?[A-Za-z])",
        lambda m: f"{m[1]}点{m[2].translate(_HAN_DIGITS)}",
    ),  # 12.5 is a date to it
    (rf"({_AMOUNT})\s?([¥$€£])", r"\2\1"),
    (rf"¥({_AMOUNT})元", r"\1元"),
    (rf"({_AMOUNT})‰", r"千分之\1"),
    (r"(\d:\d\d)分", r"\1"),
    (r"㎡", "平方米"),
    (r"第2(?!\d)", "第二"),
    (r"(?<![\d.点:/-])2(?=[次种倍台部])", "两"),
)
