"""Tables of rewrites, and what the normalization of one language is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import regex

Replacement = str | Callable[[Any], str]
Rewrites = tuple[tuple[Any, Replacement], ...]
"""Compiled patterns and what is put for their matches, in the order in which they are applied."""


@dataclass(frozen=True)
class NormalizationRules:
    """How numbers, signs and abbreviations of one language become words.

    Attributes:
        grammar: wetext's name of the language.
        needed: finds something in every text that needs normalization.
        before: rewrites for what the grammar lacks or gets wrong, applied to the whole text.
        number: finds the numbers, with the words that belong to them, that the grammar is given.
        after: rewrites of the grammar's answers.
    """

    grammar: str
    needed: Any
    before: Rewrites
    number: Any
    after: Rewrites = ()


def compile_rewrites(*rows: tuple[str, Replacement]) -> Rewrites:
    """Compile a table of patterns and replacements."""
    compiled = []
    for pattern, replacement in rows:
        compiled.append((regex.compile(pattern), replacement))
    return tuple(compiled)


def rewrite(text: str, rewrites: Rewrites) -> str:
    """Apply a table to a text, row by row."""
    for pattern, replacement in rewrites:
        text = pattern.sub(replacement, text)
    return text
