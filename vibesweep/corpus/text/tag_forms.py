"""What a tag's content looks like: a speaker, a sound, a time, a footnote, or words."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Sequence
from enum import StrEnum

import regex

from vibesweep.corpus.text.tag_words import (
    ALSO_NAMES,
    BESIDE_SOUNDS,
    FUNCTION_WORDS,
    NO_NAMES,
    PARTICLES,
    ROLES,
    SOUNDS,
    TITLES,
)

MOST_WORDS_OF_A_SOUND = 6
"""A longer content of brackets is a sentence that an editor put in."""

_SPEAKER = (
    r"speakers?|spkr|spk|sprecher(?:in)?|locuteur|locutrice|hablante|interlocutor|orador|falante"
    r"|relatore|спикер|диктор|говорящий|说话人|說話人|发言人|發言人|讲者|話者|화자"
)
_DIARIZER = regex.compile(
    rf"(?i:(?P<who>{_SPEAKER}))[\s_#-]*(?P<number>[0-9]{{1,4}}|[A-Za-z])"
    r"|(?i:speaker)[_-][\w-]+"
    r"|[Ss][\s_-]?[0-9]{1,3}"
    r"|(?i:person|voice|participant)[\s_#-]*(?:[0-9]{1,4}|[A-Z])"
)
_NUMBER = regex.compile(r"\^?[0-9]{1,4}(?:\s*[,;–-]\s*[0-9]{1,4})*\*?|[*†‡]+")
_CLOCK = r"(?:[0-9]{1,3}:)?[0-9]{1,3}:[0-9]{2}(?:[.,][0-9]{1,6})?|[0-9]{1,6}[.,][0-9]{1,6}\s*s?"
_MOMENT = rf"(?:{_CLOCK}|[0-9]+(?:[.,][0-9]+)?\s*(?:ms|s|sec|min|h))"
_TIME = regex.compile(rf"@?\s*{_MOMENT}(?:\s*(?:-->|->|–|—|-|to|,|/)\s*{_MOMENT})?")
_WORD = regex.compile(r"[\p{L}\p{M}'’]+")
_ENDING = regex.compile(r"s|es|ed|ing")
_CAPITAL_WORD = r"[\p{Lu}\p{Lt}][\p{L}\p{M}'’]*\.?"
_CASELESS_WORD = r"[\p{Lo}][\p{Lo}\p{Lm}\p{M}·]*"
_ONE_NAME = rf"(?:{_CAPITAL_WORD}|{_CASELESS_WORD})"
_PARTICLE = rf"(?:{'|'.join(sorted(PARTICLES))})"
_NAME = regex.compile(
    rf"{_ONE_NAME}(?:[ _-](?:{_PARTICLE}[ ]){{0,2}}{_ONE_NAME}){{0,3}}(?:[ _#]?[0-9]{{1,3}})?"
)
_LONE_LETTERS = frozenset("ABCDEFGHJKLMNOPQRSTUVWXYZ")  # not I, which is a word
_HAN_SENTENCE = regex.compile(r"\p{Han}{5,}|.*[说說道问問答讲講叫喊曰云是为為]")


class Form(StrEnum):
    """What a tag looks like."""

    DIARIZER = "diarizer"
    """``SPEAKER_00``, ``spk_1``, ``S1``: what programs and transcribers call a speaker."""
    LETTER = "letter"
    ROLE = "role"
    NAME = "name"
    SMALL = "small letters"
    """Words without a capital that no list knows."""
    SOUND = "sound"
    TIME = "time"
    NUMBER = "number"
    WORDS = "words"


def tag_of(written: str) -> str:
    """Return the tag that a speaker's name in a text or a table stands for, in capitals.

    ``Speaker 1`` and ``speaker-1`` become ``SPEAKER_1``.
    """
    name = " ".join(written.split())
    found = _DIARIZER.fullmatch(name)
    if found is not None and found["who"]:
        name = f"{found['who']}_{found['number']}"
    return name.upper()


@functools.lru_cache(maxsize=4096)  # a corpus repeats its tags
def form_of(content: str) -> Form:
    """Tell what the content of brackets looks like."""
    text = " ".join(content.split())
    if _DIARIZER.fullmatch(text):
        return Form.DIARIZER
    if _NUMBER.fullmatch(text):
        return Form.NUMBER
    words = words_of(text)
    if _TIME.fullmatch(text) or not words:
        return Form.TIME if words or regex.search(r"\d", text) else Form.SOUND
    if _is_role(words):
        return Form.ROLE
    if len(words) <= MOST_WORDS_OF_A_SOUND and _has_sound(text, words):
        return Form.SOUND
    if is_name(text):
        return Form.LETTER if text in _LONE_LETTERS else Form.NAME
    return _form_of_words(text, words)


def _form_of_words(text: str, words: Sequence[str]) -> Form:
    """Tell what words are that are no name and have no known sound among them."""
    content_words = [word for word in words if word.lower() not in FUNCTION_WORDS]
    if not content_words or len(words) > MOST_WORDS_OF_A_SOUND:
        return Form.WORDS
    doing = [word for word in content_words if word.islower() and word.endswith(("s", "ing"))]
    if doing and len(words) > 1:
        return Form.SOUND
    if len(content_words) == len(words) and text == text.lower():
        return Form.SMALL
    return Form.WORDS


def is_pure_sound(content: str, known: Container[str] = SOUNDS) -> bool:
    """Whether nothing but a sound is meant, as in (laughter) or (she laughs).

    Round brackets and asterisks hold spoken words too, so more is asked of them than of square
    brackets.

    Args:
        content: of the brackets.
        known: words of sounds.
    """
    words = [word.lower() for word in words_of(content)]
    if not 0 < len(words) <= MOST_WORDS_OF_A_SOUND:
        return False
    if regex.search("[,;:.!?]", content):
        return False
    has_sound = False
    for word in words:
        if _is_sound(word, known):
            has_sound = True
        elif word not in BESIDE_SOUNDS:
            return False
    return has_sound


def is_name(text: str) -> bool:
    """Whether a text has the form of a person's name: Anna, Dr. Smith, ANNA, 小明."""
    if text in _LONE_LETTERS:
        return True
    if not _NAME.fullmatch(text) or _HAN_SENTENCE.fullmatch(text):
        return False
    words = words_of(text)
    if any(word.lower() in FUNCTION_WORDS - PARTICLES for word in words):
        return False
    dotted = regex.findall(r"(\p{L}+)\.", text)
    if any(len(word) > 1 and word.lower() not in TITLES for word in dotted):
        return False
    first = words[0].lower()
    return first not in NO_NAMES and first not in PARTICLES - {"van", "de"}


def is_diarizer_tag(text: str) -> bool:
    """Whether a text is what diarizers call a speaker."""
    return _DIARIZER.fullmatch(text) is not None


def is_small_name(text: str) -> bool:
    """Whether one word in small letters may be a name or a role: anna, host."""
    is_one_word = _WORD.fullmatch(text) is not None and text == text.lower()
    return is_one_word and text not in FUNCTION_WORDS and text not in NO_NAMES


def words_of(text: str) -> list[str]:
    """Return the words of a tag, without signs and figures."""
    words: list[str] = _WORD.findall(text)
    return words


def _is_role(words: Sequence[str]) -> bool:
    return all(word.lower() in ROLES for word in words)


def _has_sound(text: str, words: Sequence[str]) -> bool:
    """Whether a word of brackets is a known sound, and not somebody called Bell."""
    first = words[0].lower()
    has_capital = text[:1].isupper() and not text.isupper()
    is_one_name = has_capital and len(words) == 1
    if is_one_name and first in ALSO_NAMES:
        return False
    if first in TITLES:
        return False
    lowered = [word.lower() for word in words]
    return any(_is_sound(word, SOUNDS) for word in lowered)


def _is_sound(word: str, known: Container[str]) -> bool:
    """Whether a word in small letters, with or without an English ending, is a known sound."""
    return any(stem in known for stem in _stems(word))


def _stems(word: str) -> Iterator[str]:
    """Yield a word, and what it may be without an English ending."""
    yield word
    for length in (1, 2, 3):
        stem = word[:-length]
        if len(stem) < 2 or not _ENDING.fullmatch(word[-length:]):
            continue
        yield stem
        yield f"{stem}e"
        if stem[-1] == stem[-2]:
            yield stem[:-1]
