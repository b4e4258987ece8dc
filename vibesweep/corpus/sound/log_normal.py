"""Normal distributions of the logarithms of lengths."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from vibesweep.corpus.sound.arrays import Floats

ROOT_2_PI = math.sqrt(2 * math.pi)


class LogNormal(NamedTuple):
    """Mean and standard deviation of the logarithm of a length."""

    mean: float
    spread: float

    def log_density(self, log_lengths: Floats) -> Floats:
        """Compute the logarithm of the normal density at each logarithm of a length."""
        distances = log_lengths - self.mean
        deviations = distances / self.spread
        exponents: Floats = -0.5 * deviations**2
        log_scale = math.log(self.spread * ROOT_2_PI)
        return exponents - log_scale

    def density(self, log_lengths: Floats) -> Floats:
        """Compute the normal density at each logarithm of a length."""
        log_density = self.log_density(log_lengths)
        density: Floats = np.exp(log_density)
        return density

    def updated(self, log_lengths: Floats, shares: Floats, prior_count: float) -> LogNormal:
        """Estimate the distribution from lengths [J] of which each belongs to it by a share [J].

        This distribution is the prior, and counts as ``prior_count`` more lengths.
        """
        count = shares.sum() + prior_count
        total = shares @ log_lengths
        prior_total = prior_count * self.mean
        mean = float((total + prior_total) / count)
        distances = log_lengths - mean
        scatter = shares @ distances**2
        prior_distance = self.mean - mean
        prior_scatter = self.spread**2 + prior_distance**2
        variance = (scatter + prior_count * prior_scatter) / count
        spread = float(np.sqrt(variance))
        return LogNormal(mean, spread)
