"""What every model family is: rows of the shards in, two sums of losses out, and a way to speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from vibesweep.errors import ModelError
from vibesweep.storage import StorageAddress

if TYPE_CHECKING:
    from vibesweep.config import TrialSettings
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.corpus.shards.schema import Clip

Ints = npt.NDArray[np.int64]

STOP_CLASS_WEIGHTS = (1.0, 5.0)
"""Weights of "go on" and "stop" in the cross-entropy: a clip has one stop among dozens of go-ons."""

VALIDATION_STOP_WEIGHT = 0.2
"""Weight of the stop loss in the validation loss. Fixed, so that trials that sweep their training weights can be compared."""


LATENT_RATE_HZ = 7.5
"""VibeVoice's, and that of every family here."""


class Losses(NamedTuple):
    """Sums, not means, so that micro-batches and workers add up to the same gradient however a batch is cut.

    Attributes:
        diffusion: mean squared error of the head, averaged over latent size and noise repeats, summed over patches.
        stop: class-weighted cross-entropy, summed over audio positions.
    """

    diffusion: Tensor
    stop: Tensor


@dataclass(frozen=True)
class LossNormalizer:
    """What the two sums are divided by."""

    patches: float
    stop_mass: float

    @classmethod
    def of(
        cls, patch_counts: Sequence[int], stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS
    ) -> LossNormalizer:
        """LossNormalizer of clips with so many patches each: every patch is a go-on, every clip ends with one stop."""
        patches = sum(patch_counts)
        return cls(patches, patches * stop_weights[0] + len(patch_counts) * stop_weights[1])

    def with_more_patches(self, patches: int, stop_weights: tuple[float, float]) -> LossNormalizer:
        """LossNormalizer of the same clips with so many patches more in all."""
        return LossNormalizer(self.patches + patches, self.stop_mass + patches * stop_weights[0])

    def weighted_loss(self, losses: Losses, diffusion_weight: float, stop_weight: float) -> Tensor:
        """Both losses as means, weighted and added: a scalar."""
        return (
            diffusion_weight * losses.diffusion / self.patches
            + stop_weight * losses.stop / self.stop_mass
        )


class ClipCounts(NamedTuple):
    """What the shards' small columns say of each clip, whatever the family.

    Attributes:
        frames: of its mel [N].
        turns: how many [N].
        people: how many speak [N].
        phonemes: of all turns [N].
        latents: that a checkpoint's encoder made of it; 0 where none did [N].
        tokens: that a checkpoint's tokenizer made of its script; 0 where none did [N].
    """

    frames: Ints
    turns: Ints
    people: Ints
    phonemes: Ints
    latents: Ints
    tokens: Ints


@dataclass(frozen=True)
class EncodedClip:
    """One clip, encoded: all of it that no trial changes.

    Attributes:
        id: the recording's.
        people: who speaks, by slot, in order of first appearance.
        turns: (slot, token ids) of each turn.
        latents: [P, D].
        stretches: (slot, first patch, one past the last patch) of each turn.
        prompts: [P, D] of the slots that the corpus itself names a voice prompt for.
    """

    id: str
    people: tuple[str, ...]
    turns: tuple[tuple[int, tuple[int, ...]], ...]
    latents: Tensor
    stretches: tuple[tuple[int, int, int], ...]
    prompts: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def patches(self) -> int:
        """Latents to be spoken."""
        return len(self.latents)

    @property
    def length(self) -> int:
        """About how many positions it takes: what batches are sorted by."""
        return self.patches + sum(len(ids) + 1 for _, ids in self.turns)

    @property
    def nbytes(self) -> int:
        """What its latents and whatever else is as long take in memory."""
        return self.latents.nbytes


@dataclass(frozen=True)
class Augmentation:
    """How a trial has its clips varied in training; validation never does.

    Attributes:
        time_share: share of a clip's latents, in spans, that are hidden where they are fed back (SpecAugment, Park et al. 2019, on
            latents for mel bins).
        dims_share: share of the latent dimensions that are hidden there, for the whole clip.
        prompt_drop: how often voice prompts are left out; None is the family's own.
        silence_before_s: silence that is spoken before the clip.
        silence_after_s: silence that is spoken after it.
    """

    time_share: float = 0.0
    dims_share: float = 0.0
    prompt_drop: float | None = None
    silence_before_s: float = 0.0
    silence_after_s: float = 0.0

    @property
    def silence_patches(self) -> int:
        """Latents of silence that a clip gets, before and after it together."""
        return latents_in(self.silence_before_s) + latents_in(self.silence_after_s)

    @classmethod
    def of(cls, settings: TrialSettings) -> Augmentation:
        """What a trial's settings say."""
        return cls(
            settings.specaugment_time_share,
            settings.specaugment_dims_share,
            settings.voice_prompt_drop,
            settings.silence_before_s,
            settings.silence_after_s,
        )


PLAIN = Augmentation()


def latents_in(seconds: float) -> int:
    """How many latents so many seconds are, rounded."""
    return round(seconds * LATENT_RATE_HZ)


class Collator(ABC):
    """Turns examples into batches that a model's ``forward`` takes; every random draw of a batch is made here, clip by clip."""

    @abstractmethod
    def training(
        self,
        examples: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        augmentation: Augmentation = PLAIN,
    ) -> Any:
        """Make a batch with fresh prompts, noise, times and variations for each clip, drawn from (seed, epoch, clip)."""

    @abstractmethod
    def validation(self, examples: Sequence[EncodedClip], repeats: int, draw: int = 0) -> Any:
        """Make a batch whose prompts depend on each clip's id alone, and noise and stratified times on it and on ``draw``.

        Args:
            examples: the clips.
            repeats: noised copies of each latent.
            draw: which of many possible noises; trials are compared on one and the same.
        """


class SpeechModel(nn.Module, ABC):
    """A text-to-speech model that vibesweep can fine-tune."""

    family: str
    heads: tuple[str, ...] = ()
    """Submodules that turn states into predictions: what ``lora_head`` is about."""

    connectors: tuple[str, ...] = ()
    """Submodules that latents enter the backbone through: what ``lora_connectors`` is about."""

    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS
    """What each patch's "go on", and a clip's end, weigh in the stop loss: what :attr:`Losses.stop` is divided by."""

    columns: tuple[str, ...]
    """Columns of the shards that :meth:`encode` reads."""

    takes_silence: bool = False
    """Whether silence can be spoken before and after a clip."""

    edge_layers: str = r"^$"
    """Regular expression found in the paths of the layers that something other than hidden states goes into or comes out of."""

    @abstractmethod
    def forward(self, batch: Any) -> Losses:
        """Sums of both losses over a batch of this family's collator."""

    @classmethod
    @abstractmethod
    def check_shards(
        cls, description: Mapping[str, Any], manifest: Manifest, where: str
    ) -> str | None:
        """Raise a ShardsError where shards do not fit a model of this description; what fits, but not wholly, is told in a line.

        No weights are needed, so that a sweep can look before its lanes come up.
        """

    @classmethod
    @abstractmethod
    def lengths(cls, clips: ClipCounts) -> tuple[Ints, Ints]:
        """Latents to be spoken of each clip [N], and about its positions, as :attr:`EncodedClip.length` counts them [N]."""

    @abstractmethod
    def encode(self, row: Clip) -> EncodedClip:
        """Encode one row of the shards."""

    def take_from(self, shards: StorageAddress) -> None:
        """Take what the model lacks and its shards hold. Most families lack nothing."""

    def encoder(self) -> Callable[[Clip], EncodedClip]:
        """What :meth:`encode` does, to be sent to other processes: on the CPU, and with as little of the model as it needs."""
        return self.encode

    @abstractmethod
    def collator(self, voices: Sequence[EncodedClip]) -> Collator:
        """Make a collator that takes its voice prompts from these examples."""

    @abstractmethod
    def lora_pattern(self, targets: str) -> str:
        """Regular expression of the linear layers that LoRA adapts for ``attention`` or ``attention+mlp``."""

    @abstractmethod
    def freeze_lowest(self, layers: int) -> None:
        """Stop the embeddings and the lowest so many backbone layers from training."""

    def layers(self) -> Sequence[nn.Module]:
        """The repeated layers, bottom to top, that ``compile`` compiles one by one.

        Raises:
            ModelError: the family has not said which.
        """
        raise self._cannot("compile")

    def recompute_layers(self) -> None:
        """Have the backbone's layers computed again in the backward pass (Chen et al. 2016) instead of kept.

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
        return ModelError(
            f"the family {self.family!r} does not take it",
            where=setting,
            fix="leave it at its default",
        )

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything but the weights that :meth:`from_description` needs, as JSON."""

    @classmethod
    @abstractmethod
    def from_description(cls, description: dict[str, Any], where: Path) -> SpeechModel:
        """Make the model with empty weights from what :meth:`describe` said."""

    @abstractmethod
    def voice_prompts(self, examples: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """One voice prompt a person, for the bundle: latents [P, D] by name, who speaks most first."""
