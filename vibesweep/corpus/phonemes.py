"""Text becomes phoneme symbols, and symbols become ids. The owner of the special ids.

English goes through eSpeak NG: one symbol for each IPA character, ``" "`` between words. Mandarin goes through pypinyin, which
keeps the tones that eSpeak merges: initial, final and tone of a syllable are symbols with the prefix ``zh:``, so that none of
them is an IPA character. Pauses are the same marks in both. What stands in Latin letters or digits is read as English.
"""

# The marks of Chinese text are meant.

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vibesweep.corpus.metadata import MAX_SPEAKERS
from vibesweep.errors import ModelError

PAD, BOS, SPEECH, PATCH = range(4)
SPEAKER_0 = 4
SPECIALS = ("<pad>", "<bos>", "<speech>", "<patch>", *(f"<spk{i}>" for i in range(MAX_SPEAKERS)))

WORD_BOUNDARY = " "
PAUSES = frozenset(",.?!;:")

_PAUSE_OF = {mark: mark for mark in PAUSES}
_PAUSE_OF |= dict(zip("，。？！；：、…—–", ",.?!;:,.,,", strict=True))
_SILENT = frozenset('"“”„‟«»‹›()[]{}*_~（）「」『』【】《》〈〉·')
_ENGLISH_MARKS = frozenset("'’-&%$€£+=@#°/ˈ")  # eSpeak says them, or needs them inside a word
_PRIME = {"’": "'", "‘": "'", "ʼ": "'", "‑": "-"}

_TITLES = re.compile(r"\b(Mrs?|Ms|Dr|Prof)\.(?=\s)")  # no pause after these
_HUM = ["zh:en", "zh:2"]  # syllables without a vowel, like 嗯, have neither initial nor final for pypinyin
_NO_MARKS = "\ufffe"  # phonemizer takes its marks out of 3.5 and 1,000; all others are gone before it is asked


@dataclass(frozen=True)
class Phonemes:
    """A text as symbols. ``unknown`` counts characters that were left out, by Unicode name."""

    language: str
    symbols: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """A stretch of one text in one script: ``en``, ``zh``, or ``pause`` with its mark."""

    script: str
    text: str


def phonemize(texts: Sequence[str]) -> list[Phonemes]:
    """Symbols of each text. The language is ``zh`` where there is a Han character, otherwise ``en``."""
    split = [_runs(text) for text in texts]
    english = sorted({run.text for runs, _ in split for run in runs if run.script == "en"})
    said = dict(zip(english, _english(english), strict=True))
    return [_join(runs, said, unknown) for runs, unknown in split]


@dataclass(frozen=True)
class PhonemeTable:
    """Ids of symbols: the specials first, then the symbols in order."""

    symbols: tuple[str, ...]

    @classmethod
    def fit(cls, texts: Iterable[Iterable[str]]) -> PhonemeTable:
        """A table of all symbols in the texts."""
        return cls(tuple(sorted({symbol for text in texts for symbol in text})))

    def __len__(self) -> int:
        """Ids in use, the specials included."""
        return len(SPECIALS) + len(self.symbols)

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """Ids of symbols.

        Raises:
            ModelError: some are not in the table.
        """
        symbols = list(symbols)
        missing = self.missing(symbols)
        if missing:
            listed = ", ".join(f"{symbol!r} ({count})" for symbol, count in missing.most_common())
            raise ModelError(
                f"the base has never met the phonemes {listed}",
                where="phoneme table",
                fix="leave those texts out, or take a base that knows their language",
            )
        return [self._ids[symbol] for symbol in symbols]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Symbols of ids, specials by their names."""
        return [(*SPECIALS, *self.symbols)[i] for i in ids]

    def missing(self, symbols: Iterable[str]) -> Counter[str]:
        """Symbols that are not in the table, counted."""
        return Counter(symbol for symbol in symbols if symbol not in self._ids)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"specials": list(SPECIALS), "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> PhonemeTable:
        """The table of such an object.

        Raises:
            ModelError: it is not one, or its special ids are others than ours.
        """
        symbols, specials = found.get("symbols"), found.get("specials")
        if not isinstance(symbols, list) or not all(isinstance(s, str) for s in symbols) or len(set(symbols)) != len(symbols):
            raise ModelError("symbols is not a list of different strings", where="phoneme table", fix="take an intact base")
        if specials != list(SPECIALS):
            raise ModelError(f"special symbols {specials}", where="phoneme table", fix=f"take a base with {', '.join(SPECIALS)}")
        return cls(tuple(symbols))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, len(SPECIALS))}


def _runs(text: str) -> tuple[list[_Run], Counter[str]]:
    """Cut a text where its script changes and at pauses; count what cannot be said."""
    runs: list[_Run] = []
    unknown: Counter[str] = Counter()
    normal = _TITLES.sub(r"\1", unicodedata.normalize("NFC", text))
    for i, char in enumerate(normal):
        script, kept = _classify(_PRIME.get(char, char))
        if script == "pause" and _inside_number(normal, i):
            script = "en"
        if script == "unknown":
            unknown[unicodedata.name(char, f"U+{ord(char):04X}")] += 1
            script, kept = "en", " "
        if runs and runs[-1].script == script != "pause":
            runs[-1] = _Run(script, runs[-1].text + kept)
        else:
            runs.append(_Run(script, kept))
    return [run for run in runs if run.script != "en" or any(map(_is_said, run.text))], unknown


def _classify(char: str) -> tuple[str, str]:
    """The script of a character and what stands for it."""
    if char in _PAUSE_OF:
        return "pause", _PAUSE_OF[char]
    if _is_han(char):
        return ("zh", char) if _has_pinyin(char) else ("unknown", char)
    if char.isspace() or char in _SILENT:
        return "en", " "
    if char in _ENGLISH_MARKS or (char.isdecimal() and char.isascii()) or unicodedata.name(char, "").startswith("LATIN "):
        return "en", char
    return "unknown", char


def _inside_number(text: str, i: int) -> bool:
    """Whether the mark at i is the point of 3.5 or the comma of 1,000."""
    return text[i] in ".,:" and 0 < i < len(text) - 1 and text[i - 1].isdecimal() and text[i + 1].isdecimal()


def _is_han(char: str) -> bool:
    return char == "〇" or unicodedata.name(char, "").startswith("CJK UNIFIED IDEOGRAPH")


def _is_said(char: str) -> bool:
    return char.isalnum() or char in "&%$€£+=@#°"


@functools.lru_cache(maxsize=8_192)
def _has_pinyin(char: str) -> bool:
    from pypinyin.constants import PINYIN_DICT

    return ord(char) in PINYIN_DICT


def _join(runs: Sequence[_Run], said: Mapping[str, Sequence[str]], unknown: Counter[str]) -> Phonemes:
    """Put the runs together; marks that follow each other become one pause, and none stands in front."""
    symbols: list[str] = []
    for run in runs:
        if run.script == "pause":
            if symbols and symbols[-1] not in PAUSES:
                symbols.append(run.text)
            continue
        spoken = said[run.text] if run.script == "en" else _mandarin(run.text)
        if symbols and spoken:
            symbols.append(WORD_BOUNDARY)
        symbols.extend(spoken)
    language = "zh" if any(run.script == "zh" for run in runs) else "en"
    return Phonemes(language, tuple(symbols), dict(unknown))


def _english(texts: Sequence[str]) -> list[list[str]]:
    """IPA characters of texts without pauses. Empty ones must not come: phonemizer then shifts the answers."""
    if not texts:
        return []
    lines = _espeak().phonemize([" ".join(text.split()) for text in texts], strip=True)
    assert len(lines) == len(texts), f"eSpeak gave {len(lines)} lines for {len(texts)}"
    return [list(unicodedata.normalize("NFC", " ".join(line.split()))) for line in lines]


@functools.lru_cache(maxsize=1)
def _espeak() -> Any:
    import logging

    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger("vibesweep.phonemizer")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # it warns of each word that eSpeak says in another language
    return EspeakBackend("en-us", punctuation_marks=_NO_MARKS, with_stress=True, language_switch="remove-flags", logger=quiet)


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
