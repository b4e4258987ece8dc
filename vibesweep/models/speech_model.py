"""What every family's network is: batches of encoded clips in, two sums of losses out.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vibesweep.errors import ModelError
from vibesweep.models.clips import PLAIN, Augmentation, EncodedClip
from vibesweep.models.losses import STOP_CLASS_WEIGHTS, Losses
from vibesweep.models.packing import RowLimits, RowSize, fill_rows

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import Clip
    from vibesweep.storage import StorageAddress

Encode = Callable[["Clip"], EncodedClip]


class Collator(ABC):
    """Turns encoded clips into batches; every random draw of a batch is made here, clip by clip.

    A batch has a method ``to(device)``, and says how many ``tokens`` it has.
    """

    @abstractmethod
    def training(
        self,
        clips: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        augmentation: Augmentation = PLAIN,
    ) -> Any:
        """Make a batch whose prompts, noise, times and variations depend on (seed, epoch, clip)."""

    def rows(
        self,
        clips: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        limits: RowLimits,
        augmentation: Augmentation = PLAIN,
    ) -> Iterator[Any]:
        """Cut clips into batches that keep to the limits, and make each as :meth:`training` does.

        Unless a family says otherwise, a clip takes of a row what its length says.
        """
        for places in fill_rows(self.sizes(clips, augmentation), limits):
            part = [clips[place] for place in places]
            yield self.training(part, seed, epoch, augmentation)

    def sizes(
        self, clips: Sequence[EncodedClip], augmentation: Augmentation = PLAIN
    ) -> list[RowSize]:
        """Measure what clips take of a row: as they may be drawn, where they vary."""
        return [RowSize(clip.length, clip.patches) for clip in clips]

    @abstractmethod
    def validation(self, clips: Sequence[EncodedClip], repeats: int, draw: int = 0) -> Any:
        """Make a batch whose prompts depend on each clip's id alone.

        Args:
            clips: to be validated on.
            repeats: noised copies of each latent, at stratified times.
            draw: which of many possible noises; trials are compared on one and the same.
        """

    def added_patches(self, augmentation: Augmentation) -> int:
        """Count the latents to be spoken that :meth:`training` adds to each clip; mostly none."""
        return 0


class SpeechModel(nn.Module, ABC):
    """A text-to-speech network that vibesweep can fine-tune."""

    family: str
    """Name of its family."""

    heads: tuple[str, ...] = ()
    """Submodules that turn states into predictions: what ``lora_head`` is about."""

    connectors: tuple[str, ...] = ()
    """Submodules that latents enter the backbone through: what ``lora_connectors`` is about."""

    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS
    """Weights of each patch's "go on", and of a clip's end, in :attr:`Losses.stop`."""

    stored_dtype: torch.dtype = torch.float32
    """Type that the weights were read in: a frozen weight needs no more digits than it has."""

    prompt_tokens: int = 0
    """Tokens of a voice prompt that are counted in a clip's length, for each person in it."""

    takes_one_shape: bool = False
    """Whether its batches can be filled up to a shape (``batch.filled_up``), so that a GPU computes
    every batch by one graph. Its :meth:`layers` are then compiled."""

    edge_layers: str = r"^$"
    """Regular expression for the layers whose input or output is no hidden state.

    It is searched for in their paths.
    """

    seats: int | None = None
    """Trials whose rows lie side by side, filled up to one shape, in each batch; None for a batch
    of one trial."""

    @property
    def silence_patches(self) -> int:
        """Most latents of silence that can be spoken before a clip, and as many after it.

        0 where a family cannot speak silence.
        """
        return 0

    @abstractmethod
    def forward(self, batch: Any) -> Losses:
        """Sum both losses over a batch of this family's collator; with seats, over each's row."""

    def total(self, values: Tensor) -> Tensor:
        """Sum the values of a batch to a scalar; with seats, those of each [K]."""
        if self.seats is None:
            return values.sum()
        of_each = values.view(self.seats, -1)
        return of_each.sum(1)

    @abstractmethod
    def encode(self, clip: Clip) -> EncodedClip:
        """Encode one clip of the shards."""

    def encoder(self) -> Encode:
        """Return :meth:`encode` for other processes: on the CPU, with as little as it needs."""
        return self.encode

    def take_from(self, shards: StorageAddress) -> None:
        """Take what the model lacks and its shards hold; most families lack nothing."""

    @abstractmethod
    def collator(self, voices: Sequence[EncodedClip]) -> Collator:
        """Make a collator that takes its voice prompts from these clips."""

    @abstractmethod
    def voice_prompts(self, clips: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """Choose a voice prompt [P, D] for each person, by name, who speaks most first."""

    def lora_pattern(self, targets: str) -> str:
        """Match the linear layers for ``attention`` or ``attention+mlp``.

        Returns:
            A regular expression of their whole names; all of them, unless a family says otherwise.
        """
        return r".+"

    def freeze_lowest(self, layers: int) -> None:
        """Stop the embeddings and the lowest so many backbone layers from training.

        Raises:
            ModelError: the family cannot, or has fewer layers.
        """
        raise self._cannot("freeze_layers")

    def layers(self) -> Sequence[nn.Module]:
        """List the repeated layers, bottom to top, that ``compile`` compiles one by one.

        Raises:
            ModelError: the family has not said which.
        """
        raise self._cannot("compile")

    def recompute_layers(self) -> None:
        """Compute the backbone's layers again in the backward pass (Chen et al. 2016).

        Raises:
            ModelError: the family cannot.
        """
        raise self._cannot("gradient_checkpointing")

    def drop_attention(self, share: float) -> None:
        """Drop this share of the backbone's attention weights in training.

        Raises:
            ModelError: the family cannot.
        """
        raise self._cannot("attention_dropout")

    def _cannot(self, setting: str) -> ModelError:
        found = f"the family {self.family!r} does not take it"
        return ModelError(found, where=setting, fix="leave it at its default")
