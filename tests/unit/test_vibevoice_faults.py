"""Six faults of transformers' own training loss, planted one by one.

Each is caught by a check that the model passes.
"""

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
    """The condition is the state at the target's own position."""

    def forward(self, batch: VibeVoiceBatch) -> Losses:
        at = self.states(batch)[batch.spoken_indices]
        repeats = len(batch.noise) // len(batch.targets)
        latents = batch.targets.repeat_interleave(repeats, 0)
        conditions = at.repeat_interleave(repeats, 0)
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
        self, ids: Tensor, latents: Tensor, indices: Tensor, semantic: Tensor, speech_rows: Tensor
    ) -> Tensor:
        return super().embed(ids, latents, indices, semantic[:0], speech_rows[:0])


class NeverGoesOn(VibeVoiceModel):
    """Latent positions are left out of the labels."""

    def _stop_loss(
        self, batch: VibeVoiceBatch, before: Tensor, last: Tensor, ended: Tensor
    ) -> Tensor:
        taught = batch._replace(patch_weights=batch.patch_weights[:0])
        return super()._stop_loss(taught, before[:0], last, ended)


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


def encoded_clips(made: VibeVoiceModel) -> list[EncodedClip]:
    return [made.encode(clip) for clip in vibe.clips(8)]


def one_clip(made: VibeVoiceModel) -> VibeVoiceBatch:
    encoded = encoded_clips(made)
    return made.collator(encoded).validation(encoded[:1], 4)


def conditions_of(made: VibeVoiceModel, batch: VibeVoiceBatch) -> Tensor:
    """Return the conditions that the head is given in a forward pass."""
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
    before = conditions_of(made, batch)
    after = conditions_of(made, batch._replace(inputs=changed))
    assert torch.equal(before, after), "the last latent conditions nothing"


def check_every_step_is_drawn(made: VibeVoiceModel) -> None:
    encoded = encoded_clips(made)
    collator = made.collator(encoded)
    seen: set[int] = set()
    for epoch in range(DRAWS):
        batch = collator.training(encoded, 0, epoch)
        times = made.objective.times(batch.levels)
        seen |= set(times.int().tolist())
    assert len(seen) > 0.9 * 1_000


def check_time_runs_from_clean_to_noise(made: VibeVoiceModel) -> None:
    latents = torch.ones(2, 4)
    noise = -torch.ones(2, 4)
    noisy, _ = made.objective.corrupt(latents, noise, torch.tensor([0.0, 999.0]))
    assert torch.allclose(noisy[0], latents[0], atol=0.1)
    assert torch.allclose(noisy[1], noise[1], atol=0.1)


def check_semantics_are_heard(made: VibeVoiceModel) -> None:
    batch = one_clip(made)
    other = batch._replace(semantic=batch.semantic + 1)
    assert not torch.equal(conditions_of(made, batch), conditions_of(made, other))


def check_going_on_is_taught(made: VibeVoiceModel) -> None:
    # Nothing is known, so each of the four tokens is as likely
    made.language_model.embed_tokens.weight.zero_()
    batch = one_clip(made)
    ignorant = (len(batch.targets) + 2) * math.log(4)
    assert made(batch).stop.item() == pytest.approx(ignorant, rel=1e-4)


def check_the_scale_is_fixed(made: VibeVoiceModel) -> None:
    trained = for_trial(made, TrialSettings(method="full"))
    names = [name for name, part in trained.named_parameters() if part.requires_grad]
    assert not [name for name in names if "latent_" in name]


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
    """Notice when transformers mends them, so that this file is looked at again."""
    import inspect

    from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

    forward = inspect.signature(VibeVoiceForConditionalGeneration.forward)
    assert forward.parameters["num_diffusion_steps"].default == 10
    source = inspect.getsource(VibeVoiceProcessor.__call__)
    assert "labels[labels == self.audio_token_id] = -100" in source
