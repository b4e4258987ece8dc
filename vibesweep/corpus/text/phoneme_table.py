"""Phoneme symbols become ids. The owner of the special ids."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from vibesweep.corpus.recordings import MAX_SPEAKERS
from vibesweep.errors import ModelError

BOS, SPEECH, PATCH = range(1, 4)  # 0 is <pad>
SPEAKER_0 = 4
SPECIALS = ("<pad>", "<bos>", "<speech>", "<patch>", *(f"<spk{i}>" for i in range(MAX_SPEAKERS)))


@dataclass(frozen=True)
class PhonemeTable:
    """The ids of symbols: the special ids first, then the symbols in order."""

    symbols: tuple[str, ...]

    @classmethod
    def fit(cls, texts: Iterable[Iterable[str]]) -> PhonemeTable:
        """Make a table of all symbols in the texts."""
        symbols = {symbol for text in texts for symbol in text}
        return cls(tuple(sorted(symbols)))

    def __len__(self) -> int:
        """Return how many ids are in use, the special ids included."""
        return len(SPECIALS) + len(self.symbols)

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """Return the ids of symbols.

        Raises:
            ModelError: some are not in the table.
        """
        symbols = list(symbols)
        missing = self.missing(symbols)
        if missing:
            raise ModelError(
                f"the base has never met the phonemes {listed_symbols(missing)}",
                where="phoneme table",
                fix="leave those texts out, or take a base that knows their language",
            )
        return [self._ids[symbol] for symbol in symbols]

    def encode_known(self, symbols: Iterable[str]) -> list[int]:
        """Return the ids of the symbols that are in the table.

        The others were counted when the shards were checked.
        """
        return [self._ids[symbol] for symbol in symbols if symbol in self._ids]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the symbols of ids; special ids by their names."""
        names = (*SPECIALS, *self.symbols)
        return [names[i] for i in ids]

    def missing(self, symbols: Iterable[str]) -> Counter[str]:
        """Count the symbols that are not in the table."""
        unknown = [symbol for symbol in symbols if symbol not in self._ids]
        return Counter(unknown)

    @property
    def fingerprint(self) -> str:
        """Hash of the symbols in their order: with another one, ids mean other sounds."""
        content = json.dumps(self.symbols)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of the table."""
        return {"specials": list(SPECIALS), "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> PhonemeTable:
        """Read a table from such an object.

        Raises:
            ModelError: it is not one, or its special ids are others than ours.
        """
        symbols = found.get("symbols")
        if not _are_different_strings(symbols):
            raise ModelError(
                "symbols is not a list of different strings",
                where="phoneme table",
                fix="take an intact base",
            )
        specials = found.get("specials")
        if specials != list(SPECIALS):
            raise ModelError(
                f"special symbols {specials}",
                where="phoneme table",
                fix=f"take a base with {', '.join(SPECIALS)}",
            )
        return cls(tuple(symbols))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        numbered = enumerate(self.symbols, start=len(SPECIALS))
        return {symbol: number for number, symbol in numbered}


def _are_different_strings(symbols: object) -> TypeGuard[list[str]]:
    if not isinstance(symbols, list):
        return False
    if not all(isinstance(symbol, str) for symbol in symbols):
        return False
    return len(set(symbols)) == len(symbols)


def listed_symbols(counts: Counter[str]) -> str:
    """List symbols and how often they occur, the most frequent first."""
    listed = [f"{symbol!r} ({count})" for symbol, count in counts.most_common()]
    return ", ".join(listed)
