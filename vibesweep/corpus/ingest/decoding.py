"""Audio files to waveforms: whatever libsndfile reads, a stretch at a time, with what is to be known about it.

Shapes: ``S`` samples, ``C`` channels, ``N`` hops of an envelope. Files are read by blocks, so that a long one takes little memory.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.levels import SILENCE_DBFS, level_dbfs
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH, frames_of
from vibesweep.corpus.sound.resampling import resample

Array = npt.NDArray[np.float32]

ENVELOPE_HOP_S = 0.02
ENVELOPE_FLOOR_DBFS = -120.0
BLOCK_SAMPLES = 1 << 21  # of all channels, 8 MB: 22 s of stereo at 48 kHz
FULL_SCALE = 0.98  # mu-law's largest sample; 8 bits reach 0.992
CLIPPED_RUN = 3  # fewer equal samples in a row are a peak
CANCELLED = 0.01  # of the channels' energy: less is left of channels in opposite phase only
PREROLL_S = 0.5  # an MP3 frame leans on up to nine before it, Opus on 80 ms
TRUNCATED_FRAMES, TRUNCATED_S = 2 * 1_152, 0.1  # MP3 decoders leave out up to two frames

# LossNormalizer that writers to a pipe put into a header for want of a better one, give or take the header's own length
_UNKNOWN_SIZES, _HEADER_BYTES = (1 << 31, 1 << 32), 1 << 16
_SHOULD_BE = re.compile(
    r": (\d+) \(should be (\d+)\)"
)  # libsndfile's log: bytes by the header, bytes there


class Probe(NamedTuple):
    """What a file's header says; ``frames`` are samples of each channel."""

    rate_hz: int
    frames: int
    channels: int

    @property
    def duration_s(self) -> float:
        """How long the recording is."""
        return self.frames / self.rate_hz


@dataclass(frozen=True, eq=False)
class Waveform:
    """A decoded stretch of a recording, not levelled.

    Attributes:
        samples: mono [S] at the mel settings' rate.
        duration_s: how long the stretch is in the file.
        level_dbfs: RMS of ``samples``.
        peak: the largest absolute sample of any channel, as in the file; 1 is full scale.
        clipped: share of the samples of all channels that stand at full scale in runs.
        samples_hash: hexadecimal; equal for the same samples in another container, or with exact zeros before or after them.
    """

    samples: Array
    duration_s: float
    level_dbfs: float
    peak: float
    clipped: float
    samples_hash: str


def probe(path: Path, *, where: str = "") -> Probe:
    """Rate, frames and channels, without decoding.

    Args:
        path: a local file.
        where: what an error calls the file, if ``path`` is a fetched copy.

    Raises:
        RecordingError: unreadable_audio, or truncated_audio where the header alone shows it (not in FLAC and MP3).
    """
    with _opened(path, where or str(path)) as file:
        return _header(file, where or str(path))


def decode(
    path: Path,
    settings: MelSettings,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    where: str = "",
) -> Waveform:
    """The stretch of a recording from ``start_s`` to ``end_s`` (``None`` is its end), mixed down and resampled, not levelled.

    Channels are mixed by their mean, which a silent channel only makes softer. Where they cancel, the loudest is taken.

    Raises:
        RecordingError: unreadable_audio, truncated_audio, short_audio, silent_audio or non_finite_audio.
    """
    where = where or str(path)
    mono, tally, rate_hz = _read_mono(path, where, start_s, end_s, channel=None)
    if tally.cancels():
        mono, _, _ = _read_mono(path, where, start_s, end_s, channel=int(np.argmax(tally.energy)))
    waveform, duration_s = resample(mono, rate_hz, settings.sample_rate_hz), len(mono) / rate_hz
    if frames_of(len(waveform), settings) < FRAMES_PER_PATCH:
        raise RecordingError("short_audio", f"{duration_s:.3f} s", where=where)
    level = level_dbfs(waveform)
    if level < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{level:.1f} dBFS", where=where)
    return Waveform(
        waveform, duration_s, level, tally.peak, tally.clipped / tally.samples, _hash(mono)
    )


def envelope(path: Path, *, hop_s: float = ENVELOPE_HOP_S, where: str = "") -> Array:
    """Level of each hop of a recording in dBFS [N], the last hop being what is left; a constant offset does not count.

    Raises:
        RecordingError: unreadable_audio, truncated_audio or non_finite_audio.
    """
    where, levels = where or str(path), []
    with _opened(path, where) as file:
        header, done, kept = _header(file, where), 0, np.zeros((0, file.channels), np.float32)
        for block in _blocks(file, 0, header.frames, where):
            _refuse_non_finite(block, where)
            waiting = np.concatenate([kept, block])
            edges = _edges(done, done + len(waiting), hop_s * header.rate_hz)
            levels.append(_hop_levels(waiting[: edges[-1] - done], edges - done))
            kept, done = waiting[edges[-1] - done :], int(edges[-1])
        levels.append(_hop_levels(kept, np.array([0, len(kept)])))
    return np.concatenate(levels)


@dataclass
class _Tally:
    """What is known of the samples read so far, before they are mixed."""

    energy: npt.NDArray[np.float64]  # [C]
    mixed_energy: float = 0.0
    peak: float = 0.0
    clipped: int = 0
    samples: int = 0

    def add(self, block: Array, mixed: Array) -> None:
        """Count a block [S, C] and its mixture [S]."""
        if block.shape[1] > 1:  # a lone channel cannot cancel
            self.energy += np.square(block, dtype=np.float64).sum(axis=0)
            self.mixed_energy += float(np.square(mixed, dtype=np.float64).sum())
        self.peak = max(self.peak, float(block.max(initial=0.0)), -float(block.min(initial=0.0)))
        self.clipped += _clipped(block) if self.peak >= FULL_SCALE else 0
        self.samples += block.size

    def cancels(self) -> bool:
        """Whether the channels take each other away."""
        return self.mixed_energy < CANCELLED * float(self.energy.mean())


def _read_mono(
    path: Path, where: str, start_s: float, end_s: float | None, *, channel: int | None
) -> tuple[Array, _Tally, int]:
    """A stretch of one channel, or of all mixed down, at the file's rate [S]; what is to be known of it; and that rate."""
    with _opened(path, where) as file:
        header = _header(file, where)
        first = min(round(start_s * header.rate_hz), header.frames)
        last = (
            header.frames
            if end_s is None
            else max(first, min(round(end_s * header.rate_hz), header.frames))
        )
        mono, at, tally = np.zeros(last - first, np.float32), 0, _Tally(np.zeros(header.channels))
        for block in _blocks(file, first, last, where):
            _refuse_non_finite(block, where)
            mixed = _mixed(block) if channel is None else block[:, channel]
            tally.add(block, mixed)
            mono[at : at + len(mixed)] = mixed
            at += len(mixed)
    return mono[:at], tally, header.rate_hz


def _blocks(file: Any, first: int, last: int, where: str) -> Iterator[Array]:
    """The frames from first to last, block by block [S, C]; an error where there are fewer."""
    import soundfile

    at, step = first, max(1, BLOCK_SAMPLES // file.channels)
    try:
        while at < last:
            block = _read(file, at, min(step, last - at))
            if not len(block):
                break
            yield block
            at += len(block)
    except soundfile.SoundFileError as error:
        if _has_end(file.name):
            raise RecordingError(
                "unreadable_audio", f"damaged after {at / file.samplerate:.3f} s", where=where
            ) from error
    _refuse_truncated(at - first, last - first, file.samplerate, where)


def _read(file: Any, at: int, frames: int) -> Array:
    """So many frames from there on [S, C], with the decoder in the state that it has after those before.

    soundfile seeks after each read, and so a block, too, is read with what comes before it.
    """
    before = min(at, round(PREROLL_S * file.samplerate))
    file.seek(at - before)
    read: Array = file.read(before + frames, dtype="float32", always_2d=True)
    return read[before:]


def _has_end(name: str) -> bool:
    """Whether the last frames can be decoded, so that what is missing is missing in the middle."""
    import soundfile

    try:
        with soundfile.SoundFile(
            name
        ) as file:  # the decoder that failed does not find its way back
            file.seek(max(0, file.frames - TRUNCATED_FRAMES // 2))
            return len(file.read(1)) > 0
    except soundfile.SoundFileError:
        return False


def _refuse_truncated(frames: int, expected: int, rate_hz: int, where: str) -> None:
    if expected - frames > max(TRUNCATED_FRAMES, TRUNCATED_S * rate_hz):
        detail = f"{frames / rate_hz:.3f} s of {expected / rate_hz:.3f} s"
        raise RecordingError("truncated_audio", detail, where=where)


def _refuse_non_finite(block: Array, where: str) -> None:
    odd = block.size - int(np.count_nonzero(np.isfinite(block)))
    if odd:
        raise RecordingError("non_finite_audio", f"at least {odd} samples", where=where)


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    """The file for reading, with the size of a WAV whose writer could not go back to fill it in."""
    import soundfile

    try:
        with soundfile.SoundFile(_Unsized(path) if _unfilled_size(path) else str(path)) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        raise RecordingError("unreadable_audio", str(error), where=where) from error


def _header(file: Any, where: str) -> Probe:
    """Rate, frames that are there, and channels.

    libsndfile counts what is there where it knows the bytes of a sample (WAV, AIFF, AU, W64, RF64), and tells in its log
    what the header says.
    """
    if file.frames > 1 << 60:  # FLAC from a pipe; libsndfile then cannot read up to the end
        raise RecordingError(
            "unreadable_audio",
            "the header does not say how long it is; encode it again",
            where=where,
        )
    for said, found in (map(int, pair) for pair in _SHOULD_BE.findall(file.extra_info)):
        if found and not any(abs(said - size) < _HEADER_BYTES for size in _UNKNOWN_SIZES):
            _refuse_truncated(file.frames, file.frames * said // found, file.samplerate, where)
    return Probe(file.samplerate, file.frames, file.channels)


class _Unsized(io.FileIO):
    """A WAV whose data chunk has the size 0, read as if it had the size that stands for "up to the end"."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._at = _unfilled_size(path)

    def readinto(self, buffer: Any) -> int | None:
        """Read, with the four bytes of the size replaced."""
        start = self.tell()
        count = super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        for i in range(max(self._at, start), min(self._at + 4, start + (count or 0))):
            view[i - start] = 0xFF
        return count


def _unfilled_size(path: Path) -> int:
    """Where in a WAV file the size of a data chunk stands that says 0 although data follow; 0 if there is none."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 < len(head):
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        if head[at : at + 4] == b"data":
            return 0 if size else at + 4
        at += 8 + size + size % 2
    return 0


def _mixed(block: Array) -> Array:
    """The mean of the channels [S]."""
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)


def _clipped(block: Array) -> int:
    """How many samples of [S, C] are part of a run at full scale; runs across the edge of a block are cut in two."""
    loud = np.abs(block) >= FULL_SCALE
    if not loud.any():
        return 0
    same = loud[1:] & (block[1:] == block[:-1])
    third = same[1:] & same[:-1]
    marked = np.zeros_like(loud)
    for i in range(CLIPPED_RUN):
        marked[i : i + len(third)] |= third
    return int(np.count_nonzero(marked))


def _hash(mono: Array) -> str:
    """Of the samples [S] at the file's rate in 16 bits, without the zeros at both ends."""
    scaled = mono * np.float32(32_768)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32_768, 32_767, out=scaled)
    return hashlib.blake2b(_without_zeros(scaled.astype("<i2")).data, digest_size=16).hexdigest()


def _without_zeros(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Without the zeros at both ends; where there are none, which is the rule, nothing is searched."""
    if len(samples) and samples[0] and samples[-1]:
        return samples
    loud = np.flatnonzero(samples)
    return np.ascontiguousarray(samples[loud[0] : loud[-1] + 1]) if len(loud) else samples[:0]


def _edges(first: int, past: int, hop: float) -> npt.NDArray[np.int64]:
    """The edges of all hops (of ``hop`` frames, perhaps not a whole number) that lie between two frames; ``first`` is one."""
    numbers = np.arange(round(first / hop), int(past / hop) + 2)
    edges: npt.NDArray[np.int64] = np.rint(numbers * hop).astype(np.int64)
    return edges[: np.searchsorted(edges, past, side="right")]


def _hop_levels(block: Array, edges: npt.NDArray[np.int64]) -> Array:
    """Level of each hop of [S, C]: the energy about its mean, averaged over the channels."""
    counts = np.diff(edges)
    if not len(counts) or not counts[0]:
        return np.zeros(0, np.float32)
    means = np.add.reduceat(block, edges[:-1], dtype=np.float64) / counts[:, None]
    powers = (
        np.add.reduceat(np.square(block, dtype=np.float64), edges[:-1], dtype=np.float64)
        / counts[:, None]
    )
    power: npt.NDArray[np.float64] = np.maximum(
        (powers - means**2).mean(axis=1), 10 ** (ENVELOPE_FLOOR_DBFS / 10)
    )
    levels: Array = (10 * np.log10(power)).astype(np.float32)
    return levels
