"""Log-mel patches to latents and back, by a principal component analysis fitted once with its base.

Shapes: ``T`` frames, ``P`` patches, ``F`` frames a patch, ``M`` mel bins, ``D`` latent size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibesweep.corpus.shards.statistics import Moments


class PatchCodec(nn.Module):
    """Project patches of ``F`` frames x ``M`` bins to ``D`` latents of unit spread, and back.

    It takes the place of VibeVoice's learned acoustic tokenizer: the same rate (7.5 Hz) and the
    same latent size, but no weights to download.

    Attributes:
        mean: mean of the training patches [F*M].
        basis: principal axes of the training patches [F*M, D], the largest variance first.
        scale: root mean square of the kept components (a scalar).
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, frames_per_patch: int, n_mels: int, latent_size: int) -> None:
        """Make an unfitted codec; :meth:`fit` or ``load_state_dict`` fills it."""
        super().__init__()
        self.frames_per_patch = frames_per_patch
        self.n_mels = n_mels
        width = frames_per_patch * n_mels
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("basis", torch.eye(width, latent_size))
        self.register_buffer("scale", torch.ones(()))

    def patches(self, log_mel: Tensor) -> Tensor:
        """Cut a log-mel [T, M] into whole patches [P, F*M]; drop the up to F - 1 frames left."""
        count = len(log_mel) // self.frames_per_patch
        frames = count * self.frames_per_patch
        whole = log_mel[:frames]
        return whole.reshape(count, -1)

    def encode(self, log_mel: Tensor) -> Tensor:
        """Encode a log-mel [T, M] as latents [P, D]."""
        patches = self.patches(log_mel.float())
        centred = patches - self.mean
        components = centred @ self.basis
        return components / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents [P, D] to a log-mel [P*F, M]."""
        components = latents * self.scale
        patches = components @ self.basis.T
        patches += self.mean
        return patches.reshape(-1, self.n_mels)

    def fit(self, moments: Moments) -> float:
        """Fit mean, principal axes and scale to the moments of training patches [P, F*M].

        Args:
            moments: count, mean [F*M] and covariance [F*M, F*M] of the patches (``pairs=True``).

        Returns:
            The share of the patches' variance that the latents keep.
        """
        mean = torch.from_numpy(moments.mean)
        covariance = torch.from_numpy(moments.covariance)
        variances, axes = torch.linalg.eigh(covariance)  # the smallest variance first
        latent_size = self.basis.shape[1]
        kept_variances = variances[-latent_size:]
        kept_axes = axes[:, -latent_size:]
        largest_first = kept_axes.flip(1)
        mean_variance = kept_variances.mean()
        self.mean.copy_(mean)
        self.basis.copy_(largest_first)
        self.scale.copy_(mean_variance.sqrt())
        share = kept_variances.sum() / variances.sum()
        return float(share)
