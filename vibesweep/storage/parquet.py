"""Parquet files are opened here, and those that would fill the memory are not."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.errors import StorageError
from vibesweep.storage.paths import StoragePath

MOST_UNPACKED = 1_000
"""Times its size that a file may unpack to. Tables of ours come to less than ten, text to a few
dozen."""
LEAST_BYTES = 1 << 14
"""A smaller file is taken to be of this size: of a few rows, footer and schema are the most."""


def open_parquet(place: StoragePath) -> pq.ParquetFile:
    """Open a Parquet file for reading, mapped into memory where it is local.

    A file of some kilobytes may claim billions of equal values, which take no room in it and all
    the room there is in memory. What its footer claims is held against its size.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is no Parquet file, or claims more than it can hold.
    """
    try:
        if place.local is not None:
            file = pq.ParquetFile(place.local, memory_map=True)
        else:
            stream = place.filesystem.open_input_file(place.path)
            file = pq.ParquetFile(stream, pre_buffer=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        fix = "make it anew, or copy it again"
        raise StorageError(f"it is no Parquet file: {error}", where=str(place), fix=fix) from error
    stat = place.stat()
    size = LEAST_BYTES if stat is None else max(stat.size, LEAST_BYTES)
    _refuse_bomb(file.metadata, size, place)
    return file


def _refuse_bomb(metadata: pq.FileMetaData, size: int, place: StoragePath) -> None:
    """Refuse more values in a column than bytes in the file, or what unpacks to far more bytes."""
    unpacked = 0
    values = metadata.num_rows
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            unpacked += column.total_uncompressed_size
            values = max(values, column.num_values)
    if values <= size and unpacked <= MOST_UNPACKED * size:
        return
    found = f"it claims {values:,} values and {unpacked:,} bytes in a file of {size:,} bytes"
    fix = "do not use it if you do not trust its source; else make it anew"
    raise StorageError(found, where=str(place), fix=fix)
