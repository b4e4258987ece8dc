"""Phoneme symbols become ids. The owner of the special ids."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vibesweep.corpus.recordings import MAX_SPEAKERS
from vibesweep.errors import ModelError

PAD, BOS, SPEECH, PATCH = range(4)
SPEAKER_0 = 4
SPECIALS = ("<pad>", "<bos>", "<speech>", "<patch>", *(f"<spk{i}>" for i in range(MAX_SPEAKERS)))


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

    def encode_known(self, symbols: Iterable[str]) -> list[int]:
        """Ids of the symbols that are in the table; what is not was counted when the shards were looked at."""
        return [self._ids[symbol] for symbol in symbols if symbol in self._ids]

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
        if (
            not isinstance(symbols, list)
            or not all(isinstance(s, str) for s in symbols)
            or len(set(symbols)) != len(symbols)
        ):
            raise ModelError(
                "symbols is not a list of different strings",
                where="phoneme table",
                fix="take an intact base",
            )
        if specials != list(SPECIALS):
            raise ModelError(
                f"special symbols {specials}",
                where="phoneme table",
                fix=f"take a base with {', '.join(SPECIALS)}",
            )
        return cls(tuple(symbols))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, len(SPECIALS))}
