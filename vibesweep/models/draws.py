"""The random draws of a clip's batch, each clip from a generator of its own.

They depend neither on how clips are batched nor on which worker gets them.

Shapes: ``P`` patches, ``N`` noised latents, ``D`` latent size.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vibesweep.models.clips import Augmentation
from vibesweep.models.diffusion import LEVEL_MARGIN

LONGEST_SPAN_PATCHES = 6
"""0.8 s, about one long word: the longest stretch masked at once (Park et al. 2019: 0.7 to 1 s)."""


def clip_rng(clip: str, *numbers: int) -> np.random.Generator:
    """Return a generator seeded by some numbers and a clip's id.

    Args:
        clip: the clip's id.
        numbers: a seed and an epoch, or the number of a validation draw; none for draws that
            depend on the clip alone.
    """
    clip_seed = zlib.crc32(clip.encode())
    if not numbers:
        return np.random.default_rng(clip_seed)
    seeds = [*numbers, clip_seed]
    return np.random.default_rng(seeds)


def normal(rng: np.random.Generator, rows: int, columns: int) -> Tensor:
    """Draw standard normal numbers [rows, columns], float32."""
    values = rng.standard_normal((rows, columns), dtype=np.float32)
    return torch.from_numpy(values)


def training_levels(rng: np.random.Generator, count: int) -> Tensor:
    """Draw uniform noise levels [N], float32, strictly between 0 and 1."""
    values = rng.random(count, dtype=np.float32)
    levels = torch.from_numpy(values)
    return levels.clamp(LEVEL_MARGIN, 1 - LEVEL_MARGIN)


def keep_mask(
    rng: np.random.Generator, patches: int, latent_size: int, augmentation: Augmentation
) -> Tensor:
    """Draw a mask [P, D] of a clip's latents: 0 where a latent is hidden, else 1.

    A hidden latent becomes 0, which is the mean of the latents. Spans of 1 to
    :data:`LONGEST_SPAN_PATCHES` patches are hidden until they cover the share of time, rounded to
    whole patches. Dimensions are hidden throughout the clip.
    """
    kept = np.ones((patches, latent_size), dtype=np.float32)
    _hide_spans(kept, rng, augmentation.time_share)
    _hide_dimensions(kept, rng, augmentation.dims_share)
    return torch.from_numpy(kept)


def _hide_spans(kept: npt.NDArray[np.float32], rng: np.random.Generator, share: float) -> None:
    """Set whole patches of a mask [P, D] to 0, in spans that may overlap."""
    patches = len(kept)
    wanted = round(share * patches)
    missing = wanted
    while missing > 0:
        drawn_length = rng.integers(1, LONGEST_SPAN_PATCHES, endpoint=True)
        length = min(int(drawn_length), missing)
        last_start = patches - length
        start = int(rng.integers(last_start + 1))
        end = start + length
        kept[start:end] = 0
        hidden = int((kept[:, 0] == 0).sum())
        missing = wanted - hidden


def _hide_dimensions(kept: npt.NDArray[np.float32], rng: np.random.Generator, share: float) -> None:
    """Set whole columns of a mask [P, D] to 0."""
    latent_size = kept.shape[1]
    count = round(share * latent_size)
    if count == 0:
        return
    hidden = rng.choice(latent_size, count, replace=False)
    kept[:, hidden] = 0
