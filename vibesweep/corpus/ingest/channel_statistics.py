"""What is to be known about samples before their channels are mixed.

Shapes: ``S`` samples of each of ``C`` channels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.ingest.blocks import Block
from vibesweep.corpus.sound.arrays import Samples

FULL_SCALE = 0.98  # mu-law's largest sample; 8 bits reach 0.992
CLIPPED_RUN = 3  # fewer equal samples in a row are a peak
CANCELLED = 0.01  # of the channels' energy: less is left of channels in opposite phase only


@dataclass
class ChannelStatistics:
    """What is known of the samples read so far.

    Attributes:
        energy: sum of squares of each channel [C].
        mixed_energy: sum of squares of the mixture.
        peak: the largest absolute sample of any channel.
        clipped: samples that are part of a run at full scale.
        samples: of all channels.
    """

    energy: npt.NDArray[np.float64]
    mixed_energy: float = 0.0
    peak: float = 0.0
    clipped: int = 0
    samples: int = 0

    def add(self, block: Block, mixed: Samples) -> None:
        """Count a block [S, C] and its mixture [S]."""
        if block.shape[1] > 1:  # a lone channel cannot cancel
            squares = np.square(block, dtype=np.float64)
            mixed_squares = np.square(mixed, dtype=np.float64)
            self.energy += squares.sum(axis=0)
            self.mixed_energy += float(mixed_squares.sum())
        highest = block.max(initial=0.0)
        lowest = block.min(initial=0.0)
        self.peak = max(self.peak, float(highest), -float(lowest))
        if self.peak >= FULL_SCALE:
            self.clipped += _count_clipped(block)
        self.samples += block.size

    @property
    def channels_cancel(self) -> bool:
        """Whether the channels take each other away when they are mixed."""
        mean_energy = float(self.energy.mean())
        return self.mixed_energy < CANCELLED * mean_energy

    @property
    def loudest_channel(self) -> int:
        """The number of the channel with the most energy."""
        return int(np.argmax(self.energy))

    @property
    def clipped_share(self) -> float:
        """The share of all samples that are part of a run at full scale."""
        return self.clipped / self.samples


def mix(block: Block) -> Samples:
    """Return the mean of the channels [S]."""
    if block.shape[1] == 1:
        return block[:, 0]
    mean: Samples = block.mean(axis=1, dtype=np.float32)
    return mean


def hash_samples(mono: Samples) -> str:
    """Hash samples [S] at the file's rate in 16 bits, without the zeros at both ends."""
    scaled = mono * np.float32(32_768)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32_768, 32_767, out=scaled)
    in_16_bits = scaled.astype("<i2")
    sounding = _without_zeros(in_16_bits)
    digest = hashlib.blake2b(sounding.data, digest_size=16)
    return digest.hexdigest()


def _count_clipped(block: Block) -> int:
    """Count the samples [S, C] in runs at full scale; a block's edge cuts a run in two."""
    loud = np.abs(block) >= FULL_SCALE
    if not loud.any():
        return 0
    equals_last = block[1:] == block[:-1]
    continues = loud[1:] & equals_last
    ends_run = continues[1:] & continues[:-1]  # a run of CLIPPED_RUN samples
    in_run = np.zeros_like(loud)
    for first in range(CLIPPED_RUN):
        past = first + len(ends_run)
        in_run[first:past] |= ends_run
    return int(np.count_nonzero(in_run))


def _without_zeros(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Cut the zeros off both ends."""
    if len(samples) and samples[0] and samples[-1]:  # the rule: nothing needs to be searched
        return samples
    sounding = np.flatnonzero(samples)
    if not len(sounding):
        return samples[:0]
    first = sounding[0]
    past = sounding[-1] + 1
    kept = samples[first:past]
    return np.ascontiguousarray(kept)
