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
        sums: sum of the samples of each channel [C].
        energy: sum of squares of each channel [C].
        mixed_sum: sum of the mixture's samples.
        mixed_energy: sum of squares of the mixture.
        peak: the largest absolute sample of any channel.
        clipped: samples that are part of a run at full scale.
        samples: of all channels.
    """

    sums: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    mixed_sum: float = 0.0
    mixed_energy: float = 0.0
    peak: float = 0.0
    clipped: int = 0
    samples: int = 0

    @classmethod
    def of(cls, channels: int) -> ChannelStatistics:
        """Know nothing yet of so many channels."""
        return cls(np.zeros(channels), np.zeros(channels))

    def add(self, block: Block, mixed: Samples) -> None:
        """Count a block [S, C] and its mixture [S]."""
        if block.shape[1] > 1:  # a lone channel cannot cancel
            exact = block.astype(np.float64)
            squares = exact**2
            self.sums += exact.sum(axis=0)
            self.energy += squares.sum(axis=0)
            exact_mixed = mixed.astype(np.float64)
            self.mixed_sum += float(exact_mixed.sum())
            self.mixed_energy += float(exact_mixed @ exact_mixed)
        highest = block.max(initial=0.0)
        lowest = block.min(initial=0.0)
        self.peak = max(self.peak, float(highest), -float(lowest))
        if self.peak >= FULL_SCALE:
            self.clipped += _count_clipped(block)
        self.samples += block.size

    @property
    def channels_cancel(self) -> bool:
        """Whether the channels take each other away when they are mixed; offsets do not count."""
        if len(self.energy) == 1:
            return False
        mean_energy = float(self._energy_about_mean.mean())
        offset_energy = self.mixed_sum**2 / self._frames
        mixed_energy = self.mixed_energy - offset_energy
        return mixed_energy < CANCELLED * mean_energy

    @property
    def loudest_channel(self) -> int:
        """The number of the channel with the most energy about its mean."""
        return int(np.argmax(self._energy_about_mean))

    @property
    def _frames(self) -> int:
        """Samples of each channel; 1 where there are none, to divide by."""
        channels = len(self.energy)
        return max(1, self.samples // channels)

    @property
    def _energy_about_mean(self) -> npt.NDArray[np.float64]:
        """Energy of each channel [C] without its constant offset."""
        offset_energy = self.sums**2 / self._frames
        return self.energy - offset_energy

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
