"""The diffusion objective: how latents are noised, what the head predicts, and how to sample.

Shapes: ``N`` noised latents (patches x noise repeats), ``D`` latent size, ``H`` hidden size.

Both objectives take *levels* in (0, 1) and map them to the times that the head sees. Training draws
uniform levels, validation takes a stratified grid. Doing this in one place keeps the direction and
the range of time right: transformers' own VibeVoice loss draws from the first ten of a thousand
steps only, and a fresh diffusers scheduler runs backwards until ``set_timesteps`` is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from vibesweep.errors import ModelError

HEAD_TIME_SCALE = 1_000
"""The head's sinusoidal embedding expects times from 0 to 1,000 (VibeVoice's diffusion steps)."""

LAST_STEP = HEAD_TIME_SCALE - 1
"""The noisiest of VibeVoice's steps, which are numbered from 0."""

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2

LEVEL_MARGIN = 1e-4
"""Levels keep this distance from 0 and 1, where a logit-normal time has an infinite logit."""

COSINE_OFFSET = 0.008
"""Keeps the first betas of the cosine schedule from vanishing (Nichol and Dhariwal 2021)."""

LARGEST_BETA = 0.999
"""Cap on each beta, as in diffusers' ``squaredcos_cap_v2``."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy latents [N, D], times [N]) to the head's prediction [N, D]."""

Head = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy latents [N, D], times [N], conditions [N, H]) to the head's prediction [N, D]."""


class Objective(Protocol):
    """What a head is trained to predict."""

    def times(self, levels: Tensor) -> Tensor:
        """Map levels [N] in (0, 1) to the head's times [N]."""

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Mix latents [N, D] with noise [N, D] at times [N].

        Returns:
            The head's input [N, D] and its target [N, D].
        """

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Turn pure noise [N, D] into latents [N, D] with ``steps`` evaluations of the head."""


class Flow:
    """Rectified flow: a straight line from noise at time 0 to data at the last time.

    The head predicts the velocity along it (Liu et al. 2022, eq. 1).
    """

    def times(self, levels: Tensor) -> Tensor:
        """Map levels [N] to logit-normal times [N] (Esser et al. 2024, section 3.1).

        They are densest in the middle, where the velocity is hardest to predict.
        """
        logits = torch.special.ndtri(levels)
        return torch.sigmoid(logits) * HEAD_TIME_SCALE

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_t = (1 - t) noise + t latents and the velocity latents - noise, both [N, D]."""
        data_share = times[:, None] / HEAD_TIME_SCALE
        noise_share = 1 - data_share
        noisy = noise_share * noise + data_share * latents
        velocity = latents - noise
        return noisy, velocity

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Integrate from noise [N, D] by Euler steps, each with the velocity at its middle time."""
        count = len(noise)
        current = noise
        for step in range(steps):
            middle = (step + 0.5) / steps
            time = middle * HEAD_TIME_SCALE
            times = torch.full((count,), time, device=noise.device)
            velocity = predict(current, times)
            current = current + velocity / steps
        return current


class VPrediction:
    """VibeVoice's own objective: v-prediction over 1,000 steps of the cosine schedule.

    Salimans and Ho 2022, appendix D, for v; Nichol and Dhariwal 2021, eq. 17, for the schedule.
    """

    def __init__(self) -> None:
        steps = torch.arange(HEAD_TIME_SCALE + 1, dtype=torch.float64)
        grid = steps / HEAD_TIME_SCALE
        shifted = (grid + COSINE_OFFSET) / (1 + COSINE_OFFSET)
        angles = shifted * math.pi / 2
        signal_power = torch.cos(angles) ** 2
        alphas = signal_power[1:] / signal_power[:-1]
        betas = (1 - alphas).clamp_max(LARGEST_BETA)
        signal_power = torch.cumprod(1 - betas, 0)
        self._signal_power = signal_power.float()

    def times(self, levels: Tensor) -> Tensor:
        """Map levels [N] to the steps 0 to 999 [N], each equally likely."""
        steps = (levels * HEAD_TIME_SCALE).floor()
        return steps.clamp(0, LAST_STEP)

    def amplitudes(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the factors a of the signal and b of the noise, both [N, 1], at times [N].

        Everywhere a² + b² = 1.
        """
        if self._signal_power.device != times.device:
            self._signal_power = self._signal_power.to(times.device)
        steps = times.long()
        signal_power = self._signal_power[steps].unsqueeze(1)
        noise_power = 1 - signal_power
        return signal_power.sqrt(), noise_power.sqrt()

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_t = a latents + b noise and v = a noise - b latents, both [N, D].

        ``a`` and ``b`` are the :meth:`amplitudes`. Time 0 is almost clean.
        """
        signal, spread = self.amplitudes(times)
        noisy = signal * latents + spread * noise
        v = signal * noise - spread * latents
        return noisy, v

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Run deterministic DDIM from noise [N, D] (Song et al. 2021, eq. 12, no noise added)."""
        count = len(noise)
        grid = torch.linspace(LAST_STEP, 0, steps + 1, device=noise.device)
        current = noise
        for time, next_time in pairwise(grid.round()):
            times = time.expand(count)
            v = predict(current, times)
            # v implies both the clean latents and the noise ...
            signal, spread = self.amplitudes(times)
            latents = signal * current - spread * v
            implied_noise = spread * current + signal * v
            # ... which the next step mixes again, with less noise
            next_times = next_time.expand(count)
            signal, spread = self.amplitudes(next_times)
            current = signal * latents + spread * implied_noise
        return latents


OBJECTIVES: dict[str, type[Flow] | type[VPrediction]] = {"flow": Flow, "v": VPrediction}


def objective_named(name: str) -> Objective:
    """Return the objective of this name.

    Raises:
        ModelError: there is no such objective.
    """
    if name not in OBJECTIVES:
        known = ", ".join(OBJECTIVES)
        raise ModelError(f"there is no objective {name!r}", fix=f"choose one of {known}")
    return OBJECTIVES[name]()


def stratified_levels(count: int, offset: float) -> Tensor:
    """Spread ``count`` levels evenly over (0, 1) in a fixed, scattered order.

    Multiples of the golden ratio fill the interval evenly for every count. Neighbouring patches
    therefore get different times, and a short clip covers the range as well as a long one.

    Args:
        count: number of levels.
        offset: where the sequence starts, in [0, 1).

    Returns:
        Levels [count], float32, strictly between 0 and 1.
    """
    numbers = torch.arange(count, dtype=torch.float64)
    positions = numbers * GOLDEN_RATIO + offset
    levels = positions % 1.0
    levels = levels.clamp(LEVEL_MARGIN, 1 - LEVEL_MARGIN)
    return levels.float()


def diffusion_loss(
    head: Head,
    objective: Objective,
    latents: Tensor,
    conditions: Tensor,
    noise: Tensor,
    levels: Tensor,
    weights: Tensor | None = None,
    total: Callable[[Tensor], Tensor] = torch.sum,
) -> Tensor:
    """Return the mean squared error of each prediction, weighted and summed.

    Args:
        head: the diffusion head.
        objective: what the head predicts.
        latents: clean latents [N, D].
        conditions: the backbone's hidden state *before* each latent [N, H]. The state at the
            latent's own position has already seen it.
        noise: standard normal [N, D].
        levels: noise levels in (0, 1) [N].
        weights: what each noised latent counts in the sum [N]; without them each counts one.
        total: sums the errors [N] up.

    Returns:
        A scalar, unless ``total`` says otherwise.
    """
    times = objective.times(levels)
    noisy, target = objective.corrupt(latents, noise, times)
    prediction = head(noisy, times, conditions)
    errors = (prediction - target).float()
    mean_squared_errors = errors.square().mean(-1)
    if weights is not None:
        mean_squared_errors = mean_squared_errors * weights
    return total(mean_squared_errors)
