"""The gradient of a step: right by finite differences, and the same however its clips are split."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.model import MelModel
from vibesweep.models.speech_model import SpeechModel

STRIDE = 1e-5
"""Of central differences in float64; their error is near its square plus 1e-16 / 1e-5."""


def encoded(base: SpeechModel) -> list[EncodedClip]:
    return [base.encode(row) for row in tiny.clips(12)]


def normalizer_of(clips: Sequence[EncodedClip]) -> LossNormalizer:
    return LossNormalizer.of([clip.patches for clip in clips])


def in_float64(model: MelModel) -> MelModel:
    """Copy a network to float64.

    transformers' norms compute in float32 whatever their input is, so torch's take their place.
    """
    exact = copy.deepcopy(model).double()
    for path, module in list(exact.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            eps = float(getattr(module, "variance_epsilon", 1e-6))
            norm = nn.RMSNorm(module.weight.shape, eps, dtype=torch.float64)
            norm.weight = module.weight
            exact.set_submodule(path, norm)
    return exact


def one_of_each_kind(model: nn.Module) -> dict[str, str]:
    """One parameter's name by its kind; names that differ in a layer's number are of one kind."""
    return {re.sub(r"\d+", "#", name): name for name, _ in model.named_parameters()}


@torch.no_grad()
def central_difference(loss: Callable[[], torch.Tensor], part: nn.Parameter, index: int) -> float:
    """Slope of the loss in one number of a parameter."""
    flat = part.data.view(-1)
    kept = flat[index].clone()
    flat[index] = kept + STRIDE
    above = loss().item()
    flat[index] = kept - STRIDE
    below = loss().item()
    flat[index] = kept
    return (above - below) / (2 * STRIDE)


@pytest.mark.parametrize("objective", ["flow", "v"])
def test_gradients_are_those_of_the_weighted_loss(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.model(dataclasses.replace(tiny.SHAPE, objective=objective))
    clips = encoded(base)[:2]
    batch = base.collator(encoded(base)).training(clips, 0, 0)
    normalizer = normalizer_of(clips)
    model = base.requires_grad_(True)
    rounded = normalizer.weighted_loss(model(batch), 1.4, 0.04)
    rounded.backward()

    def stay_double(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor

    exact = in_float64(model)
    exact.zero_grad()
    monkeypatch.setattr(torch.Tensor, "float", stay_double)
    exact_batch = MelBatch(*map(stay_double, batch))

    def loss() -> torch.Tensor:
        return normalizer.weighted_loss(exact(exact_batch), 1.4, 0.04)

    loss().backward()
    assert rounded.item() == pytest.approx(loss().item(), rel=1e-5)
    for kind, name in one_of_each_kind(exact).items():
        part = exact.get_parameter(name)
        gradient, rounded_gradient = part.grad, model.get_parameter(name).grad
        assert gradient is not None
        assert rounded_gradient is not None
        assert (rounded_gradient - gradient).norm() <= 2e-4 * gradient.norm() + 1e-7, kind
        for index in (int(gradient.abs().argmax()), part.numel() // 2):
            slope = central_difference(loss, part, index)
            expected = gradient.flatten()[index].item()
            assert slope == pytest.approx(expected, rel=1e-5, abs=1e-8), f"{kind}[{index}]"


def step_gradient(
    base: SpeechModel, parts: Sequence[Sequence[EncodedClip]], voices: Sequence[EncodedClip]
) -> torch.Tensor:
    """Sum of the gradients of a step's parts, each divided by what the whole step is divided by.

    That is how micro-batches and workers add up.
    """
    model = for_trial(base, TrialSettings(method="full"))
    collator = base.collator(voices)
    normalizer = normalizer_of([clip for part in parts for clip in part])
    for part in parts:
        losses = model(collator.training(part, 3, 1))
        normalizer.weighted_loss(losses, 1.0, 0.2).backward()
    return torch.cat([part.grad.flatten() for part in model.parameters() if part.grad is not None])


def test_a_step_s_gradient_is_the_same_for_any_workers_and_micro_batches() -> None:
    base = tiny.model()
    clips = encoded(base)
    by_worker = [clips[0:8:2], clips[1:8:2]]
    by_micro_batch = [half for part in by_worker for half in (part[:2], part[2:])]
    whole = step_gradient(base, [clips[:8]], clips)
    for parts in (by_worker, by_micro_batch):
        split = step_gradient(base, parts, clips)
        assert (split - whole).norm() <= 1e-5 * whole.norm()
        assert (split - whole).abs().max() <= 1e-5 * whole.abs().max()
