"""The two losses of every family, and how they become one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

STOP_CLASS_WEIGHTS = (1.0, 5.0)
"""Weights of "go on" and "stop" in the cross-entropy.

A clip has one "stop" and dozens of "go on".
"""

VALIDATION_STOP_WEIGHT = 0.2
"""Weight of the stop loss in the validation loss.

It is fixed, so that trials that sweep their training weights can be compared.
"""


class Losses(NamedTuple):
    """Sums over a batch, not means.

    Sums of micro-batches and workers add up to the same gradient however a batch is cut.

    Attributes:
        diffusion: mean squared error of the head, averaged over latent size and noise repeats,
            summed over patches; a scalar.
        stop: class-weighted cross-entropy, summed over audio positions; a scalar.
    """

    diffusion: Tensor
    stop: Tensor


@dataclass(frozen=True)
class LossNormalizer:
    """Divisors that turn the sums of some clips into means.

    Attributes:
        patches: divides the diffusion loss.
        stop_mass: sum of the class weights; divides the stop loss.
    """

    patches: float
    stop_mass: float

    @classmethod
    def of(
        cls, patch_counts: Sequence[int], stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS
    ) -> LossNormalizer:
        """Count clips with so many patches each.

        Every patch is a "go on", and every clip ends with one "stop".
        """
        go_on_weight, stop_weight = stop_weights
        patches = sum(patch_counts)
        go_on_mass = patches * go_on_weight
        stop_mass = len(patch_counts) * stop_weight
        return cls(patches, go_on_mass + stop_mass)

    def with_more_patches(self, patches: int, stop_weights: tuple[float, float]) -> LossNormalizer:
        """Return the normalizer of the same clips with this number of patches added in all."""
        go_on_weight, _ = stop_weights
        patches_in_all = self.patches + patches
        stop_mass = self.stop_mass + patches * go_on_weight
        return LossNormalizer(patches_in_all, stop_mass)

    def means(self, losses: Losses) -> Losses:
        """Divide the sums: the mean diffusion loss of a patch, the mean stop loss of a position."""
        return Losses(losses.diffusion / self.patches, losses.stop / self.stop_mass)

    def weighted_loss(self, losses: Losses, diffusion_weight: float, stop_weight: float) -> Tensor:
        """Weight both means and add them up: a scalar."""
        means = self.means(losses)
        return diffusion_weight * means.diffusion + stop_weight * means.stop
