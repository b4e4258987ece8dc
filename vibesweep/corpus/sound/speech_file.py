"""Speech in a file: which formats we write, and how a file appears whole or not at all.

Shapes: ``S`` samples.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from vibesweep.errors import SpeechError
from vibesweep.storage import StoragePath
from vibesweep.storage.early import check_file_writable
from vibesweep.storage.os_errors import disk_errors

if TYPE_CHECKING:
    from soundfile import SoundFile

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""libsndfile's format and its subtype, by the ending of the file's name."""
BLOCK_SAMPLES = 1 << 15
"""libsndfile's Vorbis encoder keeps a block on the stack, and crashes with a long one."""


def check_speech_file(out: Path) -> None:
    """Refuse a file that speech cannot be written to, before anything is spoken.

    Raises:
        SpeechError: its ending is of no format that we write.
        StorageError: it is a folder, or its folder cannot be written to.
    """
    if out.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise SpeechError(
            f"its name ends in {out.suffix or 'nothing'}, which is no format that is written",
            where=f"--out {out}",
            fix=f"name a file that ends in one of {known}",
        )
    check_file_writable(out, "--out")


@contextmanager
def writing_speech(out: Path, rate_hz: int) -> Iterator[SoundFile]:
    """Give a sound file that takes mono samples [S]; it appears at ``out`` when the block ends.

    The name's ending chooses the format. Where the block fails, what was at ``out`` stays.

    Raises:
        StorageError: the disk does not take it.
    """
    import soundfile

    format_name, subtype = FORMATS[out.suffix.lower()]
    # In memory, 48 kB a second: of a disk that is full libsndfile only says "System error"
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", rate_hz, 1, subtype, format=format_name) as file:
        yield file
    _write(out, content.getvalue())


def write_speech(out: Path, waveform: npt.NDArray[Any], rate_hz: int) -> None:
    """Write a waveform [S], of values from -1 to 1 or of int16; the ending chooses the format."""
    with writing_speech(out, rate_hz) as file:
        for begin in range(0, len(waveform), BLOCK_SAMPLES):
            file.write(waveform[begin : begin + BLOCK_SAMPLES])


def _write(out: Path, content: bytes) -> None:
    """Put a file at the end of links, or into a pipe or device, which must not be replaced."""
    real = os.path.realpath(out)
    target = Path(real)
    if target.is_file() or not target.exists():
        StoragePath.of(target).write_bytes(content)
        return
    with disk_errors(str(out), target):
        target.write_bytes(content)
