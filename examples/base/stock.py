"""Rows of speech for the training, from chunks that are still being spoken.

Each of the loader's processes has its own share of the chunks. It hears all clips of those that are
there, in a new order each time, and then looks which have come since.

Shapes: ``N`` tokens of a row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from examples.base.clips import Chunk, read_chunk
from vibesweep.config import MelSettings
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.mel.batch import MelBatch, MelCollator
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.packing import RowLimits, RowShape, RowSize
from vibesweep.models.prompts import PromptBank
from vibesweep.models.speech_model import Encode

TRAINING = "train"
POLL_S = 1.0

Row = tuple[MelBatch, LossNormalizer]


@dataclass(frozen=True, eq=False)
class Reading:
    """How chunks become rows.

    Attributes:
        encode: encodes a clip.
        mel: settings of the chunks' log-mels.
        shape: of the network.
        row: shape of every row.
        augmentation: what is hidden of the history that is fed back.
    """

    encode: Encode
    mel: MelSettings
    shape: MelShape
    row: RowShape
    augmentation: Augmentation


class GrowingSpeech(IterableDataset[Row]):
    """Rows without end, of all chunks that have been spoken so far."""

    def __init__(self, chunks: Sequence[Chunk], reading: Reading) -> None:
        """Take the chunks that there are or may come to be."""
        self._chunks = chunks
        self._reading = reading

    def __iter__(self) -> Iterator[Row]:
        """Yield rows of this process's chunks."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        missing = list(self._chunks[number::workers])
        clips: list[EncodedClip] = []
        epoch = 0
        while missing or clips:
            spoken = [chunk for chunk in missing if chunk.listing.exists()]
            missing = [chunk for chunk in missing if chunk not in spoken]
            for chunk in spoken:
                clips += encoded(chunk, self._reading, TRAINING)
            if not clips:
                time.sleep(POLL_S)
                continue
            yield from self._rows(clips, epoch)
            epoch += 1

    def _rows(self, clips: Sequence[EncodedClip], epoch: int) -> Iterator[Row]:
        """Yield rows of all clips, in an order of the epoch's own; a rest may be left out."""
        reading = self._reading
        bank = PromptBank(clips, reading.shape.prompt_patches)
        collator = MelCollator(reading.shape, bank)
        order = np.random.default_rng(epoch).permutation(len(clips))
        shuffled = [clips[place] for place in order]
        sizes = [row_size(clip, reading.shape) for clip in shuffled]
        for places in full_rows(sizes, reading.row.limits):
            heard = [shuffled[place] for place in places]
            batch = collator.training(heard, 0, epoch, reading.augmentation)
            normalizer = LossNormalizer.of([clip.patches for clip in heard])
            yield batch.filled_up(reading.row), normalizer


def encoded(chunk: Chunk, reading: Reading, split: str) -> Iterator[EncodedClip]:
    """Yield a chunk's clips of a split."""
    for clip in read_chunk(chunk, reading.mel):
        if clip.split == split:
            yield reading.encode(clip)


def row_size(clip: EncodedClip, shape: MelShape) -> RowSize:
    """Return the most that a clip can take of a row: with a whole prompt for each speaker."""
    prompts = len(clip.people) * (1 + shape.prompt_patches)
    edges = 2
    return RowSize(clip.length + prompts + edges, clip.patches)


def full_rows(sizes: Sequence[RowSize], limits: RowLimits) -> Iterator[range]:
    """Yield the places of clips that follow each other and fill a row.

    A rest that fills none is left out, unless there is nothing else.
    """
    first = 0
    tokens = patches = 0
    for place, size in enumerate(sizes):
        tokens += size.tokens
        patches += size.patches
        clips = place - first + 1
        if tokens > limits.tokens or patches > limits.patches or clips > limits.clips:
            yield range(first, place)
            first = place
            tokens, patches = size
    if first == 0:
        yield range(len(sizes))
