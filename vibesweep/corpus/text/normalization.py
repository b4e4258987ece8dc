"""Text normalization: numbers, dates, times, money, units and abbreviations become words.

The grammars are wetext's, English and Mandarin. They take 0.1 ms for each character and fail on
signs that they do not know. So a grammar is given a number and the words that belong to it, never a
sentence: plain prose costs nothing, and one strange sign leaves the rest of a turn alone. Tables of
rewrites (``english_rules``, ``mandarin_rules``) go before, for what the grammars lack or get wrong.

A text with Han characters is cut by script first. What is no letter belongs to the letter before
it, or, after a pause, to the next one; up to three letters after a number are its unit. In 我有12个
and 跑了5km the numbers are Mandarin, in iPhone 15 卖了 English.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import regex

from vibesweep.corpus.text.english_rules import ENGLISH
from vibesweep.corpus.text.mandarin_rules import MANDARIN
from vibesweep.corpus.text.mel_extra import require_packages
from vibesweep.corpus.text.normalization_rules import NormalizationRules, rewrite

_HAN = regex.compile(r"\p{Han}")
# wide forms, Ⅷ, ﬁ, ٣
_NOT_NARROW = regex.compile(r"(?V1)[\uff01-\uff5e\uffe5\u2160-\u217f\ufb00-\ufb06]|[\p{Nd}--[0-9]]")
# soft hyphen, zero-width space, word joiner, emoji selector, byte-order mark
_INAUDIBLE = regex.compile("[\u00ad\u200b\u2060\ufe0f\ufeff]")
_TOKEN = regex.compile(
    r"(?s)(?P<zh>\p{Han}+)"
    r"|(?P<unit>(?<=\d\s?)(?!st|nd|rd|th)[A-Za-zµ]{1,3}(?![A-Za-z]))"
    r"|(?P<en>\p{L}+)"
    r"|(?P<pause>(?:[?!;。？！；：、…\n]|[.,:](?!\d)|(?<!\d)[.,:])+)"
    r"|."
)


@dataclass(frozen=True)
class NormalizedText:
    """A text in words. ``failed`` counts the numbers that a grammar refused and left in digits."""

    text: str
    failed: int = 0


def normalize(text: str, language: str = "en-us") -> NormalizedText:
    """Put words for numbers, signs and abbreviations.

    Mandarin stretches are normalized in any text, the others where the language is English.

    Args:
        text: any text, on one line or several.
        language: the eSpeak NG voice that reads what is not Mandarin; all but the English voices
            read numbers themselves.

    Raises:
        CorpusError: there is something to normalize, and wetext is not installed.
    """
    rules_of_others = ENGLISH if language.split("-")[0] == "en" else None
    text = _fold(text)
    if not _HAN.search(text):
        return _apply(rules_of_others, text)
    parts = []
    for script, stretch in _stretches(text):
        rules = MANDARIN if script == "zh" else rules_of_others
        parts.append(_apply(rules, stretch))
    words = "".join(part.text for part in parts)
    return NormalizedText(words, sum(part.failed for part in parts))


def _fold(text: str) -> str:
    """Write letters composed, wide forms narrow and digits in ASCII."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    audible = _INAUDIBLE.sub("", composed)
    return str(_NOT_NARROW.sub(_narrow, audible))


def _narrow(match: Any) -> str:
    char = match[0]
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return unicodedata.normalize("NFKC", char)


def _stretches(text: str) -> list[tuple[str, str]]:
    """Cut a text into (script, stretch): ``zh`` is Mandarin, ``en`` all else."""
    stretches: list[tuple[str, str]] = []
    waiting = ""  # what belongs to the next letter
    after_pause = True
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind in ("zh", "en"):
            _extend(stretches, kind, waiting + token[0])
            waiting, after_pause = "", False
        elif after_pause:
            waiting += token[0]
        else:
            after_pause = kind == "pause"
            _extend(stretches, stretches[-1][0], token[0])
    if waiting and stretches:
        # As a stretch of its own: it stands after a pause, and no number goes across one
        stretches.append((stretches[-1][0], waiting))
    return stretches


def _extend(stretches: list[tuple[str, str]], script: str, text: str) -> None:
    """Add text to the last stretch if that has the same script, or as a new one."""
    if stretches and stretches[-1][0] == script:
        text = stretches.pop()[1] + text
    stretches.append((script, text))


def _apply(rules: NormalizationRules | None, text: str) -> NormalizedText:
    """Normalize a text of one language; without rules it stays as it is."""
    if rules is None or not rules.needed.search(text):
        return NormalizedText(text)
    failed = 0

    def put_words(match: Any) -> str:
        nonlocal failed
        words = _ask_grammar(rules.grammar, " ".join(match[0].split()))
        if words is None:
            failed += 1
            return str(match[0])
        return rewrite(words, rules.after)

    rewritten = rewrite(text, rules.before)
    in_words = rules.number.sub(put_words, rewritten)
    return NormalizedText(in_words, failed)


@functools.lru_cache(maxsize=65_536)
def _ask_grammar(language: str, text: str) -> str | None:
    """Return the grammar's words, or ``None`` where it cannot parse the text."""
    grammar = _grammar(language)
    try:
        return grammar(text)
    except Exception:  # wetext documents no kinds of errors; mostly it is a bare AssertionError
        return None


@functools.lru_cache(maxsize=2)
def _grammar(language: str) -> Callable[[str], str]:
    require_packages("numbers in words", "wetext")
    from wetext import Normalizer

    normalizer = Normalizer(lang=language, operator="tn")
    grammar: Callable[[str], str] = normalizer.normalize
    return grammar
