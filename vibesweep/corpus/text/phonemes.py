"""Texts become phoneme symbols.

A normalized text (:mod:`vibesweep.corpus.text.normalization`) is cut by script. Han characters go
through pypinyin, which keeps the Mandarin tones that eSpeak merges: initial, final and tone of a
syllable are symbols with the prefix ``zh:``. All else goes through eSpeak NG in the language asked
for: one symbol for each IPA character, ``" "`` between words. Pauses are the same marks in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from vibesweep.corpus.text.espeak import espeak_languages, pronounce
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE, base_language
from vibesweep.corpus.text.language_advice import languages_like
from vibesweep.corpus.text.mel_extra import require_packages
from vibesweep.corpus.text.normalization import normalize
from vibesweep.corpus.text.pinyin import pinyin_symbols
from vibesweep.corpus.text.scripts import PAUSE_OF, Run, Script, split_by_script
from vibesweep.errors import CorpusError

WORD_BOUNDARY = " "
PAUSES = frozenset(PAUSE_OF.values())


@dataclass(frozen=True)
class Phonemes:
    """A text as symbols.

    Attributes:
        language: ``zh`` where there is a Han character, otherwise the language asked for, without
            its region.
        symbols: phonemes, pauses and word boundaries.
        unknown: characters that were left out, counted by Unicode name.
        not_normalised: numbers that could not be put into words; eSpeak reads them as it can.
        doubtful: numbers that could be read in two ways, each with the reading taken, counted.
    """

    language: str
    symbols: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    not_normalised: int = 0
    doubtful: Mapping[str, int] = field(default_factory=dict)


def phonemize(texts: Sequence[str], language: str = DEFAULT_LANGUAGE) -> list[Phonemes]:
    """Return the phonemes of each text.

    Args:
        texts: what is said.
        language: the eSpeak NG voice that reads all but Han characters, such as ``en-us``, ``de``,
            ``fr-fr``.

    Raises:
        CorpusError: eSpeak NG has no such language, or a package of the extra ``mel`` is missing.
    """
    check_language(language)
    normalized = [normalize(text, language) for text in texts]
    split = [split_by_script(text.text, language) for text in normalized]
    pronunciations = _pronounce_all([runs for runs, _ in split], language)
    found = []
    for (runs, unknown), text in zip(split, normalized, strict=True):
        symbols = _join(runs, pronunciations)
        spoken_in = _spoken_language(runs, language)
        found.append(Phonemes(spoken_in, symbols, dict(unknown), text.failed, dict(text.doubtful)))
    return found


def check_language(language: str) -> None:
    """Refuse a language that eSpeak NG has no voice for.

    Raises:
        CorpusError: there is none of this name, or a package of the extra ``mel`` is missing.
    """
    require_packages("phonemes")
    if language not in espeak_languages():
        raise CorpusError(
            f"eSpeak NG has no language {language!r}",
            where="language",
            fix=f"choose {languages_like(language)}",
        )


def _pronounce_all(texts: Sequence[Sequence[Run]], language: str) -> dict[str, list[str]]:
    """Return the IPA characters of all words in the runs; eSpeak reads each stretch once."""
    all_runs = chain.from_iterable(texts)
    words = {run.text for run in all_runs if run.script is Script.WORD}
    asked = sorted(words)
    answers = pronounce(asked, language)
    return dict(zip(asked, answers, strict=True))


def _join(runs: Sequence[Run], pronunciations: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Put the symbols of runs together.

    Marks that follow each other become one pause, and none stands in front.
    """
    symbols: list[str] = []
    for run in runs:
        if run.script is Script.PAUSE:
            if symbols and symbols[-1] not in PAUSES:
                symbols.append(run.text)
            continue
        is_word = run.script is Script.WORD
        spoken = pronunciations[run.text] if is_word else pinyin_symbols(run.text)
        if symbols and spoken:
            symbols.append(WORD_BOUNDARY)
        symbols.extend(spoken)
    return tuple(symbols)


def _spoken_language(runs: Sequence[Run], language: str) -> str:
    has_han = any(run.script is Script.HAN for run in runs)
    return "zh" if has_han else base_language(language)
