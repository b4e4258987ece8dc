"""What every model family must do. A family's test inherits this case and gives it a small base and rows of shards."""

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
        """A small base in eval mode, nothing set to train."""

    @abstractmethod
    def rows(self) -> list[Clip]:
        """A dozen clips with several people, each in more than one clip."""

    @abstractmethod
    def conditions(self, model: SpeechModel, batch: object) -> torch.Tensor:
        """The states that condition each spoken patch of a one-clip batch [S, H]."""

    @abstractmethod
    def with_target_changed(self, batch: object, patch: int) -> object:
        """The one-clip batch with the spoken latents from ``patch`` on replaced by others, as inputs and as targets."""

    def examples(self, model: SpeechModel) -> list[EncodedClip]:
        """The rows, encoded."""
        return [model.encode(row) for row in self.rows()]

    def losses(
        self, model: torch.nn.Module, base: SpeechModel, examples: Sequence[EncodedClip]
    ) -> Losses:
        """Losses on the fixed noise of validation."""
        losses: Losses = model(base.collator(self.examples(base)).validation(examples, 4))
        return losses

    def test_the_condition_of_a_patch_has_not_seen_it_nor_what_follows(self) -> None:
        base = self.base()
        examples = self.examples(base)
        batch = base.collator(examples).validation(examples[:1], 4)
        patch = examples[0].patches // 2
        before, after = (
            self.conditions(base, batch),
            self.conditions(base, self.with_target_changed(batch, patch)),
        )
        assert torch.equal(before[: patch + 1], after[: patch + 1])
        assert not torch.equal(before[patch + 1], after[patch + 1]), (
            "the patch after must know of it"
        )

    def test_both_stop_classes_are_taught(self) -> None:
        base = self.base()
        examples = self.examples(base)[:2]
        curve = self.train_on_fixed_noise(base, examples, diffusion_weight=0.0, stop_weight=1.0)
        # A model that knows no more than how often each class comes stays at the entropy of its share of the weights.
        stop_share = base.stop_weights[1] * len(examples) / self.sizes(base, examples).stop_mass
        ignorant = -stop_share * math.log(stop_share) - (1 - stop_share) * math.log(1 - stop_share)
        assert curve[-1] < 0.5 * ignorant < curve[0]

    def test_the_loss_on_fixed_noise_falls(self) -> None:
        base = self.base()
        curve = self.train_on_fixed_noise(
            base, self.examples(base)[:4], diffusion_weight=1.0, stop_weight=0.2
        )
        assert curve[-1] < 0.8 * curve[0]

    def sizes(self, base: SpeechModel, examples: Sequence[EncodedClip]) -> LossNormalizer:
        """What the losses of these clips are divided by."""
        return LossNormalizer.of([example.patches for example in examples], base.stop_weights)

    def train_on_fixed_noise(
        self,
        base: SpeechModel,
        examples: Sequence[EncodedClip],
        diffusion_weight: float,
        stop_weight: float,
    ) -> list[float]:
        """Train on one batch with the noise of validation; return the losses."""
        model = for_trial(base, TrialSettings(method="full"))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        batch, sizes = (
            base.collator(self.examples(base)).validation(examples, 4),
            self.sizes(base, examples),
        )
        curve = []
        for _ in range(50):
            loss = sizes.weighted_loss(model(batch), diffusion_weight, stop_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        return curve

    def test_validation_noise_is_the_same_however_clips_are_batched(self) -> None:
        base = self.base()
        examples = self.examples(base)[:4]
        whole = self.losses(base, base, examples)
        parts = [self.losses(base, base, [example]) for example in examples]
        for index in range(2):
            assert whole[index].item() == pytest.approx(
                sum(part[index].item() for part in parts), rel=1e-5
            )

    def test_lora_switched_off_equals_the_base(self) -> None:
        base = self.base()
        examples = self.examples(base)[:3]
        model = self.lora_with_weights(base)
        plain, adapted = self.losses(base, base, examples), self.losses(model, base, examples)
        assert not torch.equal(adapted.diffusion, plain.diffusion)
        with model.disable_adapter():  # type: ignore[operator]
            off = self.losses(model, base, examples)
        assert torch.equal(off.diffusion, plain.diffusion)
        assert torch.equal(off.stop, plain.stop)

    def test_merged_lora_speaks_as_the_adapter_does_and_leaves_the_base_alone(self) -> None:
        base = self.base()
        examples = self.examples(base)[:3]
        plain = self.losses(base, base, examples)
        model = self.lora_with_weights(base)
        adapted = self.losses(model, base, examples)
        assert self.losses(merged(model), base, examples).diffusion.item() == pytest.approx(
            adapted.diffusion.item(), rel=1e-5
        )
        assert torch.equal(self.losses(base, base, examples).diffusion, plain.diffusion)

    def test_a_saved_bundle_comes_back_the_same(self, tmp_path: Path) -> None:
        base = self.base()
        examples = self.examples(base)
        again = self.saved_and_loaded(base, tmp_path / "bundle")
        assert torch.equal(
            self.losses(again, again, examples[:2]).diffusion,
            self.losses(base, base, examples[:2]).diffusion,
        )

    def saved_and_loaded(self, base: SpeechModel, folder: Path) -> SpeechModel:
        """The base, once written to a folder and read again."""
        assert isinstance(base, BundleModel)
        voices = base.voice_prompts(self.examples(base))
        save_bundle(base, voices, folder)
        again = load_bundle(folder, type(base))
        assert list(again.voices) == list(voices)
        return again.model

    def lora_with_weights(self, base: SpeechModel) -> torch.nn.Module:
        """A LoRA model whose adapters do something: fresh ones are zero."""
        model = for_trial(base, TrialSettings(method="lora", lora_rank=4)).eval()
        torch.manual_seed(1)
        for name, part in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(part, std=0.3)
        return model
