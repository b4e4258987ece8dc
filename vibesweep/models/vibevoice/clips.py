"""Encoded clips of the family ``vibevoice``, and how their latents are noised and scaled.

Shapes: ``P`` latents, ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vibesweep.models.clips import EncodedClip
from vibesweep.models.draws import normal

PROMPT_PATCHES = 75
"""Latents of the longest voice prompt in training: ten seconds.

Those of VibeVoice's own demo are 8 to 30 s.
"""


@dataclass(frozen=True)
class EncodedVibeVoiceClip(EncodedClip):
    """A clip's features, by the checkpoint's encoders, and its script, by its tokenizer.

    Attributes:
        semantic: semantic features [P, E].
        bare_ids: token ids before the speech, without voice prompts.
        voiced_ids: the same with voice prompts, one latent's id for each prompt.
    """

    semantic: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    bare_ids: tuple[int, ...] = ()
    voiced_ids: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens with voice prompts of full length."""
        script_tokens = len(self.voiced_ids)
        prompt_tokens = len(self.people) * PROMPT_PATCHES
        return self.patches + script_tokens + prompt_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of latents and semantic features, in half precision."""
        acoustic_bytes = self.latents.nbytes
        semantic_bytes = self.semantic.nbytes
        return acoustic_bytes + semantic_bytes


@dataclass(frozen=True)
class Silence:
    """Features of silence from the start of a clip on: latents [P, D], semantic [P, E]."""

    latents: Tensor
    semantic: Tensor

    @classmethod
    def none(cls, latent_size: int, semantic_size: int) -> Silence:
        """Make a silence of no length."""
        latents = torch.zeros(0, latent_size)
        semantic = torch.zeros(0, semantic_size)
        return cls(latents, semantic)

    def first(self, count: int) -> Silence:
        """Take the features of a silence that begins a clip."""
        self._check(count)
        latents = self.latents[:count]
        semantic = self.semantic[:count]
        return Silence(latents, semantic)

    def last(self, count: int) -> Silence:
        """Take the features of a silence that has lasted, as it follows speech."""
        self._check(count)
        start = len(self.latents) - count
        latents = self.latents[start:]
        semantic = self.semantic[start:]
        return Silence(latents, semantic)

    def _check(self, count: int) -> None:
        longest = len(self.latents)
        assert count <= longest, "configure_model refuses longer silences"


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
        shifted = latents.float() + self.bias
        return shifted * self.scale

    def sampled(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """Add an item's own noise to the means [P, D], and scale them."""
        factor = float(rng.standard_normal())
        noise = normal(rng, *latents.shape)
        spread = self.vae_std * factor
        noisy = latents.float() + spread * noise
        return self.scaled(noisy)
