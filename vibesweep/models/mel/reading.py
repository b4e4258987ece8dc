"""Texts become the ids of a model's phonemes, and what it has none for is listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.corpus.text.phonemes import PAUSES, WORD_BOUNDARY, Phonemes, phonemize
from vibesweep.errors import SpeechError

MOST_LEFT_OUT = 0.1
"""Share of a text's phonemes that a model may lack; with more, another thing would be said."""
MOST_LISTED = 8


@dataclass(frozen=True)
class ReadTexts:
    """Texts as a model reads them.

    Attributes:
        ids: of the phonemes of each text.
        left_out: what the model has no sounds for, in a few words each.
    """

    ids: tuple[list[int], ...]
    left_out: tuple[str, ...]

    def remarks(self) -> tuple[str, ...]:
        """Say in a line what is left out, if anything is."""
        if not self.left_out:
            return ()
        listed = ", ".join(self.left_out[:MOST_LISTED])
        more = len(self.left_out) - MOST_LISTED
        if more > 0:
            listed = f"{listed} and {more} more"
        return (f"left out, because the model has no sounds for it: {listed}",)


def read_texts(texts: Sequence[str], language: str, table: PhonemeTable) -> ReadTexts:
    """Read texts in a language, without the few phonemes that the table lacks.

    Raises:
        CorpusError: eSpeak NG has no such language.
        ModelError: the table lacks more than ``MOST_LEFT_OUT`` of the phonemes.
        SpeechError: nothing can be said.
    """
    readings = phonemize(texts, language)
    symbols = [symbol for reading in readings for symbol in reading.symbols]
    missing = table.missing(symbols)
    if missing.total() > MOST_LEFT_OUT * len(symbols):
        table.encode(symbols)  # raises an error that names them all
    sounds = [symbol for symbol in symbols if _is_sound(symbol)]
    if not sounds:
        found = f"there is nothing to say in the text, read as {language}"
        fix = "write words of that language, or name the text's own with --language"
        raise SpeechError(found, where="--text", fix=fix)
    ids = [table.encode_known(reading.symbols) for reading in readings]
    words = " ".join(texts).split()
    different = list(dict.fromkeys(words))
    left_out = _left_out(different, language, missing)
    return ReadTexts(tuple(ids), tuple(left_out))


def _left_out(words: Sequence[str], language: str, missing: Iterable[str]) -> Iterator[str]:
    """Name words for which nothing is said, and what is missing of others.

    Words are read one by one, which says little different from how the text is read: so of their
    phonemes only those count that are ``missing`` in the text.
    """
    readings = phonemize(words, language)
    not_named = dict.fromkeys(missing)
    gone = frozenset(not_named)
    for word, reading in zip(words, readings, strict=True):
        symbols = dict.fromkeys(reading.symbols)
        sounds = [symbol for symbol in symbols if _is_sound(symbol)]
        lost = [symbol for symbol in sounds if symbol in gone]
        for symbol in lost:
            not_named.pop(symbol, None)
        if len(lost) < len(sounds):
            for symbol in lost:
                yield f"{symbol!r} of {word!r}"
            for name in reading.unknown:
                yield f"{name} of {word!r}"
        elif _is_word(word, reading):
            yield repr(word)
    for symbol in not_named:
        yield repr(symbol)


def _is_sound(symbol: str) -> bool:
    return symbol not in PAUSES and symbol != WORD_BOUNDARY


def _is_word(word: str, reading: Phonemes) -> bool:
    """Tell a word or sign from punctuation, which is meant to be silent."""
    if reading.unknown:
        return True
    return any(character.isalnum() for character in word)
