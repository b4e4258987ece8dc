"""Text becomes phoneme symbols.

What is spelled out first (:mod:`vibesweep.corpus.text.normalization`) is cut by script. Han characters go through pypinyin, which keeps the
Mandarin tones that eSpeak merges: initial, final and tone of a syllable are symbols with the prefix ``zh:``, so that none of them is
an IPA character. All else goes through eSpeak NG in the language asked for: one symbol for each IPA character, ``" "`` between words.
Pauses are the same marks in both.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import regex

from vibesweep.corpus.text.normalization import spell_out
from vibesweep.errors import CorpusError

DEFAULT_LANGUAGE = "en-us"

WORD_BOUNDARY = " "
PAUSES = frozenset(",.?!;:")

_PAUSE_OF = {mark: mark for mark in PAUSES}
_PAUSE_OF |= dict(zip("，。？！；：、…—–،؛؟।", ",.?!;:,.,,,;?.", strict=True))
_SILENT = frozenset('"“”„‟«»‹›()[]{}*_~（）「」『』【】《》〈〉·¿¡')
_SPOKEN_MARKS = frozenset("&%$€£+=@#°")  # eSpeak says them
_WORD_MARKS = _SPOKEN_MARKS | frozenset("'’-/ˈ")  # or needs them inside a word
_PRIME = {"’": "'", "‘": "'", "ʼ": "'", "‑": "-"}

# Scripts that are written together, as CLDR's likely subtags name them; Han characters are Mandarin in any case
_PARTS = {"Jpan": "\\p{Hira}\\p{Kana}ー", "Kore": "\\p{Hang}", "Hans": "", "Hant": "", "Latn": ""}
_HUM = [
    "zh:en",
    "zh:2",
]  # syllables without a vowel, like 嗯, have neither initial nor final for pypinyin
_SWITCH = regex.compile(
    r"\([a-z][\w-]*\)"
)  # eSpeak goes over to another language for a word, and back
_OTHER_SCRIPTS = ["да", "ναι"]
_NO_MARKS = "\ufffe"  # phonemizer takes its marks out of 3.5 and 1,000; all others are gone before it is asked


@dataclass(frozen=True)
class Phonemes:
    """A text as symbols.

    Attributes:
        language: ``zh`` where there is a Han character, otherwise the language asked for, without its region.
        symbols: phonemes, pauses and word boundaries.
        unknown: characters that were left out, counted by Unicode name.
        not_normalised: figures that could not be spelled out; eSpeak reads them as it can.
    """

    language: str
    symbols: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    not_normalised: int = 0


@dataclass(frozen=True)
class _Run:
    """A stretch of one text: ``zh``, ``word`` for what eSpeak reads, or ``pause`` with its mark."""

    script: str
    text: str


def phonemize(texts: Sequence[str], language: str = DEFAULT_LANGUAGE) -> list[Phonemes]:
    """Symbols of each text.

    Args:
        texts: what is said.
        language: the eSpeak NG voice that reads all but Han characters, such as ``en-us``, ``de``, ``fr-fr``.

    Raises:
        CorpusError: eSpeak NG has no such language.
    """
    check_language(language)
    spelled = [spell_out(text, language) for text in texts]
    split = [_runs(text.text, language) for text in spelled]
    asked = sorted({run.text for runs, _ in split for run in runs if run.script == "word"})
    said = dict(zip(asked, _espeak_says(asked, language), strict=True))
    return [
        _join(runs, said, language, unknown, text.failed)
        for (runs, unknown), text in zip(split, spelled, strict=True)
    ]


def check_language(language: str) -> None:
    """Refuse a language that eSpeak NG has no voice for.

    Raises:
        CorpusError: there is none of this name.
    """
    known = _languages()
    if language not in known:
        near = [name for name in known if name.split("-")[0] == language.split("-")[0].lower()]
        han = (
            "en-us, and Han characters are read as Mandarin"
            if language.split("-")[0] == "zh"
            else ""
        )
        fix = f"choose {han or ', '.join(near) or 'a language that espeak-ng --voices lists, such as en-us, de or fr-fr'}"
        raise CorpusError(f"eSpeak NG has no language {language!r}", where="language", fix=fix)


def _runs(text: str, language: str) -> tuple[list[_Run], Counter[str]]:
    """Cut a text where its script changes and at pauses; count what cannot be said."""
    runs: list[_Run] = []
    unknown: Counter[str] = Counter()
    for i, char in enumerate(text):
        script, kept = _classify(_PRIME.get(char, char), language)
        if script == "pause" and _inside_number(text, i):
            script = "word"
        if script == "unknown":
            unknown[unicodedata.name(char, f"U+{ord(char):04X}")] += 1
            script, kept = "word", " "
        if runs and runs[-1].script == script != "pause":
            runs[-1] = _Run(script, runs[-1].text + kept)
        else:
            runs.append(_Run(script, kept))
    return [run for run in runs if run.script != "word" or any(map(_is_said, run.text))], unknown


@functools.lru_cache(maxsize=65_536)
def _classify(char: str, language: str) -> tuple[str, str]:
    """The script of a character and what stands for it."""
    if char in _PAUSE_OF:
        return "pause", _PAUSE_OF[char]
    if _is_han(char):
        return ("zh", char) if _has_pinyin(char) else ("unknown", char)
    if char.isspace() or char in _SILENT:
        return "word", " "
    if (
        char in _WORD_MARKS
        or (char.isdecimal() and char.isascii())
        or _letters(language).fullmatch(char)
    ):
        return "word", char
    return "unknown", char


@functools.lru_cache(maxsize=8)
def _letters(language: str) -> Any:
    """Letters of the language's own script and Latin ones; where the script is not known, all letters."""
    from babel.core import get_global

    likely = get_global("likely_subtags")
    tag = likely.get(language.replace("-", "_")) or likely.get(language.split("-")[0])
    if tag is None:
        return regex.compile(r"[\p{L}\p{M}]")
    script = str(tag).split("_")[1]
    own = _PARTS.get(script, rf"\p{{{script}}}\p{{M}}")  # vowel signs are marks
    return regex.compile(rf"[\p{{Latin}}½¼¾²³{own}]")


def _inside_number(text: str, i: int) -> bool:
    """Whether the mark at i is the point of 3.5 or the comma of 1,000."""
    return (
        text[i] in ".,:"
        and 0 < i < len(text) - 1
        and text[i - 1].isdecimal()
        and text[i + 1].isdecimal()
    )


def _is_han(char: str) -> bool:
    return char == "〇" or unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")


def _is_said(char: str) -> bool:
    return char.isalnum() or char in _SPOKEN_MARKS


def _has_pinyin(char: str) -> bool:
    from pypinyin.constants import PINYIN_DICT

    return ord(char) in PINYIN_DICT


def _join(
    runs: Sequence[_Run],
    said: Mapping[str, Sequence[str]],
    language: str,
    unknown: Counter[str],
    failed: int,
) -> Phonemes:
    """Put the runs together; marks that follow each other become one pause, and none stands in front."""
    symbols: list[str] = []
    for run in runs:
        if run.script == "pause":
            if symbols and symbols[-1] not in PAUSES:
                symbols.append(run.text)
            continue
        spoken = said[run.text] if run.script == "word" else _mandarin(run.text)
        if symbols and spoken:
            symbols.append(WORD_BOUNDARY)
        symbols.extend(spoken)
    spoken_in = "zh" if any(run.script == "zh" for run in runs) else language.split("-")[0]
    return Phonemes(spoken_in, tuple(symbols), dict(unknown), failed)


def _espeak_says(texts: Sequence[str], language: str) -> list[list[str]]:
    """IPA characters of texts without pauses. Empty ones must not come: phonemizer then shifts the answers."""
    if not texts:
        return []
    lines = _espeak(language).phonemize([" ".join(text.split()) for text in texts], strip=True)
    assert len(lines) == len(texts), f"eSpeak gave {len(lines)} lines for {len(texts)}"
    lines = [
        _say_afresh(" ".join(text.split()), language) if _SWITCH.search(line) else line
        for text, line in zip(texts, lines, strict=True)
    ]
    return [
        list(unicodedata.normalize("NFC", " ".join(_SWITCH.sub("", line).split())))
        for line in lines
    ]


def _say_afresh(text: str, language: str) -> str:
    """Say what holds words of another language again, after words that make eSpeak put that language away.

    In such words it chooses between readings, as of "live" or "house", by what it last said in that language: flags that it sets back
    for the voice's own language alone. This makes the choice steady in most voices and not in all (docs/design/corpus.md).
    """
    backend = _espeak(language)
    backend.phonemize(_OTHER_SCRIPTS, strip=True)
    return str(backend.phonemize([text], strip=True)[0])


@functools.lru_cache(maxsize=1)
def _backend() -> Any:
    """Phonemizer's class, told where eSpeak NG lies."""
    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakBackend


@functools.lru_cache(maxsize=1)
def _languages() -> tuple[str, ...]:
    return tuple(sorted(_backend().supported_languages()))


@functools.lru_cache(maxsize=8)
def _espeak(language: str) -> Any:
    import logging

    quiet = logging.getLogger("vibesweep.phonemizer")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # it warns of each word that eSpeak says in another language
    return _backend()(
        language,
        punctuation_marks=_NO_MARKS,
        with_stress=True,
        language_switch="keep-flags",
        logger=quiet,
    )


@functools.lru_cache(maxsize=65_536)
def _mandarin(text: str) -> tuple[str, ...]:
    """Initial, final and tone (5 is neutral) of each Han character, read in context."""
    from pypinyin import Style, lazy_pinyin

    initials = lazy_pinyin(text, style=Style.INITIALS)
    finals = lazy_pinyin(text, style=Style.FINALS_TONE3, neutral_tone_with_five=True)
    symbols: list[str] = []
    for initial, final in zip(initials, finals, strict=True):
        parts = (initial, final[:-1], final[-1:])
        symbols.extend([f"zh:{part}" for part in parts if part] or _HUM)
    return tuple(symbols)
