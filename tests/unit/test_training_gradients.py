"""The gradient that a step takes: that of the loss, by finite differences, and the same however its clips are dealt out."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.family import EncodedClip, LossNormalizer, SpeechModel
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.model import MelModel, MelShape

STRIDE = 1e-5  # of central differences in float64: their error is of the order of its square and of 1e-16 / 1e-5


def encoded(base: SpeechModel) -> list[EncodedClip]:
    return [base.encode(row) for row in tiny.rows(12)]


def in_float64(model: MelModel) -> MelModel:
    """The same network in float64: transformers' norms go through float32 whatever they are given, torch's do not."""
    exact = copy.deepcopy(model).double()
    for path, module in list(exact.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            eps = float(getattr(module, "variance_epsilon", 1e-6))
            norm = nn.RMSNorm(module.weight.shape, eps, dtype=torch.float64)
            norm.weight = module.weight
            exact.set_submodule(path, norm)
    return exact


def kinds(model: nn.Module) -> dict[str, str]:
    """One parameter of every kind: names that differ in a layer's number are one."""
    return {re.sub(r"\d+", "#", name): name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("objective", ["flow", "v"])
def test_gradients_are_those_of_the_weighed_loss(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.model(MelShape(**{**vars(tiny.SHAPE), "objective": objective}))
    clips = encoded(base)[:2]
    batch, sizes = (
        base.collator(encoded(base)).training(clips, 0, 0),
        LossNormalizer.of([clip.patches for clip in clips]),
    )
    model = base.requires_grad_(True)
    rounded = sizes.weighted_loss(model(batch), 1.4, 0.04)
    rounded.backward()
    exact = in_float64(model)
    exact.zero_grad()
    monkeypatch.setattr(
        torch.Tensor, "float", lambda self: self.double() if self.is_floating_point() else self
    )
    wide = MelBatch(*(part.double() if part.is_floating_point() else part for part in batch))

    def loss() -> torch.Tensor:
        return sizes.weighted_loss(exact(wide), 1.4, 0.04)

    loss().backward()
    assert rounded.item() == pytest.approx(loss().item(), rel=1e-5)
    for kind, name in kinds(exact).items():
        part, single = exact.get_parameter(name), model.get_parameter(name)
        assert part.grad is not None
        assert single.grad is not None
        assert (single.grad - part.grad).norm() <= 2e-4 * part.grad.norm() + 1e-7, kind
        for place in (int(part.grad.abs().argmax()), part.numel() // 2):
            found = difference(loss, part, place)
            assert found == pytest.approx(part.grad.flatten()[place].item(), rel=1e-5, abs=1e-8), (
                f"{kind}[{place}]"
            )


@torch.no_grad()
def difference(loss: object, part: nn.Parameter, place: int) -> float:
    """Central difference of the loss in one number."""
    assert callable(loss)
    flat, values = part.data.view(-1), []
    for sign in (1.0, -1.0):
        kept = flat[place].clone()
        flat[place] += sign * STRIDE
        values.append(loss().item())
        flat[place] = kept
    return float(values[0] - values[1]) / (2 * STRIDE)


def gradient(
    base: SpeechModel, parts: Sequence[Sequence[EncodedClip]], voices: Sequence[EncodedClip]
) -> torch.Tensor:
    """What parts of one step add up to, each with the whole step's sizes, as micro-batches and workers do."""
    model, collator = for_trial(base, TrialSettings(method="full")), base.collator(voices)
    sizes = LossNormalizer.of([clip.patches for part in parts for clip in part])
    for part in parts:
        sizes.weighted_loss(model(collator.training(part, 3, 1)), 1.0, 0.2).backward()
    return torch.cat([part.grad.flatten() for part in model.parameters() if part.grad is not None])


def test_a_step_s_gradient_is_the_same_for_any_workers_and_micro_batches() -> None:
    base = tiny.model()
    clips = encoded(base)
    whole = gradient(base, [clips[:8]], clips)
    two_workers = gradient(base, [clips[rank:8:2] for rank in range(2)], clips)
    two_by_two = gradient(
        base,
        [clips[rank:8:2][half * 2 : half * 2 + 2] for rank in range(2) for half in range(2)],
        clips,
    )
    for other in (two_workers, two_by_two):
        assert (other - whole).norm() <= 1e-5 * whole.norm()
        assert (other - whole).abs().max() <= 1e-5 * whole.abs().max()
