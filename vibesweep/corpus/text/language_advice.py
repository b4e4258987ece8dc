"""What to say for ``--language``, where a language is unknown or a text is in other letters."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping

import regex

from vibesweep.corpus.text.espeak import espeak_languages
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE, base_language
from vibesweep.corpus.text.letters import is_letter, script_of

MOST_NAMED = 4
_OF_MOST_PEOPLE = "hi mr ne ar ur fa ru uk kk bg bn am el".split()
"""Languages whose script others share."""
_WRITTEN_IN = {"Jpan": "Hira Kana", "Kore": "Hang", "Hans": "Han", "Hant": "Han"}
"""Unicode's scripts of those that CLDR has put together."""


def languages_like(language: str) -> str:
    """Say which language to take in place of an unknown one."""
    base = base_language(language)
    if base == "zh":
        return f"{DEFAULT_LANGUAGE}, and Han characters are read as Mandarin"
    near = [name for name in espeak_languages() if base_language(name) == base.lower()]
    others = f"a language that espeak-ng --voices lists, such as {DEFAULT_LANGUAGE}, de or fr-fr"
    return ", ".join(near) or others


def why_silent(text: str, language: str) -> str:
    """Say why a text has no phonemes, and what to do.

    Args:
        text: what was to be said.
        language: the eSpeak NG voice that was to read it.
    """
    letters = [char for char in text if char.isalpha()]
    own = is_letter(language)
    if not letters or any(own.match(char) for char in letters):
        return "there are no words in it"
    script = _script_of_most("".join(letters))
    if script is None:
        return "eSpeak NG has no voice for its letters"
    languages = _languages_by_script()[script]
    listed = " or ".join(languages[:MOST_NAMED])
    return (
        f"the text is in {_name(script)} letters, --language is {language}: say --language {listed}"
    )


def _script_of_most(letters: str) -> str | None:
    """Return the script of most letters, among those that eSpeak NG has a voice for."""
    counted: Counter[str] = Counter()
    for script in _languages_by_script():
        written_in = _WRITTEN_IN.get(script, script)
        own_letters = "".join(rf"\p{{{part}}}" for part in written_in.split())
        counted[script] = len(regex.findall(f"[{own_letters}]", letters))
    script, count = counted.most_common(1)[0]
    return script if count else None


@functools.lru_cache(maxsize=1)
def _languages_by_script() -> Mapping[str, list[str]]:
    """List eSpeak NG's languages by CLDR's name of their script, those of most people first."""
    found: dict[str, list[str]] = {}
    for language in espeak_languages():
        script = script_of(language)
        if script is not None:
            found.setdefault(script, []).append(language)
    for languages in found.values():
        languages.sort(key=_rank)
    return found


def _rank(language: str) -> tuple[int, int, str]:
    rank = _OF_MOST_PEOPLE.index(language) if language in _OF_MOST_PEOPLE else len(_OF_MOST_PEOPLE)
    return rank, len(language), language


def _name(script: str) -> str:
    from babel import Locale

    name: str = Locale("en").scripts.get(script, script)
    return name
