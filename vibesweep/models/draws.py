"""The random draws of a clip's batch, clip by clip: they depend neither on how clips are batched nor on how they are dealt out.

Shapes: ``P`` patches, ``N`` noised latents, ``D`` latent size.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from vibesweep.models.family import Augmentation

LONGEST_SPAN_PATCHES = 6
"""0.8 s: the longest stretch that masking hides at once is a long word (Park et al. 2019 hide 0.7 to 1 s)."""


def clip_rng(clip: str, *numbers: int) -> np.random.Generator:
    """A generator of one clip's own, seeded by its id after these numbers (a seed and an epoch, or which draw)."""
    own = zlib.crc32(clip.encode())
    return np.random.default_rng([*numbers, own] if numbers else own)


def normal(rng: np.random.Generator, rows: int, columns: int) -> Tensor:
    """Standard normal numbers [rows, columns]."""
    return torch.from_numpy(rng.standard_normal((rows, columns), dtype=np.float32))


def training_levels(rng: np.random.Generator, count: int) -> Tensor:
    """Uniform levels [N], strictly between 0 and 1."""
    return torch.from_numpy(rng.random(count, dtype=np.float32)).clamp(1e-4, 1 - 1e-4)


def keep_mask(
    rng: np.random.Generator, patches: int, latent_size: int, augmentation: Augmentation
) -> Tensor:
    """Draw what is left of a clip's latents [P, D]: 0 where one is hidden, which is the latents' mean, else 1.

    Spans of 1 to :data:`LONGEST_SPAN_PATCHES` are laid until the share of time is hidden, rounded to whole patches; the dimensions are
    hidden in all of the clip.
    """
    kept = np.ones((patches, latent_size), dtype=np.float32)
    wanted = round(augmentation.time_share * patches)
    while (left := wanted - int((kept[:, 0] == 0).sum())) > 0:
        span = min(int(rng.integers(1, LONGEST_SPAN_PATCHES + 1)), left)
        start = int(rng.integers(patches - span + 1))
        kept[start : start + span] = 0
    if hidden := round(augmentation.dims_share * latent_size):
        kept[:, rng.choice(latent_size, hidden, replace=False)] = 0
    return torch.from_numpy(kept)
