"""How each language says what stands around a number: signs, currencies, units, digits."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from vibesweep.corpus.text.espeak import says_sign
from vibesweep.corpus.text.language import base_language
from vibesweep.corpus.text.letters import script_of
from vibesweep.corpus.text.number_style import (
    ENGLISH_STYLE,
    MANDARIN_STYLE,
    NumberStyle,
    locale_of,
    style_of_voice,
)
from vibesweep.corpus.text.sign_words import (
    CHINESE_CURRENCIES,
    CURRENCIES,
    ENGLISH_CURRENCIES,
    names_of_signs,
)

CELSIUS, FAHRENHEIT = "temperature-celsius", "temperature-fahrenheit"
INCH, FOOT = "length-inch", "length-foot"
PERCENT = "concentr-percent"

_ENGLISH_DIGITS = dict(
    zip(
        "0123456789+", "zero one two three four five six seven eight nine plus".split(), strict=True
    )
)
_CHINESE_DIGITS = dict(zip("0123456789+", "零一二三四五六七八九加", strict=True))
_CHINESE_UNITS = {INCH: "英寸", FOOT: "英尺"}
_NAMES_IN_LATIN_LETTERS = {"₩": "won", "₿": "bitcoin"}


class Wording(ABC):
    """What is said for signs of one language.

    Attributes:
        style: how its numbers are written.
        signs: names of the signs of arithmetic; signs without one are left to the reader.
        digits: names of digits and of ``+`` in telephone numbers; without one they stay digits.
        between_digits: what is put between such digits.
        has_local_telephones: whether 555-1234 is a telephone number.
        has_sign_before_amount: whether the reader wants €5, not 5 €.
        subtraction: name of a minus between two numbers, where it is another than before one.
    """

    style: NumberStyle
    signs: ClassVar[Mapping[str, str]]
    digits: ClassVar[Mapping[str, str]]
    between_digits = " "
    has_local_telephones = False
    has_sign_before_amount = False
    subtraction = ""

    @abstractmethod
    def amount(self, number: str, unit: str) -> str:
        """Put an amount of a unit, such as :data:`INCH`, into words; empty where there are none."""

    @abstractmethod
    def currency(self, number: str, sign: str) -> str:
        """Name a currency for so much of it.

        The sign itself where the reader knows it, nothing where it has no name.
        """

    def height(self, feet: str, inches: str) -> str:
        """Say 5'11"; nothing where there are no words for it."""
        in_feet, in_inches = self.amount(feet, FOOT), self.amount(inches, INCH)
        return f"{in_feet} {in_inches}" if in_feet and in_inches else ""


ENGLISH_LENGTHS = {INCH: ("inch", "inches"), FOOT: ("foot", "feet")}
"""One and several, by sign."""


class EnglishWording(Wording):
    """What the English grammar lacks."""

    style = ENGLISH_STYLE
    signs = names_of_signs("en")
    digits = _ENGLISH_DIGITS
    has_local_telephones = True
    has_sign_before_amount = True

    def amount(self, number: str, unit: str) -> str:
        """Say inches and feet; the grammar knows degrees and percents."""
        if unit not in ENGLISH_LENGTHS:
            return ""
        one, many = ENGLISH_LENGTHS[unit]
        return f"{number} {one if number == '1' else many}"

    def currency(self, number: str, sign: str) -> str:
        """Name the currencies that the grammar lacks."""
        return ENGLISH_CURRENCIES.get(sign, sign)

    def height(self, feet: str, inches: str) -> str:
        """Say five foot eleven."""
        return f"{feet} foot {inches}"


class MandarinWording(Wording):
    """What the Mandarin grammar lacks."""

    style = MANDARIN_STYLE
    has_sign_before_amount = True
    subtraction = "减"
    between_digits = ""
    # the grammar says 负五 for -5
    signs: ClassVar[Mapping[str, str]] = {**names_of_signs("zh"), "−": "-"}
    digits = _CHINESE_DIGITS

    def amount(self, number: str, unit: str) -> str:
        """Say inches and feet."""
        name = _CHINESE_UNITS.get(unit)
        return f"{number}{name}" if name else ""

    def currency(self, number: str, sign: str) -> str:
        """Name the currencies that the grammar lacks."""
        return CHINESE_CURRENCIES.get(sign, sign)


@dataclass(frozen=True)
class VoiceWording(Wording):
    """What eSpeak does not say in a language, in CLDR's words; all else it reads itself.

    Attributes:
        language: the eSpeak NG voice.
    """

    language: str
    digits: ClassVar[Mapping[str, str]] = {}

    @property
    def style(self) -> NumberStyle:  # type: ignore[override]
        """How the voice reads numbers."""
        return style_of_voice(self.language)

    @property
    def signs(self) -> Mapping[str, str]:  # type: ignore[override]
        """Names of signs; a minus without a name stays one, since eSpeak may say it."""
        return {"−": "-", **names_of_signs(base_language(self.language))}

    def amount(self, number: str, unit: str) -> str:
        """Put an amount of a unit into words by CLDR; percents only where eSpeak does not."""
        if unit == PERCENT and says_sign("%", self.language):
            return ""
        return _cldr_amount(number, unit, self.language)

    def currency(self, number: str, sign: str) -> str:
        """Name a currency by CLDR where eSpeak does not say its sign."""
        if says_sign(sign, self.language):
            return sign
        return _cldr_currency(number, sign, self.language)


def wording_of(language: str) -> Wording:
    """Return the wording of a language: ``zh``, ``en`` or any eSpeak NG voice."""
    base = base_language(language)
    if base == "zh":
        return MandarinWording()
    return EnglishWording() if base == "en" else VoiceWording(language)


@functools.lru_cache(maxsize=4096)
def _cldr_amount(number: str, unit: str, language: str) -> str:
    from babel.numbers import format_decimal
    from babel.units import format_unit

    locale = locale_of(language)
    if locale is None:
        return ""
    value = Decimal(number.replace(",", "."))
    written = format_decimal(value, locale=locale, numbering_system="latn")
    phrase = format_unit(value, unit, "long", locale=locale, numbering_system="latn")
    if not any(char.isalpha() for char in phrase):  # a sign, in place of the plural
        phrase, written = format_unit(1, unit, "long", locale=locale), "1"
    if unit in phrase:  # CLDR has no name
        return ""
    return str(phrase.replace(written, number).replace("\u00a0", " "))


@functools.lru_cache(maxsize=4096)
def _cldr_currency(number: str, sign: str, language: str) -> str:
    from babel.numbers import get_currency_name

    locale = locale_of(language)
    is_latin = script_of(language) == "Latn"
    code = CURRENCIES.get(sign)
    if code is None or locale is None or (is_latin and sign in _NAMES_IN_LATIN_LETTERS):
        return _NAMES_IN_LATIN_LETTERS.get(sign, "")
    count = Decimal(number.replace(",", "."))
    return str(get_currency_name(code, count=count, locale=locale))
