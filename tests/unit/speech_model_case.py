"""What every model family must do.

A family's test inherits this case and gives it a small base and clips of shards.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.adapters import for_trial, merged
from vibesweep.models.bundle import BundleModel, load_bundle, save_bundle
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import Losses, LossNormalizer
from vibesweep.models.speech_model import SpeechModel


class SpeechModelTestCase(ABC):
    """Inherit, name it ``Test…`` and fill in the abstract methods."""

    @abstractmethod
    def base(self) -> SpeechModel:
        """Make a small base in eval mode, nothing set to train."""

    @abstractmethod
    def clips(self) -> list[Clip]:
        """Make a dozen clips with several people, each in more than one clip."""

    @abstractmethod
    def conditions(self, model: SpeechModel, batch: object) -> torch.Tensor:
        """Return the states that condition each spoken patch of a one-clip batch [S, H]."""

    @abstractmethod
    def with_target_changed(self, batch: object, patch: int) -> object:
        """Change a one-clip batch's spoken latents from ``patch`` on, as inputs and as targets."""

    def encoded(self, model: SpeechModel) -> list[EncodedClip]:
        """Encode the clips."""
        return [model.encode(clip) for clip in self.clips()]

    def losses(
        self, model: torch.nn.Module, base: SpeechModel, encoded: Sequence[EncodedClip]
    ) -> Losses:
        """Compute the losses on the fixed noise of validation."""
        collator = base.collator(self.encoded(base))
        losses: Losses = model(collator.validation(encoded, 4))
        return losses

    def normalizer(self, base: SpeechModel, encoded: Sequence[EncodedClip]) -> LossNormalizer:
        """Make what the losses of these clips are divided by."""
        return LossNormalizer.of([clip.patches for clip in encoded], base.stop_weights)

    def test_the_condition_of_a_patch_has_not_seen_it_nor_what_follows(self) -> None:
        base = self.base()
        encoded = self.encoded(base)
        batch = base.collator(encoded).validation(encoded[:1], 4)
        patch = encoded[0].patches // 2
        before = self.conditions(base, batch)
        after = self.conditions(base, self.with_target_changed(batch, patch))
        assert torch.equal(before[: patch + 1], after[: patch + 1])
        assert not torch.equal(before[patch + 1], after[patch + 1]), "the next patch must know it"

    def test_both_stop_classes_are_taught(self) -> None:
        base = self.base()
        encoded = self.encoded(base)[:2]
        curve = self.train_on_fixed_noise(base, encoded, diffusion_weight=0.0, stop_weight=1.0)
        # A model that only knows how often each class comes stays at the entropy of its share of
        # the weights
        stop_mass = base.stop_weights[1] * len(encoded)
        stop_share = stop_mass / self.normalizer(base, encoded).stop_mass
        ignorant = -stop_share * math.log(stop_share) - (1 - stop_share) * math.log(1 - stop_share)
        assert curve[-1] < 0.5 * ignorant < curve[0]

    def test_the_loss_on_fixed_noise_falls(self) -> None:
        base = self.base()
        encoded = self.encoded(base)[:4]
        curve = self.train_on_fixed_noise(base, encoded, diffusion_weight=1.0, stop_weight=0.2)
        assert curve[-1] < 0.8 * curve[0]

    def train_on_fixed_noise(
        self,
        base: SpeechModel,
        encoded: Sequence[EncodedClip],
        diffusion_weight: float,
        stop_weight: float,
    ) -> list[float]:
        """Train on one batch with the noise of validation; return the losses."""
        model = for_trial(base, TrialSettings(method="full"))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        batch = base.collator(self.encoded(base)).validation(encoded, 4)
        normalizer = self.normalizer(base, encoded)
        curve = []
        for _ in range(50):
            loss = normalizer.weighted_loss(model(batch), diffusion_weight, stop_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        return curve

    def test_validation_noise_is_the_same_however_clips_are_batched(self) -> None:
        base = self.base()
        encoded = self.encoded(base)[:4]
        whole = self.losses(base, base, encoded)
        parts = [self.losses(base, base, [clip]) for clip in encoded]
        for index in range(2):
            summed = sum(part[index].item() for part in parts)
            assert whole[index].item() == pytest.approx(summed, rel=1e-5)

    def test_lora_switched_off_equals_the_base(self) -> None:
        base = self.base()
        encoded = self.encoded(base)[:3]
        model = self.lora_with_weights(base)
        plain = self.losses(base, base, encoded)
        adapted = self.losses(model, base, encoded)
        assert not torch.equal(adapted.diffusion, plain.diffusion)
        with model.disable_adapter():  # type: ignore[operator]
            off = self.losses(model, base, encoded)
        assert torch.equal(off.diffusion, plain.diffusion)
        assert torch.equal(off.stop, plain.stop)

    def test_merged_lora_speaks_as_the_adapter_does_and_leaves_the_base_alone(self) -> None:
        base = self.base()
        encoded = self.encoded(base)[:3]
        plain = self.losses(base, base, encoded)
        model = self.lora_with_weights(base)
        adapted = self.losses(model, base, encoded).diffusion.item()
        found = self.losses(merged(model), base, encoded).diffusion.item()
        assert found == pytest.approx(adapted, rel=1e-5)
        assert torch.equal(self.losses(base, base, encoded).diffusion, plain.diffusion)

    def test_a_saved_bundle_comes_back_the_same(self, tmp_path: Path) -> None:
        base = self.base()
        encoded = self.encoded(base)[:2]
        again = self.saved_and_loaded(base, tmp_path / "bundle")
        found = self.losses(again, again, encoded).diffusion
        assert torch.equal(found, self.losses(base, base, encoded).diffusion)

    def saved_and_loaded(self, base: SpeechModel, folder: Path) -> SpeechModel:
        """Write the base to a folder and read it again."""
        assert isinstance(base, BundleModel)
        voices = base.voice_prompts(self.encoded(base))
        save_bundle(base, voices, folder)
        again = load_bundle(folder, type(base))
        assert list(again.voices) == list(voices)
        return again.model

    def lora_with_weights(self, base: SpeechModel) -> torch.nn.Module:
        """Make a LoRA model whose adapters change something: fresh ones are zero."""
        model = for_trial(base, TrialSettings(method="lora", lora_rank=4)).eval()
        torch.manual_seed(1)
        for name, part in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(part, std=0.3)
        return model
