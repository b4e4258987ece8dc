"""Clips to batches for the family ``vibevoice``: a clip's sequence, its voice prompts, its noise.

Shapes: ``C`` clips, ``N`` tokens of all of them, ``P`` latents of the row (prompts and speech),
``S`` latents to be spoken, ``R`` noise repeats, ``D`` latent size, ``E`` semantic size. An index is
a place in the row.

One sequence a clip, ▒ and ▓ a latent each::

    system prompt  Voice input: ⟨begin⟩ ▒▒▒ ⟨end⟩ …  Text input: …  Speech output: ⟨begin⟩ ▓▓▓ ⟨end⟩
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vibesweep.models.clips import Augmentation, EncodedClip, latents_in
from vibesweep.models.collation import ClipwiseCollator
from vibesweep.models.diffusion import stratified_levels
from vibesweep.models.draws import clip_rng, keep_mask, normal, training_levels
from vibesweep.models.packing import (
    RowShape,
    RowSize,
    clip_starts,
    filled_up,
    indices_side_by_side,
    positions_of,
    starts_side_by_side,
)
from vibesweep.models.prompts import PromptBank
from vibesweep.models.vibevoice.clips import EncodedVibeVoiceClip, LatentRules, Silence

if TYPE_CHECKING:
    from vibesweep.models.vibevoice.text import SpecialIds

PROMPT_DROP = 0.2
"""How often a clip is trained without voice prompts, unless a trial says otherwise.

It is the share that today's recipes take.
"""
NOISE_REPEATS = 4
"""Noised copies of each latent in a step, as VibeVoice was trained (ddpm_batch_mul)."""


class VibeVoiceBatch(NamedTuple):
    """What the network reads: clips side by side in a row.

    Attributes:
        ids: token ids [1, N].
        positions: each token's place in its clip [1, N].
        starts: where each clip starts, and where the last one ends [C + 1], int32.
        inputs: scaled latents at the latent tokens [P, D].
        input_indices: indices of the inputs [P].
        semantic: semantic features of the speech [S, E]; voice prompts have none in generation, and
            so none here.
        speech_rows: which rows of the inputs are speech [S].
        spoken_indices: indices of the speech [S].
        last_indices: index of each clip's last latent [C]; ⟨end⟩ follows it.
        targets: scaled latents to be spoken [S, D].
        noise: standard normal [S*R, D].
        levels: the objective's levels in (0, 1) [S*R].
        patch_weights: what each latent to be spoken counts in the losses [S].
        clip_weights: what each clip's end counts in them [C].
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    inputs: Tensor
    input_indices: Tensor
    semantic: Tensor
    speech_rows: Tensor
    spoken_indices: Tensor
    last_indices: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor
    patch_weights: Tensor
    clip_weights: Tensor

    @property
    def tokens(self) -> int:
        """Number of tokens, ``N``."""
        return self.ids.numel()

    @property
    def patches(self) -> int:
        """Number of latents to be spoken, ``S``."""
        return len(self.targets)

    @property
    def clips(self) -> int:
        """Number of clips, ``C``."""
        return len(self.last_indices)

    def to(self, device: str) -> VibeVoiceBatch:
        """Copy to a device."""
        return VibeVoiceBatch(*(part.to(device, non_blocking=True) for part in self))

    def filled_up(self, shape: RowShape) -> VibeVoiceBatch:
        """Fill a row up to a shape; what is added counts nothing."""
        repeats = len(self.noise) // len(self.targets)
        noised = shape.patches * repeats
        last = shape.tokens - 1
        before_last = last - 1  # the token after a clip's last latent is read too
        return VibeVoiceBatch(
            ids=filled_up(self.ids[0], shape.tokens, 0).unsqueeze(0),
            positions=filled_up(self.positions[0], shape.tokens, 0).unsqueeze(0),
            starts=filled_up(self.starts, shape.clips + 1, shape.tokens),
            inputs=filled_up(self.inputs, shape.tokens, 0.0),
            input_indices=filled_up(self.input_indices, shape.tokens, last),
            semantic=filled_up(self.semantic, shape.patches, 0.0),
            speech_rows=filled_up(self.speech_rows, shape.patches, last),
            spoken_indices=filled_up(self.spoken_indices, shape.patches, last),
            last_indices=filled_up(self.last_indices, shape.clips, before_last),
            targets=filled_up(self.targets, shape.patches, 0.0),
            noise=filled_up(self.noise, noised, 0.0),
            levels=filled_up(self.levels, noised, 0.5),  # any level in (0, 1)
            patch_weights=filled_up(self.patch_weights, shape.patches, 0.0),
            clip_weights=filled_up(self.clip_weights, shape.clips, 0.0),
        )

    def side_by_side(self) -> VibeVoiceBatch:
        """Make one row of stacked rows of one shape: each part [K, ...] of K trials."""
        tokens = self.ids.shape[-1]
        inputs = self.inputs.shape[1]
        return VibeVoiceBatch(
            ids=self.ids.view(1, -1),
            positions=self.positions.view(1, -1),
            starts=starts_side_by_side(self.starts, tokens),
            inputs=self.inputs.flatten(0, 1),
            input_indices=indices_side_by_side(self.input_indices, tokens),
            semantic=self.semantic.flatten(0, 1),
            speech_rows=indices_side_by_side(self.speech_rows, inputs),
            spoken_indices=indices_side_by_side(self.spoken_indices, tokens),
            last_indices=indices_side_by_side(self.last_indices, tokens),
            targets=self.targets.flatten(0, 1),
            noise=self.noise.flatten(0, 1),
            levels=self.levels.flatten(),
            patch_weights=self.patch_weights.flatten(),
            clip_weights=self.clip_weights.flatten(),
        )

    def pinned(self) -> VibeVoiceBatch:
        """Copy to memory that a GPU copies from by itself."""
        return VibeVoiceBatch(*(part.pin_memory() for part in self))


@dataclass(frozen=True)
class _DrawnClip:
    """One clip's parts of a batch.

    ``fed_back`` are the latents that the backbone reads, ``targets`` those to be predicted.
    """

    prefix: list[int]
    voices: list[Tensor]
    fed_back: Tensor
    targets: Tensor
    semantic: Tensor
    noise: Tensor
    levels: Tensor


class VibeVoiceCollator(ClipwiseCollator[_DrawnClip, VibeVoiceBatch]):
    """Makes batches of encoded clips."""

    def __init__(
        self,
        special: SpecialIds,
        rules: LatentRules,
        prompts: PromptBank,
        silence: Silence,
    ) -> None:
        """Make batches for one checkpoint.

        Args:
            special: its special token ids.
            rules: how its latents are noised and scaled.
            prompts: voice prompts to draw from.
            silence: the features of silence that the shards came with.
        """
        self._special = special
        self._rules = rules
        self._prompts = prompts
        self._silence = silence

    def _training_clip(
        self, encoded: EncodedClip, rng: np.random.Generator, augmentation: Augmentation
    ) -> _DrawnClip:
        """Draw prompts, the σ-VAE's noise, the diffusion's and masks."""
        clip = _own(encoded)
        voices = self._draw_voices(clip, rng)
        drop = augmentation.prompt_drop
        if drop is None:
            drop = PROMPT_DROP
        if rng.random() < drop:
            voices = []
        means, semantic = self._with_silence(clip, augmentation)
        latents = self._rules.sampled(means, rng)
        patches, size = latents.shape
        count = patches * NOISE_REPEATS
        noise = normal(rng, count, size)
        levels = training_levels(rng, count)
        sampled_voices = [self._rules.sampled(voice, rng) for voice in voices]
        # Drawn last, so that all else is the same without masks
        mask = keep_mask(rng, patches, size, augmentation)
        return _DrawnClip(
            prefix=self._prefix(clip, sampled_voices),
            voices=sampled_voices,
            fed_back=latents * mask,
            targets=latents,
            semantic=semantic,
            noise=noise,
            levels=levels,
        )

    def _validation_clip(self, encoded: EncodedClip, repeats: int, draw: int) -> _DrawnClip:
        """Draw noise alone; the latents are the encoder's means."""
        clip = _own(encoded)
        prompt_rng = clip_rng(clip.id)
        drawn_voices = self._draw_voices(clip, prompt_rng)
        voices = [self._rules.scaled(voice) for voice in drawn_voices]
        latents = self._rules.scaled(clip.latents)
        patches, size = latents.shape
        count = patches * repeats
        noise_rng = clip_rng(clip.id, draw)
        noise = normal(noise_rng, count, size)
        return _DrawnClip(
            prefix=self._prefix(clip, voices),
            voices=voices,
            fed_back=latents,
            targets=latents,
            semantic=clip.semantic.float(),
            noise=noise,
            levels=stratified_levels(count, noise_rng.random()),
        )

    def _draw_voices(self, clip: EncodedVibeVoiceClip, rng: np.random.Generator) -> list[Tensor]:
        """Draw a voice prompt for every slot, or none at all where one of them has none.

        VibeVoice takes voices for all or for nobody.
        """
        slots = range(len(clip.people))
        drawn = [self._prompts.draw(clip, slot, rng) for slot in slots]
        found = [voice for voice in drawn if voice is not None]
        has_all = len(found) == len(drawn)
        return found if has_all else []

    def _with_silence(
        self, clip: EncodedVibeVoiceClip, augmentation: Augmentation
    ) -> tuple[Tensor, Tensor]:
        """Put the silence that the trial wants around a clip's latents and semantic features."""
        before, after = self._silences(augmentation)
        latents = torch.cat([before.latents, clip.latents.float(), after.latents])
        semantic = torch.cat([before.semantic, clip.semantic.float(), after.semantic])
        return latents, semantic

    def added_patches(self, augmentation: Augmentation) -> int:
        """Count the latents of silence that each clip gets."""
        return sum(len(silence.latents) for silence in self._silences(augmentation))

    def _silences(self, augmentation: Augmentation) -> tuple[Silence, Silence]:
        """Cut the silences that the trial wants before and after each clip."""
        before = latents_in(augmentation.silence_before_s)
        after = latents_in(augmentation.silence_after_s)
        return self._silence.first(before), self._silence.last(after)

    def _prefix(self, clip: EncodedVibeVoiceClip, voices: list[Tensor]) -> list[int]:
        """List the ids before the speech, each voice's one latent id repeated to its length."""
        if not voices:
            return list(clip.bare_ids)
        latent = self._special.latent
        lengths = iter([len(voice) for voice in voices])
        ids: list[int] = []
        for token in clip.voiced_ids:
            if token == latent:
                ids += [latent] * next(lengths)
            else:
                ids.append(token)
        return ids

    def _sequence(self, clip: _DrawnClip) -> list[int]:
        """List all ids of a clip: the prefix, its latents and the end."""
        latents = [self._special.latent] * len(clip.targets)
        return [*clip.prefix, *latents, self._special.end]

    def _size(self, clip: _DrawnClip) -> RowSize:
        return RowSize(len(self._sequence(clip)), len(clip.targets))

    def _join(self, clips: list[_DrawnClip]) -> VibeVoiceBatch:
        """Put clips side by side, and work out the indices.

        This is done on the CPU: a mask would make a GPU wait for its count in every step.
        """
        sequences = [self._sequence(clip) for clip in clips]
        lengths = [len(sequence) for sequence in sequences]
        starts = clip_starts(lengths)
        ids = torch.tensor([token for sequence in sequences for token in sequence])
        ends = starts[1:].long() - 1  # indices of ⟨end⟩
        inputs = []
        spoken = []
        speech_rows = []
        rows = 0  # of the inputs, so far
        for clip, end in zip(clips, ends.tolist(), strict=True):
            patches = len(clip.targets)
            spoken.append(torch.arange(end - patches, end))
            inputs += [*clip.voices, clip.fed_back]
            rows += sum(len(voice) for voice in clip.voices)
            speech_rows.append(torch.arange(rows, rows + patches))
            rows += patches
        is_input = ids == self._special.latent
        spoken_indices = torch.cat(spoken)
        return VibeVoiceBatch(
            ids=ids.unsqueeze(0),
            positions=positions_of(lengths),
            starts=starts,
            inputs=torch.cat(inputs),
            input_indices=is_input.nonzero().flatten(),
            semantic=torch.cat([clip.semantic for clip in clips]),
            speech_rows=torch.cat(speech_rows),
            spoken_indices=spoken_indices,
            last_indices=ends - 1,
            targets=torch.cat([clip.targets for clip in clips]),
            noise=torch.cat([clip.noise for clip in clips]),
            levels=torch.cat([clip.levels for clip in clips]),
            patch_weights=torch.ones(len(spoken_indices)),
            clip_weights=torch.ones(len(clips)),
        )


def _own(clip: EncodedClip) -> EncodedVibeVoiceClip:
    assert isinstance(clip, EncodedVibeVoiceClip)
    return clip
