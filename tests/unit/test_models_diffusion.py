"""The objectives against their formulas, and the codec against NumPy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vibesweep.corpus.shards.statistics import Moments
from vibesweep.errors import ModelError
from vibesweep.models.diffusion import (
    Flow,
    VPrediction,
    diffusion_loss,
    objective_named,
    stratified_levels,
)
from vibesweep.models.mel.latents import PatchCodec


def test_v_prediction_follows_the_paper_in_float64() -> None:
    rng = np.random.default_rng(0)
    latents, noise = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    levels = rng.random(50)

    grid = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = np.minimum(1 - grid[1:] / grid[:-1], 0.999)
    steps = (levels * 1000).astype(int)
    signal_power = np.cumprod(1 - betas)[steps][:, None]
    signal, spread = np.sqrt(signal_power), np.sqrt(1 - signal_power)

    objective = VPrediction()
    times = objective.times(torch.tensor(levels))
    noisy, target = objective.corrupt(torch.tensor(latents), torch.tensor(noise), times)
    np.testing.assert_allclose(noisy, signal * latents + spread * noise, atol=1e-6)
    np.testing.assert_allclose(target, signal * noise - spread * latents, atol=1e-6)


def test_v_prediction_uses_all_thousand_steps_from_clean_to_noise() -> None:
    objective = VPrediction()
    times = objective.times(stratified_levels(20_000, 0.3))
    assert set(times.int().tolist()) >= set(range(1, 999))
    latents, noise = torch.ones(2, 1), torch.zeros(2, 1)
    noisy, _ = objective.corrupt(latents, noise, torch.tensor([0.0, 999.0]))
    assert noisy[0] > 0.999
    assert noisy[1] < 0.01


def test_flow_is_noise_at_zero_and_data_at_the_end() -> None:
    latents, noise = torch.full((2, 3), 2.0), torch.full((2, 3), -1.0)
    noisy, velocity = Flow().corrupt(latents, noise, torch.tensor([0.0, 1000.0]))
    assert torch.equal(noisy, torch.stack([noise[0], latents[0]]))
    assert torch.equal(velocity, latents - noise)


def test_flow_draws_logit_normal_times() -> None:
    times = Flow().times(stratified_levels(20_000, 0.3)) / 1000
    logits = torch.log(times / (1 - times))
    assert logits.mean().item() == pytest.approx(0, abs=0.01)
    assert logits.std().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["flow", "v"])
def test_sampling_with_a_perfect_head_gives_the_data(name: str) -> None:
    objective = objective_named(name)
    data = torch.tensor([[0.7, -1.2, 0.1]])

    def perfect(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        if name == "flow":
            return (data - noisy) / (1 - times / 1000)[:, None]
        signal, spread = VPrediction().amplitudes(times)
        return signal * (noisy - signal * data) / spread - spread * data

    noise = torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(objective.sample(perfect, noise, 50), data, atol=0.05)


def test_the_loss_is_a_sum_over_latents_of_the_mean_over_their_dimensions() -> None:
    latents, noise = torch.zeros(3, 4), torch.zeros(3, 4)
    conditions, levels = torch.zeros(3, 5), torch.full((3,), 0.5)

    def head(*_: torch.Tensor) -> torch.Tensor:
        return torch.full((3, 4), 2.0)

    loss = diffusion_loss(head, Flow(), latents, conditions, noise, levels)
    assert loss.item() == pytest.approx(3 * 4.0)


def test_levels_are_spread_evenly_for_every_count() -> None:
    for count in (1, 7, 40, 400):
        levels = stratified_levels(count, 0.123).sort().values
        assert levels[0] > 0
        assert levels[-1] < 1
        gaps = torch.diff(torch.cat([torch.zeros(1), levels, torch.ones(1)]))
        assert gaps.max() < 2.7 / count


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ModelError, match="'score'"):
        objective_named("score")


def made_up_mels() -> list[npt.NDArray[np.float64]]:
    """Ten log-mels of 20 to 59 frames of 6 bins."""
    rng = np.random.default_rng(0)
    frame_counts = rng.integers(20, 60, 10)
    return [rng.normal(size=(int(n), 6)) @ rng.normal(size=(6, 6)) + 3 for n in frame_counts]


def test_the_codec_is_the_pca_of_the_patches() -> None:
    mels = made_up_mels()
    codec = PatchCodec(frames_per_patch=2, n_mels=6, latent_size=5)
    cut = torch.cat([codec.patches(torch.tensor(mel)) for mel in mels]).numpy()
    kept = codec.fit(Moments.of(cut, pairs=True))

    patches = np.concatenate([mel[: len(mel) // 2 * 2].reshape(-1, 12) for mel in mels])
    np.testing.assert_array_equal(cut, patches)
    variances = np.sort(np.linalg.eigvalsh(np.cov(patches.T, bias=True)))[::-1]
    assert kept == pytest.approx(variances[:5].sum() / variances.sum(), rel=1e-6)

    latents = np.concatenate([codec.encode(torch.tensor(mel)) for mel in mels])
    np.testing.assert_allclose(latents.std(), 1.0, atol=1e-5)
    decoded = codec.decode(torch.from_numpy(latents)).numpy().reshape(-1, 12)
    error = ((decoded - patches) ** 2).sum(1).mean()
    assert error == pytest.approx(variances[5:].sum(), rel=1e-4)


def test_frames_that_fill_no_patch_are_left_out() -> None:
    codec = PatchCodec(frames_per_patch=2, n_mels=6, latent_size=5)
    assert codec.encode(torch.zeros(21, 6)).shape == (10, 5)
    assert codec.decode(torch.zeros(10, 5)).shape == (20, 6)
