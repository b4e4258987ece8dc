"""Which tags were left out of the texts of a corpus."""

from __future__ import annotations

import pyarrow.compute as pc

from vibesweep.corpus.shards.manifest import WARNINGS_FILE
from vibesweep.corpus.text.turns import added_up_left_out
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.parquet import open_parquet


def left_out_tags(shards: StorageAddress) -> dict[str, int]:
    """Count tags of sounds, times and footnotes that were left out, over a folder of shards."""
    place = StoragePath.of(shards) / WARNINGS_FILE
    left_out = pc.field("reason") == "left_out_tags"
    table = open_parquet(place).read(columns=["reason", "detail"]).filter(left_out)
    details = table["detail"].to_pylist()
    return added_up_left_out(details)
