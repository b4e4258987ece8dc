"""Six faults of transformers' own training loss, planted one by one: each is caught by a check that the model passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests import vibe
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.clips import EncodedClip
from vibesweep.models.diffusion import VPrediction, diffusion_loss
from vibesweep.models.losses import Losses
from vibesweep.models.vibevoice.batch import VibeVoiceBatch
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.model import VibeVoiceModel

DRAWS = 40


class Leaks(VibeVoiceModel):
    """The condition is the state at the target's own place."""

    def forward(self, batch: VibeVoiceBatch) -> Losses:
        before = self.states(batch)[batch.spoken_indices]
        repeats = len(batch.noise) // len(batch.targets)
        latents, conditions = (
            part.repeat_interleave(repeats, 0) for part in (batch.targets, before)
        )
        loss = diffusion_loss(
            self.diffusion_head, self.objective, latents, conditions, batch.noise, batch.levels
        )
        return Losses(loss / repeats, super().forward(batch).stop)


class TenSteps(VPrediction):
    """Only the first ten of a thousand steps."""

    def times(self, levels: Tensor) -> Tensor:
        return (levels * 10).floor()


class Reversed(VPrediction):
    """Time runs backwards: step 0 is noise."""

    def corrupt(self, latents: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        return super().corrupt(latents, noise, 999 - times)


class Deaf(VibeVoiceModel):
    """The semantic embedding is left out in training."""

    def embed(
        self, ids: Tensor, latents: Tensor, places: Tensor, semantic: Tensor, speech: Tensor
    ) -> Tensor:
        return super().embed(ids, latents, places, semantic[:0], speech[:0])


class NeverGoesOn(VibeVoiceModel):
    """Latent positions are left out of the labels."""

    def _stop_loss(self, before: Tensor, last: Tensor, ended: Tensor) -> Tensor:
        return super()._stop_loss(before[:0], last, ended)


class TrainsTheScale(VibeVoiceModel):
    """Latents' scale and bias are parameters."""

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> TrainsTheScale:
        made = super().from_checkpoint(checkpoint)
        for name in ("latent_scaling_factor", "latent_bias_factor"):
            value = cast(Tensor, getattr(made, name))
            delattr(made, name)
            made.register_parameter(name, nn.Parameter(value))
        return cast(TrainsTheScale, made)


class WithObjective:
    """Makes a model class with another objective."""

    def __init__(self, objective: type[VPrediction]) -> None:
        self._objective = objective

    def from_checkpoint(self, checkpoint: Checkpoint) -> VibeVoiceModel:
        made = VibeVoiceModel.from_checkpoint(checkpoint)
        made.objective = self._objective()
        return made


def clips(made: VibeVoiceModel) -> list[EncodedClip]:
    return [made.encode(row) for row in vibe.clips(8)]


def one_clip(made: VibeVoiceModel) -> VibeVoiceBatch:
    return made.collator(clips(made)).validation(clips(made)[:1], 4)


def conditions_of(made: VibeVoiceModel, batch: VibeVoiceBatch) -> Tensor:
    """What the head is given in a forward pass."""
    given: list[Tensor] = []
    handle = made.diffusion_head.register_forward_pre_hook(
        lambda _, inputs: given.append(inputs[2].detach())
    )
    made(batch)
    handle.remove()
    return torch.cat(given)


def check_no_leak(made: VibeVoiceModel) -> None:
    batch = one_clip(made)
    changed = batch.inputs.clone()
    changed[batch.speech_rows[-1]] += 1.0
    assert torch.equal(
        conditions_of(made, batch), conditions_of(made, batch._replace(inputs=changed))
    ), "the last latent conditions nothing"


def check_every_step_is_drawn(made: VibeVoiceModel) -> None:
    collator, seen = made.collator(clips(made)), set[int]()
    for epoch in range(DRAWS):
        seen |= set(
            made.objective.times(collator.training(clips(made), 0, epoch).levels).int().tolist()
        )
    assert len(seen) > 0.9 * 1_000


def check_time_runs_from_clean_to_noise(made: VibeVoiceModel) -> None:
    latents, noise = torch.ones(2, 4), -torch.ones(2, 4)
    noisy, _ = made.objective.corrupt(latents, noise, torch.tensor([0.0, 999.0]))
    assert torch.allclose(noisy[0], latents[0], atol=0.1)
    assert torch.allclose(noisy[1], noise[1], atol=0.1)


def check_semantics_are_heard(made: VibeVoiceModel) -> None:
    batch = one_clip(made)
    assert not torch.equal(
        conditions_of(made, batch), conditions_of(made, batch._replace(semantic=batch.semantic + 1))
    )


def check_going_on_is_taught(made: VibeVoiceModel) -> None:
    made.language_model.embed_tokens.weight.zero_()  # nothing is known: each of the four tokens is as likely
    batch = one_clip(made)
    assert made(batch).stop.item() == pytest.approx(
        (len(batch.targets) + 2) * math.log(4), rel=1e-4
    )


def check_the_scale_is_fixed(made: VibeVoiceModel) -> None:
    trained = for_trial(made, TrialSettings(method="full"))
    assert not [
        name
        for name, part in trained.named_parameters()
        if part.requires_grad and "latent_" in name
    ]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint.open(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint"))))


Planted = type[VibeVoiceModel] | WithObjective


@pytest.mark.parametrize(
    ("check", "planted"),
    [
        (check_no_leak, Leaks),
        (check_every_step_is_drawn, WithObjective(TenSteps)),
        (check_time_runs_from_clean_to_noise, WithObjective(Reversed)),
        (check_semantics_are_heard, Deaf),
        (check_going_on_is_taught, NeverGoesOn),
        (check_the_scale_is_fixed, TrainsTheScale),
    ],
)
def test_a_planted_fault_is_caught(
    check: Callable[[VibeVoiceModel], None], planted: Planted, checkpoint: Checkpoint
) -> None:
    check(VibeVoiceModel.from_checkpoint(checkpoint))
    with pytest.raises(AssertionError):
        check(planted.from_checkpoint(checkpoint))


def test_transformers_own_loss_has_the_faults() -> None:
    """So that this file is looked at again when transformers mends them."""
    import inspect

    from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

    forward = inspect.signature(VibeVoiceForConditionalGeneration.forward)
    assert forward.parameters["num_diffusion_steps"].default == 10
    assert "labels[labels == self.audio_token_id] = -100" in inspect.getsource(
        VibeVoiceProcessor.__call__
    )
