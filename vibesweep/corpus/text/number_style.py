"""How a language writes thousands and fractions, and in which form its reader takes them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from vibesweep.corpus.text.espeak import decimal_sign
from vibesweep.corpus.text.language import base_language


@dataclass(frozen=True)
class NumberStyle:
    """The signs inside a language's numbers.

    Attributes:
        decimal: the sign before a fraction, ``.`` or ``,``.
        read_group: what is put between thousands for the reader.
        read_decimal: what is put before a fraction for the reader.
    """

    decimal: str
    read_group: str
    read_decimal: str


ENGLISH_STYLE = NumberStyle(decimal=".", read_group=",", read_decimal=".")
MANDARIN_STYLE = NumberStyle(decimal=".", read_group="", read_decimal=".")
"""What the grammars are given."""


@functools.lru_cache(maxsize=256)
def style_of_voice(language: str) -> NumberStyle:
    """Return the style of a language whose numbers eSpeak reads.

    eSpeak is given no thousands signs, and the sign before fractions that it knows: where it lacks
    a language's own, as in Turkmen, it reads the other one.
    """
    locale = locale_of(language)
    decimal = "." if locale is None else locale.number_symbols["latn"]["decimal"]
    return NumberStyle(decimal, read_group="", read_decimal=decimal_sign(language, decimal))


@functools.lru_cache(maxsize=256)
def locale_of(language: str) -> Any | None:
    """Return CLDR's data of a language, by Babel; None where CLDR has none."""
    from babel import Locale, UnknownLocaleError

    with_region = language.replace("-", "_")
    for name in (with_region, base_language(language)):
        try:
            return Locale.parse(name)
        except (UnknownLocaleError, ValueError):
            continue
    return None
