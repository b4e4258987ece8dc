"""When a trial is given up as diverged, and when not: the guard alone, and the loop with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.losses import Losses, LossNormalizer
from vibesweep.training.loop import StepBatches, TrainingLoop
from vibesweep.training.optim.divergence import DivergenceGuard, StepLosses
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

TOO_SMALL_TO_MATTER = 1e-12
STEPS = 40
WEIGHTINGS = [(1.0, 0.2), (1.0, 0.0), (0.0, 1.0), (1e-6, 1.0), (1.0, 1e6), (1.0, 5.0)]
"""Weights of the diffusion and of the stop loss, to the ends of what the settings allow."""
RATES_THAT_DIVERGE = [10.0, 1e3, 1e9]
SURE_STOP_LOSSES = (0.004, 0.01, 0.9, 0.003, 1.7, 0.02, 0.3, 0.005)
"""Of a base that is sure of itself and wrong now and then: a step's loss depends on its clips."""


class Base(nn.Module):
    """A base whose losses differ by the clips; a batch holds its diffusion and its stop loss."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, batch: Tensor) -> Losses:
        diffusion, stop = batch * self.scale
        return Losses(diffusion, stop)


def step_with(diffusion: float, stop: float) -> StepBatches:
    normalizer = LossNormalizer(patches=1.0, stop_mass=1.0)
    return StepBatches([torch.tensor([diffusion, stop])], normalizer)


def settings_of(weights: tuple[float, float]) -> TrialSettings:
    diffusion_weight, stop_weight = weights
    return TrialSettings(
        method="full",
        warmup_fraction=0.0,
        diffusion_weight=diffusion_weight,
        stop_weight=stop_weight,
        learning_rate=TOO_SMALL_TO_MATTER,
    )


def given_up_in(losses: Sequence[float]) -> int | None:
    """Return the step in which the guard gives a trial with these diffusion losses up."""
    guard = DivergenceGuard(Base(), TrialSettings())
    for step, loss in enumerate(losses, start=1):
        if guard.check(step, StepLosses(loss, loss, 0.0), 1.0):
            return step
    return None


@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_an_untouched_base_is_never_given_up_whatever_the_loss_weights(
    weights: tuple[float, float],
) -> None:
    stop_losses = SURE_STOP_LOSSES * (STEPS // len(SURE_STOP_LOSSES))
    steps = [step_with(0.3 + 0.1 * (step % 3), stop) for step, stop in enumerate(stop_losses)]
    loop = TrainingLoop(Base(), settings_of(weights), STEPS, World())
    records, diverged = loop.train(iter(steps), STEPS)
    assert diverged is None
    assert len(records) == STEPS


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("context"))


@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_a_base_in_training_at_a_rate_of_nothing_is_never_given_up(
    context: WorkerContext, weights: tuple[float, float]
) -> None:
    settings = dataclasses.replace(settings_of(weights), batch_clips=1)
    _, diverged = TrialRun(context, settings, 12).train(12)
    assert diverged is None


@pytest.mark.parametrize("weights", WEIGHTINGS)
@pytest.mark.parametrize("rate", RATES_THAT_DIVERGE)
def test_a_rate_far_too_high_is_given_up_within_five_steps_whatever_the_loss_weights(
    context: WorkerContext, weights: tuple[float, float], rate: float
) -> None:
    settings = dataclasses.replace(settings_of(weights), learning_rate=rate)
    records, diverged = TrialRun(context, settings, 12).train(12)
    assert diverged is not None
    assert len(records) <= 5


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ([0.01, 0.2, 0.9, 0.03, 3.0, 4.9] * 5, None),
        ([0.5] * 10 + [6.0, 7.0] + [0.5] * 10, None),
        ([0.5] * 10 + [6.0, 7.0, 8.0], 13),
        ([2.0] * 10 + [9.0] * 5, None),
        ([0.5, 6.0, 6.0, 6.0, 6.0], 5),
        ([0.5, 101.0], 2),
        ([40.0, 300.0, 500.0, 60.0, 45.0, 50.0] * 3, None),
    ],
    ids=[
        "small ones differ",
        "a clip unlike all others",
        "exploded for good",
        "under five times the median",
        "exploded from the second step on",
        "hopeless",
        "the first were easy, in a unit of its own",
    ],
)
def test_a_trial_is_given_up_for_losses_that_stay_exploded(
    losses: list[float], step: int | None
) -> None:
    assert given_up_in(losses) == step


def test_a_guard_that_is_resumed_counts_on() -> None:
    guard, resumed = (DivergenceGuard(Base(), TrialSettings()) for _ in range(2))
    for step, loss in enumerate([0.5] * 6 + [9.0, 9.0], start=1):
        assert guard.check(step, StepLosses(loss, loss, 0.0), 1.0) is None
    resumed.load_state_dict(guard.state_dict())
    assert resumed.check(9, StepLosses(9.0, 9.0, 0.0), 1.0) is not None
