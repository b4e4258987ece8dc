"""The diffusion objective: how latents are noised, what the head must predict, and how it is run backwards to sample.

Shapes: ``N`` noised latents (patches x noise repeats), ``D`` latent size, ``H`` hidden size.

Both objectives take *levels* in (0, 1), uniform where training draws them and a stratified grid where validation does, and turn them
into the times that the head sees. One place for both keeps the direction of time and its range right: transformers' own VibeVoice
loss draws from the first ten of a thousand steps, and a fresh diffusers scheduler runs backwards until told otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from vibesweep.errors import ModelError

HEAD_TIME_SCALE = 1_000
"""The head's sinusoidal embedding is made for times from 0 to 1,000 (VibeVoice's number of diffusion steps)."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy [N, D], times [N]) to the head's prediction [N, D]."""


class Objective(Protocol):
    """What a head is trained to predict."""

    def times(self, levels: Tensor) -> Tensor:
        """Map levels [N] in (0, 1) to the head's times [N]."""

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Mix latents [N, D] with noise [N, D] at times [N]; return what the head sees and what it must say, both [N, D]."""

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Run the head from pure noise [N, D] to latents [N, D] in so many evaluations."""


class Flow:
    """Rectified flow: a straight line from noise at 0 to data at 1; the head says its velocity (Liu et al. 2022, eq. 1)."""

    def times(self, levels: Tensor) -> Tensor:
        """Logit-normal times, which dwell where the velocity is hard to tell (Esser et al. 2024, section 3.1)."""
        return torch.sigmoid(torch.special.ndtri(levels)) * HEAD_TIME_SCALE

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """x_t = (1 - t) noise + t latents, and the velocity latents - noise."""
        share = (times / HEAD_TIME_SCALE)[:, None]
        return (1 - share) * noise + share * latents, latents - noise

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Euler steps, each with the velocity at its middle time."""
        current = noise
        for step in range(steps):
            times = torch.full(
                (len(noise),), (step + 0.5) / steps * HEAD_TIME_SCALE, device=noise.device
            )
            current = current + predict(current, times) / steps
        return current


class VPrediction:
    """VibeVoice's own: 1,000 cosine steps, v-prediction (Salimans and Ho 2022, appendix D; Nichol and Dhariwal 2021, eq. 17)."""

    def __init__(self) -> None:
        """Tabulate the cumulative signal shares, with every beta capped at 0.999 as diffusers' ``squaredcos_cap_v2`` has it."""
        grid = torch.arange(HEAD_TIME_SCALE + 1, dtype=torch.float64) / HEAD_TIME_SCALE
        curve = torch.cos((grid + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - curve[1:] / curve[:-1]).clamp_max(0.999)
        self._signal_shares = torch.cumprod(1 - betas, 0).float()

    def _mix(self, times: Tensor) -> tuple[Tensor, Tensor]:
        share = self._signal_shares.to(times.device)[times.long()][:, None]
        return share.sqrt(), (1 - share).sqrt()

    def times(self, levels: Tensor) -> Tensor:
        """Every one of the steps 0 to 999, equally likely."""
        return (levels * HEAD_TIME_SCALE).floor().clamp(0, HEAD_TIME_SCALE - 1)

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """x_t = a latents + b noise, and v = a noise - b latents, where a² + b² = 1; time 0 is almost clean."""
        signal, spread = self._mix(times)
        return signal * latents + spread * noise, signal * noise - spread * latents

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Deterministic DDIM from the last step to the first (Song et al. 2021, eq. 12 with no added noise)."""
        grid = torch.linspace(HEAD_TIME_SCALE - 1, 0, steps + 1, device=noise.device).round()
        current = noise
        for now, after in itertools.pairwise(grid):
            signal, spread = self._mix(now.expand(len(noise)))
            v = predict(current, now.expand(len(noise)))
            latents, implied_noise = signal * current - spread * v, spread * current + signal * v
            next_signal, next_spread = self._mix(after.expand(len(noise)))
            current = next_signal * latents + next_spread * implied_noise
        return latents


OBJECTIVES: dict[str, type[Flow] | type[VPrediction]] = {"flow": Flow, "v": VPrediction}


def objective_named(name: str) -> Objective:
    """Return the objective of that name.

    Raises:
        ModelError: there is none.
    """
    if name not in OBJECTIVES:
        raise ModelError(
            f"there is no objective {name!r}", fix=f"choose one of {', '.join(OBJECTIVES)}"
        )
    return OBJECTIVES[name]()


def stratified_levels(count: int, offset: float) -> Tensor:
    """Spread ``count`` levels evenly over (0, 1) in a fixed, scattered order.

    The golden ratio's multiples fill the interval evenly for every count, so neighbouring patches get unlike times and a short clip
    covers the range as well as a long one.

    Args:
        count: how many levels.
        offset: where the sequence starts, in [0, 1).

    Returns:
        levels [count], float32, strictly between 0 and 1.
    """
    golden = (math.sqrt(5) - 1) / 2
    levels = (torch.arange(count, dtype=torch.float64) * golden + offset) % 1.0
    return levels.clamp(1e-4, 1 - 1e-4).float()


def diffusion_loss(
    head: Callable[[Tensor, Tensor, Tensor], Tensor],
    objective: Objective,
    latents: Tensor,
    conditions: Tensor,
    noise: Tensor,
    levels: Tensor,
) -> Tensor:
    """Sum over the noised latents of the mean squared error of the head's prediction.

    Args:
        head: (noisy [N, D], times [N], conditions [N, H]) to predictions [N, D].
        objective: what the head predicts.
        latents: clean latents [N, D].
        conditions: the backbone's hidden state *before* each latent [N, H]; the state at its own position has seen it.
        noise: standard normal [N, D].
        levels: in (0, 1) [N].

    Returns:
        A scalar.
    """
    times = objective.times(levels)
    noisy, target = objective.corrupt(latents, noise, times)
    return (head(noisy, times, conditions) - target).float().square().mean(-1).sum()
