"""How long each turn of a recording should take, by the number of its phonemes.

Shapes: ``K`` turns. Lengths are in hops of speech.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vibesweep.corpus.sound.arrays import Floats
from vibesweep.corpus.sound.log_normal import LogNormal

# Measured on 291 clips of 11 readers (docs/design/corpus.md); the spread of rates is widened by a
# third. Variances are of the logarithm of a length.
EXTRA_PHONEMES = 4.0  # the last syllables of a turn are drawn out
VARIANCE_OF_RATE = 0.1**2
VARIANCE_OF_PHONEME = 0.44  # divided by the number of phonemes

# Some turns have laughter in them, or words that the text lacks
ODD_SHARE = 0.03
ODD_SPREAD = 0.5
VARIANCE_OF_ODD = ODD_SHARE * ODD_SPREAD**2

# How far the lengths go that have a likelihood
LONGEST_SPREADS = 4
LEAST_SPREAD = 0.75 * ODD_SPREAD

# How far around the expected place a boundary is looked for
WINDOW_SPREADS = 5
WINDOW_MARGIN_S = 2.0


@dataclass(frozen=True)
class TurnLengths:
    """What is expected of the lengths of turns.

    Attributes:
        hops: expected length of each turn [K].
        variance: variance of the logarithm of each length [K].
    """

    hops: Floats
    variance: Floats

    @classmethod
    def of(cls, phonemes_of_turns: Sequence[int], speech_hops: int) -> TurnLengths:
        """Share out the speech of a recording among its turns, by their phonemes [K]."""
        phonemes = np.asarray(phonemes_of_turns, np.float64)
        drawn_out = phonemes + EXTRA_PHONEMES
        total = drawn_out.sum()
        at_least_one = np.maximum(phonemes, 1)
        return cls(
            hops=drawn_out * speech_hops / total,
            variance=VARIANCE_OF_RATE + VARIANCE_OF_PHONEME / at_least_one,
        )

    @functools.cached_property
    def likelihoods(self) -> list[Floats]:
        """For each turn, the likelihood of every length from 0 hops on.

        The last length stands for all longer ones; its likelihood is 0, as is that of no length.
        """
        found = []
        for mean, variance in zip(self.hops, self.variance, strict=True):
            spread = math.sqrt(variance)
            found.append(_length_likelihood(mean, spread))
        return found

    def windows(self, hop_s: float) -> list[tuple[float, float]]:
        """Return the range of hops in which each boundary between turns is looked for [K - 1].

        The boundaries are a random walk whose steps are the turns, tied down at both ends.
        """
        log_variance = self.variance + VARIANCE_OF_ODD
        variance = self.hops**2 * log_variance
        walked = np.cumsum(variance)
        share_walked = walked / walked[-1]
        share_left = np.maximum(1 - share_walked, 0)
        spread = np.sqrt(walked * share_left)
        margin = WINDOW_MARGIN_S / hop_s
        half_width = WINDOW_SPREADS * spread + margin
        centre = np.cumsum(self.hops)
        first = centre - half_width
        last = centre + half_width
        windows = zip(first.tolist(), last.tolist(), strict=True)
        *boundaries, _ = windows  # the last turn ends where the speech does
        return boundaries


def _length_likelihood(mean: float, spread: float) -> Floats:
    """Compute the likelihood of each length: a log-normal density, and a wider one of odd turns."""
    widest = max(spread, LEAST_SPREAD)
    longest_ratio = math.exp(LONGEST_SPREADS * widest)
    longest = math.ceil(mean * longest_ratio)
    lengths = np.arange(1, longest + 2)
    log_ratio = np.log(lengths / mean)
    ordinary = LogNormal(0.0, spread).density(log_ratio)
    odd = LogNormal(0.0, ODD_SPREAD).density(log_ratio)
    ordinary_share = 1 - ODD_SHARE
    mixture = ordinary_share * ordinary + ODD_SHARE * odd
    density = mixture / lengths
    return np.pad(density, 1)  # zeros for no length and for the longest
