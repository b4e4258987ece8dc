"""The level of a recording, hop by hop, in which pauses between turns are found.

Shapes: ``S`` samples of each of ``C`` channels, ``N`` hops.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.ingest.audio_file import open_audio, read_header
from vibesweep.corpus.ingest.blocks import Block, read_blocks

Levels = npt.NDArray[np.float32]
"""Level of each hop in dBFS [N]."""

ENVELOPE_HOP_S = 0.02
ENVELOPE_FLOOR_DBFS = -120.0


def level_envelope(path: Path, *, hop_s: float = ENVELOPE_HOP_S, where: str = "") -> Levels:
    """Measure the level of each hop of a recording [N]; a constant offset does not count.

    The last hop is what is left of the recording.

    Raises:
        RecordingError: unreadable_audio, truncated_audio or non_finite_audio.
    """
    where = where or str(path)
    levels = []
    with open_audio(path, where) as file:
        header = read_header(file, where)
        hop = hop_s * header.rate_hz
        measured = 0  # frames, up to the edge of a hop
        rest = np.zeros((0, file.channels), np.float32)
        for block in read_blocks(file, 0, header.frames, where):
            waiting = np.concatenate([rest, block])
            edges = _hop_edges(measured, measured + len(waiting), hop) - measured
            levels.append(_hop_levels(waiting, edges))
            rest = waiting[edges[-1] :]
            measured += int(edges[-1])
        levels.append(_hop_levels(rest, np.array([0, len(rest)])))
    return np.concatenate(levels)


def _hop_edges(first: int, past: int, hop: float) -> npt.NDArray[np.int64]:
    """Return the edges of all hops between two frames, of which ``first`` is an edge itself.

    ``hop`` is in frames and need not be a whole number.
    """
    numbers = np.arange(round(first / hop), int(past / hop) + 2)
    edges: npt.NDArray[np.int64] = np.rint(numbers * hop).astype(np.int64)
    return edges[: np.searchsorted(edges, past, side="right")]


def _hop_levels(block: Block, edges: npt.NDArray[np.int64]) -> Levels:
    """Measure hops of [S, C]: the energy about a hop's mean, averaged over the channels."""
    counts = np.diff(edges)
    if not len(counts) or not counts[0]:
        return np.zeros(0, np.float32)
    samples = block[: edges[-1]]
    starts = edges[:-1]
    frames = counts[:, None]
    squares = np.square(samples, dtype=np.float64)
    means = np.add.reduceat(samples, starts, dtype=np.float64) / frames
    mean_squares = np.add.reduceat(squares, starts, dtype=np.float64) / frames
    power = (mean_squares - means**2).mean(axis=1)
    floor = 10 ** (ENVELOPE_FLOOR_DBFS / 10)
    levels: Levels = (10 * np.log10(np.maximum(power, floor))).astype(np.float32)
    return levels
