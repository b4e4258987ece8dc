"""Audio files become waveforms: whatever libsndfile or ffmpeg reads, whole or a stretch.

Shapes: ``S`` samples, ``C`` channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibesweep.corpus.ingest.audio_file import OpenRecording
from vibesweep.corpus.ingest.blocks import read_blocks
from vibesweep.corpus.ingest.channel_statistics import ChannelStatistics, hash_samples, mix
from vibesweep.corpus.ingest.other_formats import open_recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.activity import SpeechActivity, speech_activity
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import SILENCE_DBFS, centred
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.corpus.sound.resampling import resample


@dataclass(frozen=True, eq=False)
class Waveform:
    """A decoded stretch of a recording, not brought to a level.

    Attributes:
        samples: mono [S] at the rate asked for, about their mean.
        duration_s: how long the stretch is in the file.
        activity: what of ``samples`` is speech, and its level.
        peak: the largest absolute sample of any channel, as in the file; 1 is full scale.
        clipped: share of the samples of all channels that stand at full scale in runs.
        samples_hash: hexadecimal; equal for the same samples in another container, or with exact
            zeros before or after them.
    """

    samples: Samples
    duration_s: float
    activity: SpeechActivity
    peak: float
    clipped: float
    samples_hash: str

    @property
    def level_dbfs(self) -> float:
        """RMS of the speech in ``samples``."""
        return self.activity.level_dbfs


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
    """Open a recording and decode a stretch of it; see :func:`decode_stretch`.

    Args:
        path: a local file.
        rate_hz: of the waveform that is returned.
        start_s: where the stretch begins.
        end_s: where it ends; ``None`` is the recording's end.
        where: what an error calls the file, if ``path`` is a fetched copy.

    Raises:
        RecordingError: what decode_stretch raises, or a file that ffmpeg cannot read either.
    """
    with open_recording(path, where) as recording:
        return decode_stretch(recording, rate_hz, start_s, end_s)


def decode_stretch(
    recording: OpenRecording, rate_hz: int, start_s: float = 0.0, end_s: float | None = None
) -> Waveform:
    """Decode a stretch of a recording, mix its channels, take its mean away and resample it.

    Channels are mixed by their mean, which a silent channel only makes softer. Where they cancel,
    the loudest is taken.

    Args:
        recording: an open one.
        rate_hz: of the waveform that is returned.
        start_s: where the stretch begins.
        end_s: where it ends; ``None`` is the recording's end.

    Raises:
        RecordingError: unreadable_audio, truncated_audio, sample_rate, short_audio, silent_audio
            or non_finite_audio.
    """
    where = recording.where
    stretch, mono = _read_mono(recording, start_s, end_s)
    statistics = stretch.statistics
    duration_s = len(mono) / stretch.rate_hz
    # First: at its ends, a filter would turn an offset into a step
    samples = resample(centred(mono), stretch.rate_hz, rate_hz)
    if len(samples) * LATENT_RATE_HZ < rate_hz:  # shorter than one latent
        raise RecordingError("short_audio", f"{duration_s:.3f} s", where=where)
    activity = speech_activity(samples, rate_hz)
    if activity.level_dbfs < SILENCE_DBFS:
        raise RecordingError("silent_audio", f"{activity.level_dbfs:.1f} dBFS", where=where)
    if activity.speech_s * LATENT_RATE_HZ < 1:
        detail = f"{activity.speech_s:.3f} s of speech in {duration_s:.3f} s"
        raise RecordingError("short_audio", detail, where=where)
    return Waveform(
        samples=samples,
        duration_s=duration_s,
        activity=activity,
        peak=statistics.peak,
        clipped=statistics.clipped_share,
        samples_hash=hash_samples(mono),
    )


def stretch_hash(recording: OpenRecording, end_s: float) -> str:
    """Hash the samples of a recording up to a time, as :attr:`Waveform.samples_hash` is made.

    Raises:
        RecordingError: unreadable_audio or truncated_audio.
    """
    _, mono = _read_mono(recording, 0.0, end_s)
    return hash_samples(mono)


def _read_mono(
    recording: OpenRecording, start_s: float, end_s: float | None
) -> tuple[_Stretch, Samples]:
    """Read a stretch, and its loudest channel [S] where its channels cancel when mixed."""
    stretch = _read_stretch(recording, start_s, end_s)
    if not stretch.statistics.channels_cancel:
        return stretch, stretch.mono
    loudest = stretch.statistics.loudest_channel
    alone = _read_stretch(recording, start_s, end_s, channel=loudest)
    return stretch, alone.mono


def _read_stretch(
    recording: OpenRecording, start_s: float, end_s: float | None, *, channel: int | None = None
) -> _Stretch:
    """Read a stretch of one channel, or of all channels mixed."""
    header = recording.header
    first = header.frame_at(start_s)
    past = header.frames if end_s is None else header.frame_at(end_s)
    past = max(first, past)
    mono = np.zeros(past - first, np.float32)
    statistics = ChannelStatistics.of(header.channels)
    done = 0
    for block in read_blocks(recording, first, past):
        mixed = mix(block) if channel is None else block[:, channel]
        statistics.add(block, mixed)
        block_end = done + len(mixed)
        mono[done:block_end] = mixed
        done = block_end
    return _Stretch(mono[:done], header.rate_hz, statistics)
