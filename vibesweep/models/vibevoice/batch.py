"""Clips to batches for the family ``vibevoice``: the sequence of a clip, its voice prompts, and every random draw of a step.

Shapes: ``B`` clips, ``L`` positions, ``P`` latent positions of the batch (prompts and speech), ``S`` latents to be spoken, ``R`` noise
repeats, ``D`` latent size, ``F`` semantic size. A flat place is row x L + column.

One sequence a clip, ▒ and ▓ a latent each::

    system prompt   Voice input: ⟨start⟩ ▒▒▒▒ ⟨end⟩ …   Text input: …   Speech output: ⟨start⟩ ▓▓▓▓▓▓▓▓ ⟨end⟩
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vibesweep.models.diffusion import stratified_levels
from vibesweep.models.draws import clip_rng, keep_mask, normal, training_levels
from vibesweep.models.family import PLAIN, Augmentation, Collator, EncodedClip, latents_in
from vibesweep.models.prompts import PromptBank

if TYPE_CHECKING:
    from vibesweep.models.vibevoice.text import SpecialIds

PROMPT_PATCHES = 75
"""Ten seconds, the longest voice prompt in training. Those of VibeVoice's own demo are 8 to 30 s long."""
PROMPT_DROP = 0.2
"""How often a clip is trained without voice prompts, unless a trial says otherwise: what today's recipes take."""
NOISE_REPEATS = 4
"""Noised copies of each latent in a step, as VibeVoice was trained (ddpm_batch_mul)."""


@dataclass(frozen=True)
class EncodedVibeVoiceClip(EncodedClip):
    """A clip's features, by the checkpoint's own encoders, and its script, by its own tokenizer.

    Attributes:
        semantic: [P, F].
        bare: ids before the speech, with no voice prompts.
        voiced: the same with voice prompts, one latent's id for each slot's.
    """

    semantic: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    bare: tuple[int, ...] = ()
    voiced: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Positions with voice prompts of full length."""
        return self.patches + len(self.voiced) + len(self.people) * PROMPT_PATCHES

    @property
    def nbytes(self) -> int:
        """Latents and semantic features, in half precision."""
        return self.latents.nbytes + self.semantic.nbytes


@dataclass(frozen=True)
class Silence:
    """Features of silence from the start of a clip on: latents [N, D], semantic [N, F]."""

    latents: Tensor
    semantic: Tensor

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """Features of a silence that begins a clip."""
        return self.latents[:count], self.semantic[:count]

    def last(self, count: int) -> tuple[Tensor, Tensor]:
        """Features of a silence that has lasted: what follows speech."""
        return self.latents[len(self.latents) - count :], self.semantic[
            len(self.semantic) - count :
        ]


@dataclass(frozen=True)
class LatentRules:
    """How a checkpoint's latents are noised and scaled.

    Attributes:
        scale: what they are multiplied by, once the bias is added.
        bias: what is added to them.
        spread: of the σ-VAE: the noise of an item has a spread drawn from N(0, spread) (Peng et al. 2025, section 2.1).
    """

    scale: float
    bias: float
    spread: float

    def scaled(self, latents: Tensor) -> Tensor:
        """The encoder's means [P, D] as the network sees them."""
        return (latents.float() + self.bias) * self.scale

    def sampled(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """With an item's own noise [P, D], scaled."""
        spread = self.spread * float(rng.standard_normal())
        return self.scaled(latents.float() + spread * normal(rng, *latents.shape))


class VibeVoiceBatch(NamedTuple):
    """What the network reads.

    Attributes:
        ids: token ids [B, L], padded on the right.
        inputs: scaled latents at the latent positions, row by row [P, D].
        places: flat places of the inputs [P].
        semantic: semantic features of the speech, row by row [S, F]; voice prompts have none in generation, and so none here.
        speech: which rows of the inputs are speech [S].
        spoken: flat places of the speech [S].
        ends: flat place of each clip's last latent [B]; what follows it is ⟨end⟩.
        targets: scaled latents to be spoken, row by row [S, D].
        noise: standard normal [S*R, D].
        levels: the objective's levels in (0, 1) [S*R].
    """

    ids: Tensor
    inputs: Tensor
    places: Tensor
    semantic: Tensor
    speech: Tensor
    spoken: Tensor
    ends: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor

    def to(self, device: str) -> VibeVoiceBatch:
        """Copy to a device."""
        return VibeVoiceBatch(*(part.to(device, non_blocking=True) for part in self))


@dataclass(frozen=True)
class _Drawn:
    """One clip's parts of a batch; ``heard`` are the latents that are fed back, ``targets`` those that are to be predicted."""

    prefix: list[int]
    voices: list[Tensor]
    heard: Tensor
    targets: Tensor
    semantic: Tensor
    noise: Tensor
    levels: Tensor


class VibeVoiceCollator(Collator):
    """Makes batches of examples."""

    def __init__(
        self, special: SpecialIds, rules: LatentRules, prompts: PromptBank, silence: Silence | None
    ) -> None:
        """Take the checkpoint's special ids and latents' rules, voices, and the silence that the shards came with."""
        self._special, self._rules, self._prompts, self._silence = special, rules, prompts, silence

    def training(
        self,
        examples: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        augmentation: Augmentation = PLAIN,
    ) -> VibeVoiceBatch:
        """Draw prompts, the σ-VAE's noise, the diffusion's, its levels and masks from (seed, epoch, clip)."""
        return self._join(
            [
                self._training_clip(_own(e), clip_rng(e.id, seed, epoch), augmentation)
                for e in examples
            ]
        )

    def validation(
        self, examples: Sequence[EncodedClip], repeats: int, draw: int = 0
    ) -> VibeVoiceBatch:
        """Draw prompts from the clip's id alone, and noise; spread the levels evenly; latents are the encoder's means."""
        return self._join([self._validation_clip(_own(e), repeats, draw) for e in examples])

    def _training_clip(
        self, example: EncodedVibeVoiceClip, rng: np.random.Generator, augmentation: Augmentation
    ) -> _Drawn:
        voices = self._voices(example, rng)
        if rng.random() < (
            PROMPT_DROP if augmentation.prompt_drop is None else augmentation.prompt_drop
        ):
            voices = []
        means, semantic = self._with_silence(example, augmentation)
        latents = self._rules.sampled(means, rng)
        count = len(latents) * NOISE_REPEATS
        noise, levels = normal(rng, count, latents.shape[1]), training_levels(rng, count)
        sampled = [self._rules.sampled(voice, rng) for voice in voices]
        heard = latents * keep_mask(
            rng, len(latents), latents.shape[1], augmentation
        )  # drawn last: all else is as it is without masks
        return _Drawn(
            self._prefix(example, sampled), sampled, heard, latents, semantic, noise, levels
        )

    def _validation_clip(self, example: EncodedVibeVoiceClip, repeats: int, draw: int) -> _Drawn:
        voices = [
            self._rules.scaled(voice) for voice in self._voices(example, clip_rng(example.id))
        ]
        latents, rng = self._rules.scaled(example.latents), clip_rng(example.id, draw)
        count = len(latents) * repeats
        noise = normal(rng, count, latents.shape[1])
        levels = stratified_levels(count, rng.random())
        return _Drawn(
            self._prefix(example, voices),
            voices,
            latents,
            latents,
            example.semantic.float(),
            noise,
            levels,
        )

    def _voices(self, example: EncodedVibeVoiceClip, rng: np.random.Generator) -> list[Tensor]:
        """A voice prompt for every slot; none at all where one of them has none, as VibeVoice takes voices for all or nobody."""
        drawn = [self._prompts.draw(example, slot, rng) for slot in range(len(example.people))]
        found = [voice for voice in drawn if voice is not None]
        return found if len(found) == len(drawn) else []

    def _with_silence(
        self, example: EncodedVibeVoiceClip, augmentation: Augmentation
    ) -> tuple[Tensor, Tensor]:
        """Latents and semantic features of a clip with the silence that the trial wants around it."""
        before, after = (
            latents_in(augmentation.silence_before_s),
            latents_in(augmentation.silence_after_s),
        )
        if not (before or after):
            return example.latents.float(), example.semantic.float()
        assert self._silence is not None, "shards with features have the features of silence"
        parts = [
            self._silence.first(before),
            (example.latents, example.semantic),
            self._silence.last(after),
        ]
        latents, semantic = (
            torch.cat([part.float() for part in kind]) for kind in zip(*parts, strict=True)
        )
        return latents, semantic

    def _prefix(self, example: EncodedVibeVoiceClip, voices: list[Tensor]) -> list[int]:
        """Ids before the speech, each voice's one latent id stretched to its length."""
        if not voices:
            return list(example.bare)
        lengths = iter(voices)
        return list(
            itertools.chain.from_iterable(
                itertools.repeat(token, len(next(lengths)))
                if token == self._special.latent
                else (token,)
                for token in example.voiced
            )
        )

    def _join(self, clips: list[_Drawn]) -> VibeVoiceBatch:
        """Pad on the right. Places are worked out here, on the CPU: a mask would make a GPU wait for its count in every step."""
        rows = [
            [*clip.prefix, *[self._special.latent] * len(clip.targets), self._special.end]
            for clip in clips
        ]
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self._special.close)
        spoken, ends, speech, taken = [], [], [], 0
        for row, (clip, tokens) in enumerate(zip(clips, rows, strict=True)):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            ends.append(row * width + len(tokens) - 2)
            spoken.append(torch.arange(ends[-1] + 1 - len(clip.targets), ends[-1] + 1))
            taken += sum(map(len, clip.voices))
            speech.append(torch.arange(taken, taken + len(clip.targets)))
            taken += len(clip.targets)
        return VibeVoiceBatch(
            ids=ids,
            inputs=torch.cat([part for clip in clips for part in (*clip.voices, clip.heard)]),
            places=(ids == self._special.latent).flatten().nonzero().flatten(),
            semantic=torch.cat([clip.semantic for clip in clips]),
            speech=torch.cat(speech),
            spoken=torch.cat(spoken),
            ends=torch.tensor(ends),
            targets=torch.cat([clip.targets for clip in clips]),
            noise=torch.cat([clip.noise for clip in clips]),
            levels=torch.cat([clip.levels for clip in clips]),
        )


def _own(example: EncodedClip) -> EncodedVibeVoiceClip:
    assert isinstance(example, EncodedVibeVoiceClip)
    return example
