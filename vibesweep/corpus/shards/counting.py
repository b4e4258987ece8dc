"""Counting what occurs in the columns of shards."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.compute as pc


def counts_of(values: Any) -> dict[str, int]:
    """Count how often each value of an Arrow array of strings occurs."""
    entries = pc.value_counts(values).to_pylist()
    return {entry["values"]: entry["counts"] for entry in entries}


def sums_of(maps: Any) -> Counter[str]:
    """Add up an Arrow array of maps from names to numbers."""
    total: Counter[str] = Counter()
    for pairs in maps.to_pylist():
        counts = dict(pairs or ())
        total.update(counts)
    return total
