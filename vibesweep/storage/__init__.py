"""Paths, on this machine or in a store that pyarrow.fs or fsspec can reach, and folders copied between the two."""

from vibesweep.storage.paths import Stat, StorageAddress, StoragePath

__all__ = ["Stat", "StorageAddress", "StoragePath"]
