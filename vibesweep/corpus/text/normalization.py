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
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import regex

from vibesweep.corpus.text.english_rules import ENGLISH
from vibesweep.corpus.text.feet_and_inches import read_lengths
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE, base_language
from vibesweep.corpus.text.mandarin_rules import MANDARIN
from vibesweep.corpus.text.mel_extra import require_packages
from vibesweep.corpus.text.normalization_rules import NormalizationRules, rewrite
from vibesweep.corpus.text.separators import write_plainly
from vibesweep.corpus.text.signs import NEEDED as SIGNS_NEEDED
from vibesweep.corpus.text.signs import read_signs
from vibesweep.corpus.text.telephone import read_telephones
from vibesweep.corpus.text.wording import Wording, wording_of

_GRAMMARS = {"en": ENGLISH, "zh": MANDARIN}
_HAN = regex.compile(r"\p{Han}")
# wide forms, Ⅷ, ﬁ, ٣
_NOT_NARROW = regex.compile(r"(?V1)[\uff01-\uff5e\uffe5\u2160-\u217f\ufb00-\ufb06]|[\p{Nd}--[0-9]]")
# soft hyphen, zero-width space, word joiner, byte-order mark, directions, variants of letters, and
# the stroke that stretches Arabic words
_INAUDIBLE = regex.compile(
    "[\u00ad\u034f\u061c\u0640\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufe00-\ufe0f\ufeff]"
)
# the dot of l·l, as it is typed
_CATALAN_DOT = regex.compile(r"(?<=[lL])[.•‧∙⋅・](?=[lL])")
# is a pause also between numbers
_WIDE_COMMA = regex.compile(r"(?<=[0-9\p{Sc}%])，(?=[0-9\p{Sc}±≥≤−+])")
_ADDRESS = regex.compile(r"((?:https?://|www\.)\S+|\S+@\S+)")
_TOKEN = regex.compile(
    r"(?s)(?P<zh>\p{Han}+)"
    r"|(?P<unit>(?<=\d\s?)(?!st|nd|rd|th)[A-Za-zµ]{1,3}(?![A-Za-z]))"
    r"|(?P<en>\p{L}+)"
    r"|(?P<pause>(?:[?!;。？！；：、…\n]|[.,:](?!\d)|(?<!\d)[.,:])+)"
    r"|."
)


@dataclass(frozen=True)
class NormalizedText:
    """A text in words.

    Attributes:
        text: the text.
        failed: numbers that a grammar refused and left in digits.
        doubtful: numbers that could be read in two ways, each with the reading taken, counted.
    """

    text: str
    failed: int = 0
    doubtful: Mapping[str, int] = field(default_factory=dict)


def normalize(text: str, language: str = DEFAULT_LANGUAGE) -> NormalizedText:
    """Put words for numbers, signs and abbreviations.

    Mandarin stretches are normalized in any text, the others where the language is English.

    Args:
        text: any text, on one line or several.
        language: the eSpeak NG voice that reads what is not Mandarin; all but the English voices
            read numbers themselves.

    Raises:
        CorpusError: there is something to normalize, and wetext is not installed.
    """
    text = _fold(text, language)
    if not _HAN.search(text):
        return _in_words(text, language)
    parts = []
    doubtful: Counter[str] = Counter()
    for script, stretch in _stretches(text):
        part = _in_words(stretch, "zh" if script == "zh" else language)
        parts.append(part)
        doubtful.update(part.doubtful)
    words = "".join(part.text for part in parts)
    return NormalizedText(words, sum(part.failed for part in parts), doubtful)


def _fold(text: str, language: str) -> str:
    """Write letters composed, wide forms narrow and digits in ASCII."""
    if base_language(language) == "ca":
        text = _CATALAN_DOT.sub("·", text)
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    audible = _INAUDIBLE.sub("", composed)
    audible = _WIDE_COMMA.sub(", ", audible)
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


def _in_words(text: str, language: str) -> NormalizedText:
    """Normalize a text of one language, in which ``zh`` is Mandarin."""
    rules = _GRAMMARS.get(base_language(language))
    plain = NormalizedText(text)
    if SIGNS_NEEDED.search(text):
        plain = _with_plain_numbers(text, wording_of(language))
    if rules is None or not rules.needed.search(plain.text):
        return plain
    words, failed = _apply(rules, plain.text)
    return NormalizedText(words, failed, plain.doubtful)


def _with_plain_numbers(text: str, wording: Wording) -> NormalizedText:
    """Write numbers and the signs around them as the reader of a language wants them."""
    doubtful: Counter[str] = Counter()
    pieces = _ADDRESS.split(text)
    for i in range(0, len(pieces), 2):  # the others are addresses
        spelled = read_telephones(pieces[i], wording)
        plain = write_plainly(spelled, wording.style)
        doubtful.update(plain.doubtful)
        with_lengths = read_lengths(plain.text, wording)
        pieces[i] = read_signs(with_lengths, wording)
    return NormalizedText("".join(pieces), doubtful=doubtful)


def _apply(rules: NormalizationRules, text: str) -> tuple[str, int]:
    """Have a grammar put words for numbers; also return how many it refused."""
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
    return in_words, failed


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
