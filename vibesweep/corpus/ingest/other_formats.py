"""Formats that libsndfile does not read, such as m4a, wma and video, are read through ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vibesweep.corpus.ingest.audio_file import OpenRecording
from vibesweep.corpus.rejects import RecordingError

FFMPEG = "ffmpeg"
NOT_INSTALLED = (
    "libsndfile cannot read it; if it is m4a, aac, wma, amr, video or the like, install ffmpeg,"
    " through which such files are read, or convert it to wav or flac"
)
REASON_CHARACTERS = 200


@contextmanager
def open_recording(path: Path, where: str = "") -> Iterator[OpenRecording]:
    """Open a recording, or a copy that ffmpeg decodes and that is removed afterwards.

    Args:
        path: a local file.
        where: what an error calls it, if ``path`` is a fetched copy.

    Raises:
        RecordingError: unreadable_audio, where ffmpeg cannot read it either or is not installed.
    """
    where = where or str(path)
    with ExitStack() as open_files:
        try:
            recording = open_files.enter_context(OpenRecording(path, where))
        except RecordingError as error:
            if not path.is_file() or not path.stat().st_size:
                raise
            scratch = tempfile.TemporaryDirectory(prefix="vibesweep-")
            copy = Path(open_files.enter_context(scratch)) / "decoded.wav"
            _convert(path, copy, where, error)
            recording = open_files.enter_context(OpenRecording(copy, where))
        yield recording


def _convert(path: Path, copy: Path, where: str, refused: RecordingError) -> None:
    """Decode the first sound track of a file, at its own rate and with its channels."""
    program = shutil.which(FFMPEG)
    if program is None:
        detail = f"{refused.detail} {NOT_INSTALLED}"
        raise RecordingError("unreadable_audio", detail, where=where) from refused
    source = f"file:{path.resolve()}"
    # Local files alone: a playlist could name an address
    reading = ["-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file", "-i", source]
    # RF64 from 4 GB on; libsndfile takes ffmpeg's W64 of floats for whole numbers
    form = ["-c:a", "pcm_f32le", "-rf64", "auto", "-f", "wav"]
    writing = ["-map", "0:a:0", *form, str(copy)]
    # No shell, and the one name from outside has file: before it
    command = [program, *reading, *writing]
    done = subprocess.run(command, capture_output=True, check=False)  # nosec B603
    if done.returncode:
        said = done.stderr.decode(errors="replace").replace(source, path.name)
        reason = " ".join(said.split())[-REASON_CHARACTERS:]
        detail = f"neither libsndfile nor ffmpeg can read it: {reason}"
        raise RecordingError("unreadable_audio", detail, where=where) from refused
