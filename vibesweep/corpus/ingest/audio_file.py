"""Audio files are opened, and what their headers say is held against what is there.

libsndfile reads WAV, AIFF, AU, W64, RF64, FLAC, Ogg, MP3 and more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from vibesweep.corpus.ingest.piped_wav import PipedWav, empty_size_offset
from vibesweep.corpus.rejects import RecordingError

# MP3 decoders leave out up to two frames
MP3_FRAME_SAMPLES = 1_152
TRUNCATED_SAMPLES = 2 * MP3_FRAME_SAMPLES
TRUNCATED_S = 0.1

# Telephones have 8 kHz, the fastest converters 768 kHz; what a broken header says is rarely between
SAMPLE_RATES_HZ = (4_000, 768_000)

LONGEST_SAMPLES = 1 << 60  # libsndfile gives a FLAC of unknown length nearly 2⁶³

# Sizes that writers to a pipe put into a header because they do not know better, give or take the
# header's own length
UNKNOWN_SIZES = (1 << 31, 1 << 32)
LONGEST_HEADER = 1 << 16  # bytes
# libsndfile's log: bytes by the header, bytes that are there
_SHOULD_BE = re.compile(r": (\d+) \(should be (\d+)\)")


class AudioHeader(NamedTuple):
    """What a file's header says; ``frames`` counts the samples of each channel."""

    rate_hz: int
    frames: int
    channels: int

    @property
    def duration_s(self) -> float:
        """How long the recording is."""
        return self.frames / self.rate_hz

    def frame_at(self, time_s: float) -> int:
        """Return the frame at a time, or the end if that comes first."""
        frame = round(time_s * self.rate_hz)
        return min(frame, self.frames)


class OpenRecording:
    """A recording that libsndfile reads, open for as long as a ``with`` block.

    Attributes:
        path: the file.
        where: what an error calls it.
        file: the ``soundfile.SoundFile``.
    """

    def __init__(self, path: Path, where: str) -> None:
        """Open a local file.

        Raises:
            RecordingError: unreadable_audio.
        """
        self.path = path
        self.where = where
        self.file = _opened(path, where)

    def __enter__(self) -> Self:
        """Return the recording."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.file.close()

    @cached_property
    def header(self) -> AudioHeader:
        """What the file's header says; see :func:`read_header`."""
        return read_header(self.file, self.where)

    def reopen(self) -> None:
        """Open the file anew, since a decoder that failed does not find its way back."""
        self.file.close()
        self.file = _opened(self.path, self.where)


def probe(path: Path, *, where: str = "") -> AudioHeader:
    """Read rate, frames and channels, without decoding.

    Args:
        path: a local file.
        where: what an error calls the file, if ``path`` is a fetched copy.

    Raises:
        RecordingError: unreadable_audio, sample_rate, or truncated_audio where the header alone
            shows it (not in FLAC and MP3).
    """
    with OpenRecording(path, where or str(path)) as recording:
        return recording.header


def _opened(path: Path, where: str) -> Any:
    """Open a file as a ``soundfile.SoundFile``."""
    import soundfile

    try:
        source = PipedWav(path) if empty_size_offset(path) else str(path)
        return soundfile.SoundFile(source)
    except (soundfile.SoundFileError, OSError) as error:
        raise RecordingError("unreadable_audio", str(error), where=where) from error


def read_header(file: Any, where: str) -> AudioHeader:
    """Return the rate, the frames that are there, and the channels of an open file.

    Where libsndfile knows the bytes of a sample (WAV, AIFF, AU, W64, RF64) it counts the frames
    that are there, and tells in its log what the header says.

    Raises:
        RecordingError: truncated_audio, sample_rate, or unreadable_audio where the length is
            unknown.
    """
    lowest, highest = SAMPLE_RATES_HZ
    if not lowest <= file.samplerate <= highest:
        detail = f"{file.samplerate:,} Hz; {lowest:,} to {highest:,} Hz can be read"
        raise RecordingError("sample_rate", detail, where=where)
    if file.frames > LONGEST_SAMPLES:  # libsndfile cannot read such a file to its end
        raise RecordingError(
            "unreadable_audio",
            "the header does not say how long it is; encode it again",
            where=where,
        )
    for size_in_header, size in _sizes(file.extra_info):
        if size and not _is_unknown(size_in_header):
            frames_in_header = file.frames * size_in_header // size
            refuse_truncated(file.frames, frames_in_header, file.samplerate, where)
    return AudioHeader(file.samplerate, file.frames, file.channels)


def refuse_truncated(frames: int, expected: int, rate_hz: int, where: str) -> None:
    """Refuse a recording that has fewer frames than expected, by more than decoders leave out.

    Raises:
        RecordingError: truncated_audio.
    """
    tolerance = max(TRUNCATED_SAMPLES, TRUNCATED_S * rate_hz)
    if expected - frames > tolerance:
        duration_s, expected_s = frames / rate_hz, expected / rate_hz
        detail = f"{duration_s:.3f} s of {expected_s:.3f} s"
        raise RecordingError("truncated_audio", detail, where=where)


def _sizes(log: str) -> Iterator[tuple[int, int]]:
    """Yield (bytes by the header, bytes that are there) for each size that libsndfile corrects."""
    for in_header, there in _SHOULD_BE.findall(log):
        yield int(in_header), int(there)


def _is_unknown(size: int) -> bool:
    distances = [abs(size - unknown) for unknown in UNKNOWN_SIZES]
    return min(distances) < LONGEST_HEADER
