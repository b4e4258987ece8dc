"""Han characters become Mandarin syllables: initial, final and tone, by pypinyin."""

from __future__ import annotations

import functools

# Syllables without a vowel, like 嗯, have neither initial nor final for pypinyin
_HUM = ["zh:en", "zh:2"]


def has_pinyin(char: str) -> bool:
    """Whether pypinyin knows a reading of the character."""
    from pypinyin.constants import PINYIN_DICT

    return ord(char) in PINYIN_DICT


@functools.lru_cache(maxsize=65_536)
def pinyin_symbols(text: str) -> tuple[str, ...]:
    """Return initial, final and tone (5 is neutral) of each Han character, read in context.

    Symbols have the prefix ``zh:``, so that none of them is an IPA character.
    """
    from pypinyin import Style, lazy_pinyin

    initials = lazy_pinyin(text, style=Style.INITIALS)
    finals_with_tones = lazy_pinyin(text, style=Style.FINALS_TONE3, neutral_tone_with_five=True)
    symbols: list[str] = []
    for initial, final_with_tone in zip(initials, finals_with_tones, strict=True):
        final = final_with_tone[:-1]
        tone = final_with_tone[-1:]
        syllable = [f"zh:{part}" for part in (initial, final, tone) if part]
        symbols.extend(syllable or _HUM)
    return tuple(symbols)
