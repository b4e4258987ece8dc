"""What the families' collators share: a clip's draws do not depend on the batch that it is in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from vibesweep.models.clips import PLAIN, Augmentation, EncodedClip
from vibesweep.models.draws import clip_rng
from vibesweep.models.speech_model import Collator

Drawn = TypeVar("Drawn")
"""One clip's parts of a batch."""

Batch = TypeVar("Batch")
"""What the family's model is trained with."""


class ClipwiseCollator(Collator, Generic[Drawn, Batch]):
    """Draws clip by clip, each clip from a generator of its own, and joins the clips."""

    def training(
        self,
        clips: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        augmentation: Augmentation = PLAIN,
    ) -> Batch:
        """Draw everything that varies in training from (seed, epoch, clip)."""
        drawn = []
        for clip in clips:
            rng = clip_rng(clip.id, seed, epoch)
            drawn_clip = self._training_clip(clip, rng, augmentation)
            drawn.append(drawn_clip)
        return self._join(drawn)

    def validation(self, clips: Sequence[EncodedClip], repeats: int, draw: int = 0) -> Batch:
        """Draw prompts from the clip's id alone, and noise from it and ``draw``."""
        drawn = [self._validation_clip(clip, repeats, draw) for clip in clips]
        return self._join(drawn)

    @abstractmethod
    def _training_clip(
        self, clip: EncodedClip, rng: np.random.Generator, augmentation: Augmentation
    ) -> Drawn:
        """Draw one clip for training. The order of the draws is part of a trial's result."""

    @abstractmethod
    def _validation_clip(self, clip: EncodedClip, repeats: int, draw: int) -> Drawn:
        """Draw one clip for validation."""

    @abstractmethod
    def _join(self, clips: list[Drawn]) -> Batch:
        """Make a batch of drawn clips."""
