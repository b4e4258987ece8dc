"""The level of a recording, hop by hop, in which pauses between turns are found.

Shapes: ``S`` samples of each of ``C`` channels, ``N`` hops.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.ingest.audio_file import OpenRecording
from vibesweep.corpus.ingest.blocks import Block, read_blocks

Levels = npt.NDArray[np.float32]
"""Level of each hop in dBFS [N]."""

Floats = npt.NDArray[np.float64]

Edges = npt.NDArray[np.int64]
"""Frames at which hops begin, and the frame at which the last of them ends."""

ENVELOPE_HOP_S = 0.02
ENVELOPE_FLOOR_DBFS = -120.0
FLOOR_POWER = 10 ** (ENVELOPE_FLOOR_DBFS / 10)


def level_envelope(recording: OpenRecording, *, hop_s: float = ENVELOPE_HOP_S) -> Levels:
    """Measure the level of each hop of a recording [N]; a constant offset does not count.

    The last hop is what is left of the recording.

    Raises:
        RecordingError: unreadable_audio, truncated_audio or non_finite_audio.
    """
    header = recording.header
    meter = _LevelMeter(header.channels, hop_s * header.rate_hz)
    for block in read_blocks(recording, 0, header.frames):
        meter.add(block)
    return meter.finish()


class _LevelMeter:
    """Measures hops of blocks; a hop may begin in one block and end in a later one."""

    def __init__(self, channels: int, hop: float) -> None:
        self._hop = hop  # frames, perhaps not a whole number
        self._rest = np.zeros((0, channels), np.float32)  # not measured yet
        self._rest_start = 0
        self._levels: list[Levels] = []

    def add(self, block: Block) -> None:
        """Measure the hops that end in a block [S, C], and keep what is left."""
        waiting = np.concatenate([self._rest, block])
        edges = self._edges(len(waiting))
        levels = _hop_levels(waiting, edges)
        self._levels.append(levels)
        measured = int(edges[-1])
        self._rest = waiting[measured:]
        self._rest_start += measured

    def finish(self) -> Levels:
        """Measure what is left as the last hop, and return all levels [N]."""
        edges = np.array([0, len(self._rest)])
        levels = _hop_levels(self._rest, edges)
        self._levels.append(levels)
        return np.concatenate(self._levels)

    def _edges(self, frames: int) -> Edges:
        """Return the edges of the hops that end within so many frames from the rest's start."""
        hop = self._hop
        start = self._rest_start
        past = start + frames
        first_hop = round(start / hop)
        last_hop = int(past / hop) + 1
        hops = np.arange(first_hop, last_hop + 1)
        edges = np.rint(hops * hop)
        is_within = edges <= past
        within = edges[is_within]
        from_start = within - start
        return np.asarray(from_start, np.int64)


def _hop_levels(block: Block, edges: Edges) -> Levels:
    """Measure hops of [S, C]: the energy about a hop's mean, averaged over the channels."""
    counts = np.diff(edges)
    if not len(counts) or not counts[0]:
        return np.zeros(0, np.float32)
    end = edges[-1]
    measured = block[:end]
    samples = measured.astype(np.float64)
    means = _hop_means(samples, edges)
    mean_squares = _hop_means(samples**2, edges)
    variances = mean_squares - means**2
    power = variances.mean(axis=1)
    audible = np.maximum(power, FLOOR_POWER)
    levels = 10 * np.log10(audible)
    return np.asarray(levels, np.float32)


def _hop_means(samples: Floats, edges: Edges) -> Floats:
    """Return the means [N, C] of the hops of [S, C]."""
    starts = edges[:-1]
    sums = np.add.reduceat(samples, starts)
    frames = np.diff(edges)
    means: Floats = sums / frames[:, None]
    return means
