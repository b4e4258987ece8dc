"""What is said: clauses of books and made-up sentences, each once, with their phonemes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vibesweep.corpus.demo import sentence
from vibesweep.corpus.text import phonemize

EVERYDAY_ONE_IN = 5
"""One English sentence of so many is everyday speech; the others come from books."""
TWO_AT_ONCE_ONE_IN = 5
"""One utterance of so many is two sentences."""
SHORTEST_WORDS, LONGEST_WORDS = 3, 14
TRIES = 4
PHONEMIZED_AT_ONCE = 2_000
RARE_WORDS = (
    "Utrecht",
    "Achtung",
    "Bach",
    "the loch",
    "Ahmed",
    "croissants",
    "the Reich",
    "Beresford",
    "Maastricht",
    "Van Rijn",
    "nacht",
)
"""Words whose phonemes English books hardly have. A base refuses texts with a phoneme it lacks."""
CARRIERS = (
    "We talked about {}.",
    "Have you heard of {}?",
    "{} was in the news.",
    "I like {}, and so does my sister.",
    "Tell me of {}.",
)


@dataclass(frozen=True)
class Utterance:
    """What somebody says at once.

    Attributes:
        text: as it is written.
        language: ``en`` or ``zh``.
        symbols: its phonemes, as the family ``mel`` reads them.
    """

    text: str
    language: str
    symbols: tuple[str, ...]


def utterances(
    file: Path, books: Sequence[Path], english: int, mandarin: int
) -> dict[str, list[Utterance]]:
    """Return so many utterances by language; they are kept in a file, and read where it is there.

    Args:
        file: JSON, an utterance a line.
        books: plain English text files.
        english: how many English sentences.
        mandarin: how many Mandarin ones.
    """
    if not file.exists():
        found = [*_read(_english(books, english), "en"), *_read(_made_up("zh", mandarin), "zh")]
        lines = [json.dumps(asdict(said), ensure_ascii=False) for said in found]
        partial = file.with_suffix(".partial")
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.rename(file)
    by_language: dict[str, list[Utterance]] = {"en": [], "zh": []}
    for line in file.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        said = Utterance(values["text"], values["language"], tuple(values["symbols"]))
        by_language[said.language].append(said)
    return by_language


def _english(books: Sequence[Path], count: int) -> list[str]:
    """Return so many sentences of books and of everyday speech, and the rare words besides."""
    rng = random.Random(0)
    everyday = _made_up("en", count // EVERYDAY_ONE_IN)
    rare = [carrier.format(word) for carrier in CARRIERS for word in RARE_WORDS] * 2
    wanted = count - len(everyday)
    clauses = _book_sentences(books)
    rng.shuffle(clauses)
    stretches = _stretches(books, wanted - len(clauses), rng)
    chosen = clauses[:wanted] + stretches + everyday + rare
    rng.shuffle(chosen)
    return chosen


def _one_line(books: Sequence[Path]) -> str:
    whole = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in books)
    ascii_only = re.sub("[“”]", "", whole).replace("’", "'").replace("—", ", ")
    return re.sub(r"\s+", " ", ascii_only)


def _book_sentences(books: Sequence[Path]) -> list[str]:
    """Return the books' clauses of a few words, each once."""
    clauses = [part.strip() for part in re.split(r"(?<=[.!?;:,]) ", _one_line(books))]
    return list(dict.fromkeys(clause for clause in clauses if _is_speakable(clause)))


def _stretches(books: Sequence[Path], count: int, rng: random.Random) -> list[str]:
    """Return so many runs of a few words that begin and end anywhere in the books.

    Short books may have fewer.
    """
    words = _one_line(books).split()
    found: dict[str, None] = {}
    for _ in range(TRIES * count if words else 0):
        if len(found) == count:
            break
        length = rng.randint(SHORTEST_WORDS, LONGEST_WORDS)
        start = rng.randrange(len(words))
        stretch = " ".join(words[start : start + length]).strip(",.!?;:- ")
        if _is_speakable(stretch):
            found[f"{stretch}."] = None
    return list(found)


def _is_speakable(clause: str) -> bool:
    """Return whether a clause has a few words, and only letters and punctuation."""
    words = len(clause.split())
    plain = re.fullmatch(r"[A-Za-z',.!?;: -]+", clause) is not None
    return plain and SHORTEST_WORDS <= words <= LONGEST_WORDS


def _made_up(language: str, count: int) -> list[str]:
    """Return sentences of the demo corpus's grammar, each once; the demo corpus draws others."""
    rng = random.Random(f"base {language}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[sentence(language, rng)] = None
    return list(found)


def _read(sentences: Sequence[str], language: str) -> Iterator[Utterance]:
    """Put some sentences together, and yield those of which there is something to say."""
    rng = random.Random(f"together {language}")
    texts = []
    remaining = list(sentences)
    while remaining:
        two = rng.randrange(TWO_AT_ONCE_ONE_IN) == 0 and len(remaining) > 1
        parts = [remaining.pop() for _ in range(2 if two else 1)]
        texts.append(" ".join(parts))
    for first in range(0, len(texts), PHONEMIZED_AT_ONCE):
        some = texts[first : first + PHONEMIZED_AT_ONCE]
        for text, phonemes in zip(some, phonemize(some), strict=True):
            if phonemes.symbols:
                yield Utterance(text, language, phonemes.symbols)
