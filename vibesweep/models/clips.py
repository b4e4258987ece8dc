"""Clips as the models see them, and how a trial varies them in training.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from vibesweep.corpus.sound.rates import LATENT_RATE_HZ

if TYPE_CHECKING:
    from vibesweep.config import TrialSettings


@dataclass(frozen=True)
class EncodedClip:
    """One clip, encoded: all of it that no trial changes.

    Attributes:
        id: the clip's.
        people: who speaks, by slot, in the order of their first turns.
        turns: (slot, token ids) of each turn.
        latents: latents to be spoken [P, D].
        stretches: (slot, first patch, one past the last patch) of each turn.
        prompts: voice prompts [P, D] that the corpus names, by slot.
        sound: equal for clips of the same samples, whatever their ids.
    """

    id: str
    people: tuple[str, ...]
    turns: tuple[tuple[int, tuple[int, ...]], ...]
    latents: Tensor
    stretches: tuple[tuple[int, int, int], ...]
    prompts: Mapping[int, Tensor] = field(default_factory=dict)
    sound: str | None = None

    @property
    def patches(self) -> int:
        """Number of latents to be spoken."""
        return len(self.latents)

    def same_sound(self, other: EncodedClip) -> bool:
        """Tell whether this is the other clip, or one of the same samples."""
        twins = self.sound is not None and self.sound == other.sound
        return twins or self.id == other.id

    @property
    def length(self) -> int:
        """Number of tokens, which batches are sorted by: patches, turns' ids and a tag a turn."""
        text_tokens = sum(len(ids) + 1 for _, ids in self.turns)
        return self.patches + text_tokens

    @property
    def nbytes(self) -> int:
        """Bytes of its latents and of whatever else is as long."""
        return self.latents.nbytes


@dataclass(frozen=True)
class Augmentation:
    """How a trial varies its clips in training; validation never does.

    Attributes:
        time_share: share of a clip's latents, in spans, that are hidden where they are fed back
            (SpecAugment, Park et al. 2019, on latents for mel bins).
        dims_share: share of the latent dimensions that are hidden there, for the whole clip.
        prompt_drop: how often voice prompts are left out; None for the family's own share.
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
        """Take what a trial's settings say."""
        return cls(
            time_share=settings.specaugment_time_share,
            dims_share=settings.specaugment_dims_share,
            prompt_drop=settings.voice_prompt_drop,
            silence_before_s=settings.silence_before_s,
            silence_after_s=settings.silence_after_s,
        )


PLAIN = Augmentation()


def latents_in(seconds: float) -> int:
    """Return the number of latents in a stretch of this length, rounded."""
    return round(seconds * LATENT_RATE_HZ)
