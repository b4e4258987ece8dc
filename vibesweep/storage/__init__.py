"""Files and folders, on this machine or in a store that pyarrow.fs or fsspec can reach.

paths.py has StoragePath, folders.py copies whole folders, and mirror.py keeps a copy of a folder in
a store up to date. Below them lie addresses.py (how an address is written), filesystems.py (who
speaks its scheme), listing.py and writing.py. os_errors.py translates what the operating system
refuses, patience.py waits for a store that refuses for a while, and early.py looks whether a path
can be written to before work begins. json_text.py, parquet.py and names.py read what somebody else
may have written, and secrets.py keeps passwords out of what is kept.
"""

from vibesweep.storage.folders import fetched_folder, upload_folder
from vibesweep.storage.listing import Stat
from vibesweep.storage.mirror import Mirror
from vibesweep.storage.paths import StorageAddress, StoragePath

__all__ = ["Mirror", "Stat", "StorageAddress", "StoragePath", "fetched_folder", "upload_folder"]
