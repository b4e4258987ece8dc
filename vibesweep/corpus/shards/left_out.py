"""Which tags were left out of the texts of a corpus."""

from __future__ import annotations

import pyarrow.parquet as pq

from vibesweep.corpus.shards.manifest import WARNINGS_FILE
from vibesweep.corpus.text.turns import added_up_left_out
from vibesweep.storage import StorageAddress, StoragePath


def left_out_tags(shards: StorageAddress) -> dict[str, int]:
    """Count tags of sounds, times and footnotes that were left out, over a folder of shards."""
    place = StoragePath.of(shards) / WARNINGS_FILE
    with place.fetched() as path:
        rows = pq.read_table(path, columns=["reason", "detail"]).to_pylist()
    return added_up_left_out(row["detail"] for row in rows if row["reason"] == "left_out_tags")
