"""Log-mel patches to latents and back, by a principal component analysis that is fitted once, with its base.

Shapes: ``T`` frames, ``P`` patches, ``F`` frames a patch, ``M`` mel bins, ``D`` latent size.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vibesweep.corpus.shards.statistics import Moments


class PatchCodec(nn.Module):
    """Projects patches of ``F`` frames x ``M`` bins to ``D`` latents of unit overall spread, and back.

    It takes the place of VibeVoice's learned acoustic tokenizer: same rate (7.5 Hz), same latent size, no weights to download.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, frames_per_patch: int, n_mels: int, latent_size: int) -> None:
        """Make an unfitted codec of these sizes; :meth:`fit` or ``load_state_dict`` fills it."""
        super().__init__()
        self.frames_per_patch = frames_per_patch
        self.n_mels = n_mels
        width = frames_per_patch * n_mels
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("basis", torch.eye(width, latent_size))
        self.register_buffer("scale", torch.ones(()))

    def patches(self, log_mel: Tensor) -> Tensor:
        """Cut a log-mel [T, M] into whole patches [P, F*M]; up to F - 1 last frames are left out."""
        count = len(log_mel) // self.frames_per_patch
        return log_mel[: count * self.frames_per_patch].reshape(count, -1)

    def encode(self, log_mel: Tensor) -> Tensor:
        """Log-mel [T, M] to latents [P, D]."""
        return (self.patches(log_mel.float()) - self.mean) @ self.basis / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [P, D] to a log-mel [P*F, M]."""
        return (latents * self.scale @ self.basis.T + self.mean).reshape(-1, self.n_mels)

    def fit(self, patches: Moments) -> float:
        """Fit mean, principal axes and the one scale to the moments of pairs of training patches [P, F*M].

        Returns:
            The share of the patches' variance that the latents keep.
        """
        variances, axes = torch.linalg.eigh(torch.from_numpy(patches.covariance))
        kept = self.basis.shape[1]
        self.mean.copy_(torch.from_numpy(patches.mean))
        self.basis.copy_(axes[:, -kept:].flip(1))
        self.scale.copy_(variances[-kept:].mean().sqrt())
        return cast(float, (variances[-kept:].sum() / variances.sum()).item())
