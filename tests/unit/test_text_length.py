"""Estimated phonemes of texts, held against a phonemizer's."""

from __future__ import annotations

import random
import unicodedata

import pytest

from vibesweep.corpus.demo import sentence
from vibesweep.corpus.text import PAUSES, Phonemes, phonemize, spoken_length
from vibesweep.corpus.text.phonemes import WORD_BOUNDARY


def count(phonemes: Phonemes) -> int:
    return sum(symbol not in PAUSES | {WORD_BOUNDARY} for symbol in phonemes.symbols)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_estimate_is_within_a_quarter_of_a_phonemizer_s_count(language: str) -> None:
    rng = random.Random(0)
    texts = [sentence(language, rng) for _ in range(200)]
    counted = [count(phonemes) for phonemes in phonemize(texts)]
    estimated = [spoken_length(text) for text in texts]
    assert sum(estimated) == pytest.approx(sum(counted), rel=0.25)
    for one_estimate, one_count in zip(estimated, counted, strict=True):
        assert 0.6 < one_estimate / one_count < 1.5


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("?! … — (\u200b)\n", 0),
        ("Hello, world!", 10),
        ("Привет", 6),
        ("42", 7),
        ("٤٢ ½", 10),
        ("中国〇", 8),
        ("ひらカタ", 8),
        ("안녕", 5),
        ("नमस्ते", 4),  # four letters; vowel signs and the virama are marks
        ("iPhone 15 卖了", 18),
    ],
)
def test_each_script_counts_by_its_letters(text: str, length: int) -> None:
    assert spoken_length(text) == length


def test_decomposed_text_counts_like_composed_text() -> None:
    text = "Äpfel 한국 déjà"
    assert spoken_length(unicodedata.normalize("NFD", text)) == spoken_length(text)
