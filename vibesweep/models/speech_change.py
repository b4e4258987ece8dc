"""How far a tuned model's speech is from its base's: a made-up clip, and what both say in it.

The clip is the same for both: one text, latents and noise of one seed. At each latent of it a model
predicts the next one. Nothing that a model says is fed back, so a small change stays small, and the
same weights give the same latents to the bit.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vibesweep.models.family import SpeechChange

PROBE_TEXT = "It is a quiet morning in the old town."
PROBE_PATCHES = 15
"""Two seconds."""
PROBE_STEPS = 10
PROBE_SEED = 0
LEAST_CHANGE = 1e-3
"""A change of less than a thousandth of the spread, 60 dB below it, is not heard."""


def probe_noise(*shape: int) -> Tensor:
    """Draw standard normal numbers for the made-up clip, the same ones each time."""
    generator = torch.Generator()
    generator.manual_seed(PROBE_SEED)
    return torch.randn(*shape, generator=generator)


def speech_change(base: Tensor, tuned: Tensor, reason: str) -> SpeechChange:
    """Compare what a base and a tuned model predict.

    Args:
        base: the base's latents [P, D].
        tuned: the tuned model's.
        reason: why there is no change, in case there is none.
    """
    squares = (tuned - base).square()
    difference = squares.mean().sqrt()
    spread = base.std()
    share = float(difference / spread)
    if share >= LEAST_CHANGE:
        return SpeechChange(share, "")
    return SpeechChange(share, reason)
