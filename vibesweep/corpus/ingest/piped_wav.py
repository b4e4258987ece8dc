"""WAV files whose writer wrote to a pipe, and so could not go back to fill in the size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

SEARCHED_BYTES = 1 << 16  # the data chunk begins within them
_UNTIL_THE_END = 0xFF  # four such bytes are the size that stands for "up to the end"
_SIZE_BYTES = 4


class PipedWav(io.FileIO):
    """A WAV whose data chunk has the size 0, read as if that chunk went up to the file's end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._size_offset = empty_size_offset(path)

    def readinto(self, buffer: Any) -> int | None:
        """Read, with the four bytes of the size replaced."""
        start = self.tell()
        count = super().readinto(buffer)
        end = start + (count or 0)
        view = memoryview(buffer).cast("B")
        first = max(self._size_offset, start)
        past = min(self._size_offset + _SIZE_BYTES, end)
        for i in range(first, past):
            view[i - start] = _UNTIL_THE_END
        return count


def empty_size_offset(path: Path) -> int:
    """Find where in a WAV file a data chunk says that its size is 0; 0 if none does."""
    with path.open("rb") as file:
        head = file.read(SEARCHED_BYTES)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return 0
    chunk = 12
    while chunk + 8 < len(head):
        name = head[chunk : chunk + 4]
        size = int.from_bytes(head[chunk + 4 : chunk + 8], "little")
        if name == b"data":
            return 0 if size else chunk + 4
        padding = size % 2
        chunk += 8 + size + padding
    return 0
