"""The samples of an open audio file, block by block, so that a long recording takes little memory.

Shapes: ``S`` samples of each of ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.ingest.audio_file import (
    MP3_FRAME_SAMPLES,
    OpenRecording,
    refuse_truncated,
)
from vibesweep.corpus.rejects import RecordingError

Block = npt.NDArray[np.float32]
"""Samples [S, C] of a stretch; full scale is 1."""

BLOCK_SAMPLES = 1 << 21  # of all channels, 8 MB: 22 s of stereo at 48 kHz
PREROLL_S = 0.5  # an MP3 frame leans on up to nine before it, Opus on 80 ms


def read_blocks(recording: OpenRecording, first: int, past: int) -> Iterator[Block]:
    """Yield the frames of a recording from ``first`` to before ``past``, block by block.

    Raises:
        RecordingError: truncated_audio, non_finite_audio, or unreadable_audio where the file is
            damaged in the middle.
    """
    import soundfile

    file, where = recording.file, recording.where
    step = max(1, BLOCK_SAMPLES // file.channels)
    at = first
    try:
        while at < past:
            block = _read(file, at, min(step, past - at))
            if not len(block):
                break
            _refuse_non_finite(block, where)
            yield block
            at += len(block)
    except soundfile.SoundFileError as error:
        if _can_read_end(recording):
            raise RecordingError(
                "unreadable_audio", f"damaged after {at / file.samplerate:.3f} s", where=where
            ) from error
        recording.reopen()
    refuse_truncated(at - first, past - first, recording.header.rate_hz, where)


def _read(file: Any, first: int, frames: int) -> Block:
    """Read frames [S, C], with the decoder in the state that it has after the frames before.

    soundfile seeks after each read, which empties an MP3 decoder's reservoir of bits. So each block
    is read with a little of what comes before it.
    """
    before = min(first, round(PREROLL_S * file.samplerate))
    file.seek(first - before)
    samples: Block = file.read(before + frames, dtype="float32", always_2d=True)
    return samples[before:]


def _can_read_end(recording: OpenRecording) -> bool:
    """Whether the last frames can be decoded, so that what is missing is missing in the middle."""
    import soundfile

    try:
        with OpenRecording(recording.path, recording.where) as anew:
            anew.file.seek(max(0, anew.file.frames - MP3_FRAME_SAMPLES))
            return len(anew.file.read(1)) > 0
    except soundfile.SoundFileError:
        return False


def _refuse_non_finite(block: Block, where: str) -> None:
    finite = int(np.count_nonzero(np.isfinite(block)))
    if finite < block.size:
        detail = f"at least {block.size - finite} samples"
        raise RecordingError("non_finite_audio", detail, where=where)
