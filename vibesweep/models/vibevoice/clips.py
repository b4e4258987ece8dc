"""Encoded clips of the family ``vibevoice``, and how their latents are noised and scaled.

Shapes: ``P`` latents, ``D`` acoustic and ``F`` semantic size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vibesweep.models.clips import EncodedClip
from vibesweep.models.draws import normal

PROMPT_PATCHES = 75
"""Ten seconds, the longest voice prompt in training. Those of VibeVoice's own demo are 8 to 30 s."""


@dataclass(frozen=True)
class EncodedVibeVoiceClip(EncodedClip):
    """A clip's features, by the checkpoint's encoders, and its script, by its tokenizer.

    Attributes:
        semantic: semantic features [P, F].
        bare_ids: token ids before the speech, without voice prompts.
        voiced_ids: the same with voice prompts, one latent's id for each prompt.
    """

    semantic: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    bare_ids: tuple[int, ...] = ()
    voiced_ids: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens with voice prompts of full length."""
        return self.patches + len(self.voiced_ids) + len(self.people) * PROMPT_PATCHES

    @property
    def nbytes(self) -> int:
        """Bytes of latents and semantic features, in half precision."""
        return self.latents.nbytes + self.semantic.nbytes


@dataclass(frozen=True)
class Silence:
    """Features of silence from the start of a clip on: latents [N, D], semantic [N, F]."""

    latents: Tensor
    semantic: Tensor

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """Take the features of a silence that begins a clip."""
        return self.latents[:count], self.semantic[:count]

    def last(self, count: int) -> tuple[Tensor, Tensor]:
        """Take the features of a silence that has lasted, as it follows speech."""
        start = len(self.latents) - count
        return self.latents[start:], self.semantic[start:]


@dataclass(frozen=True)
class LatentRules:
    """How a checkpoint's latents are noised and scaled.

    Attributes:
        scale: factor, once the bias is added.
        bias: added to the latents.
        vae_std: the σ-VAE's: the spread of an item's noise is drawn from N(0, vae_std) (Peng et al.
            2025, section 2.1).
    """

    scale: float
    bias: float
    vae_std: float

    def scaled(self, latents: Tensor) -> Tensor:
        """Scale the encoder's means [P, D] to what the network sees."""
        return (latents.float() + self.bias) * self.scale

    def sampled(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """Add an item's own noise to the means [P, D], and scale them."""
        spread = self.vae_std * float(rng.standard_normal())
        noise = normal(rng, *latents.shape)
        return self.scaled(latents.float() + spread * noise)
