"""What the families' collators share: a clip's draws do not depend on the batch that it is in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from vibesweep.models.clips import PLAIN, Augmentation, EncodedClip
from vibesweep.models.draws import clip_rng
from vibesweep.models.packing import RowLimits, RowSize, fill_rows
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
        return self._join(self._draw(clips, seed, epoch, augmentation))

    def rows(
        self,
        clips: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        limits: RowLimits,
        augmentation: Augmentation = PLAIN,
    ) -> Iterator[Batch]:
        """Draw the clips, and fill rows by what was drawn."""
        drawn = self._draw(clips, seed, epoch, augmentation)
        for places in fill_rows([self._size(clip) for clip in drawn], limits):
            yield self._join([drawn[place] for place in places])

    def validation(self, clips: Sequence[EncodedClip], repeats: int, draw: int = 0) -> Batch:
        """Draw prompts from the clip's id alone, and noise from it and ``draw``."""
        drawn = [self._validation_clip(clip, repeats, draw) for clip in clips]
        return self._join(drawn)

    def sizes(
        self, clips: Sequence[EncodedClip], augmentation: Augmentation = PLAIN
    ) -> list[RowSize]:
        """Draw the clips once, and measure them."""
        drawn = self._draw(clips, 0, 0, augmentation)
        return [self._size(clip) for clip in drawn]

    def _draw(
        self, clips: Sequence[EncodedClip], seed: int, epoch: int, augmentation: Augmentation
    ) -> list[Drawn]:
        """Draw clips for training."""
        drawn = []
        for clip in clips:
            rng = clip_rng(clip.id, seed, epoch)
            drawn_clip = self._training_clip(clip, rng, augmentation)
            drawn.append(drawn_clip)
        return drawn

    @abstractmethod
    def _size(self, clip: Drawn) -> RowSize:
        """Return what a drawn clip takes of a row."""

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
        """Make a row of drawn clips."""
