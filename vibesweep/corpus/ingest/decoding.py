"""Audio files become waveforms: whatever libsndfile reads, whole or a stretch, at any rate.

Shapes: ``S`` samples, ``C`` channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibesweep.corpus.ingest.audio_file import open_audio, read_header
from vibesweep.corpus.ingest.blocks import read_blocks
from vibesweep.corpus.ingest.channel_statistics import ChannelStatistics, hash_samples, mix
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import SILENCE_DBFS, level_dbfs
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.corpus.sound.resampling import resample


@dataclass(frozen=True, eq=False)
class Waveform:
    """A decoded stretch of a recording, not brought to a level.

    Attributes:
        samples: mono [S] at the rate asked for.
        duration_s: how long the stretch is in the file.
        level_dbfs: RMS of ``samples``.
        peak: the largest absolute sample of any channel, as in the file; 1 is full scale.
        clipped: share of the samples of all channels that stand at full scale in runs.
        samples_hash: hexadecimal; equal for the same samples in another container, or with exact
            zeros before or after them.
    """

    samples: Samples
    duration_s: float
    level_dbfs: float
    peak: float
    clipped: float
    samples_hash: str


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A stretch at the file's rate: mono [S], and statistics of all channels."""

    mono: Samples
    rate_hz: int
    statistics: ChannelStatistics


def decode(
    path: Path,
    rate_hz: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    where: str = "",
) -> Waveform:
    """Decode a stretch of a recording, mix its channels and resample it.

    Channels are mixed by their mean, which a silent channel only makes softer. Where they cancel,
    the loudest is taken.

    Args:
        path: a local file.
        rate_hz: of the waveform that is returned.
        start_s: where the stretch begins.
        end_s: where it ends; ``None`` is the recording's end.
        where: what an error calls the file, if ``path`` is a fetched copy.

    Raises:
        RecordingError: unreadable_audio, truncated_audio, short_audio, silent_audio or
            non_finite_audio.
    """
    where = where or str(path)
    stretch = _read_stretch(path, where, start_s, end_s)
    statistics, mono = stretch.statistics, stretch.mono
    if statistics.channels_cancel:
        loudest = statistics.loudest_channel
        mono = _read_stretch(path, where, start_s, end_s, channel=loudest).mono
    duration_s = len(mono) / stretch.rate_hz
    samples = resample(mono, stretch.rate_hz, rate_hz)
    if len(samples) * LATENT_RATE_HZ < rate_hz:  # shorter than one latent
        raise RecordingError("short_audio", f"{duration_s:.3f} s", where=where)
    level = level_dbfs(samples)
    if level < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{level:.1f} dBFS", where=where)
    return Waveform(
        samples=samples,
        duration_s=duration_s,
        level_dbfs=level,
        peak=statistics.peak,
        clipped=statistics.clipped_share,
        samples_hash=hash_samples(mono),
    )


def stretch_hash(path: Path, end_s: float, where: str) -> str:
    """Hash the samples of a recording up to a time, as :attr:`Waveform.samples_hash` is made.

    Raises:
        RecordingError: unreadable_audio or truncated_audio.
    """
    stretch = _read_stretch(path, where, 0.0, end_s)
    return hash_samples(stretch.mono)


def _read_stretch(
    path: Path, where: str, start_s: float, end_s: float | None, *, channel: int | None = None
) -> _Stretch:
    """Read a stretch of one channel, or of all channels mixed."""
    with open_audio(path, where) as file:
        header = read_header(file, where)
        first = header.frame_at(start_s)
        past = header.frames if end_s is None else header.frame_at(end_s)
        past = max(first, past)
        mono = np.zeros(past - first, np.float32)
        energy = np.zeros(header.channels)
        statistics = ChannelStatistics(energy)
        done = 0
        for block in read_blocks(file, first, past, where):
            mixed = mix(block) if channel is None else block[:, channel]
            statistics.add(block, mixed)
            block_end = done + len(mixed)
            mono[done:block_end] = mixed
            done = block_end
    return _Stretch(mono[:done], header.rate_hz, statistics)
