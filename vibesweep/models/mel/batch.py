"""Clips to batches for the family ``mel``: the sequence of a clip, its voice prompts, its noise.

Shapes: ``C`` clips, ``N`` tokens of all of them, ``P`` latents of the row (prompts and speech),
``S`` patches to be spoken, ``R`` noise repeats, ``D`` latent size. An index is a place in the row.

All noise is drawn here, clip by clip, from (seed, epoch, clip). So the model's ``forward`` is a
plain function of its batch, and a step's gradient does not depend on how the clips were put into
rows or dealt out to workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vibesweep.corpus.text.phoneme_table import (
    BOS,
    PATCH,
    SPEAKER_0,
    SPEECH,
    PhonemeTable,
)
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.collation import ClipwiseCollator
from vibesweep.models.diffusion import stratified_levels
from vibesweep.models.draws import clip_rng, keep_mask, normal, training_levels
from vibesweep.models.mel.encoder import MEL, PHONEMES
from vibesweep.models.mel.latents import PatchCodec
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.packing import (
    RowShape,
    RowSize,
    clip_starts,
    filled_up,
    indices_side_by_side,
    positions_of,
    starts_side_by_side,
)
from vibesweep.models.prompts import PromptBank, stretches

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import Clip


class MelBatch(NamedTuple):
    """What the network reads: clips side by side in a row.

    Attributes:
        ids: token ids [1, N].
        positions: each token's place in its clip [1, N].
        starts: where each clip starts, and where the last one ends [C + 1], int32.
        inputs: latents at the PATCH tokens [P, D]; in training those to be spoken carry a little
            noise, and masks.
        input_indices: indices of the inputs [P].
        spoken_indices: indices of the latents to be spoken [S]; never the first of a clip.
        last_indices: index of each clip's last latent [C].
        targets: the clean latents to be spoken [S, D].
        noise: standard normal [S*R, D].
        levels: the objective's levels in (0, 1) [S*R].
        keep: 0 where a condition is dropped, else 1 [S*R].
        patch_weights: what each latent to be spoken counts in the losses [S].
        clip_weights: what each clip's end counts in them [C].
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    inputs: Tensor
    input_indices: Tensor
    spoken_indices: Tensor
    last_indices: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor
    keep: Tensor
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

    def to(self, device: str) -> MelBatch:
        """Copy to a device."""
        return MelBatch(*(part.to(device, non_blocking=True) for part in self))

    def filled_up(self, shape: RowShape) -> MelBatch:
        """Fill a row up to a shape; what is added counts nothing."""
        repeats = len(self.noise) // len(self.targets)
        noised = shape.patches * repeats
        last = shape.tokens - 1
        return MelBatch(
            ids=filled_up(self.ids[0], shape.tokens, 0).unsqueeze(0),
            positions=filled_up(self.positions[0], shape.tokens, 0).unsqueeze(0),
            starts=filled_up(self.starts, shape.clips + 1, shape.tokens),
            inputs=filled_up(self.inputs, shape.tokens, 0.0),
            input_indices=filled_up(self.input_indices, shape.tokens, last),
            spoken_indices=filled_up(self.spoken_indices, shape.patches, last),
            last_indices=filled_up(self.last_indices, shape.clips, last),
            targets=filled_up(self.targets, shape.patches, 0.0),
            noise=filled_up(self.noise, noised, 0.0),
            levels=filled_up(self.levels, noised, 0.5),  # any level in (0, 1)
            keep=filled_up(self.keep, noised, 0.0),
            patch_weights=filled_up(self.patch_weights, shape.patches, 0.0),
            clip_weights=filled_up(self.clip_weights, shape.clips, 0.0),
        )

    def side_by_side(self) -> MelBatch:
        """Make one row of stacked rows of one shape: each part [K, ...] of K trials."""
        tokens = self.ids.shape[-1]
        return MelBatch(
            ids=self.ids.view(1, -1),
            positions=self.positions.view(1, -1),
            starts=starts_side_by_side(self.starts, tokens),
            inputs=self.inputs.flatten(0, 1),
            input_indices=indices_side_by_side(self.input_indices, tokens),
            spoken_indices=indices_side_by_side(self.spoken_indices, tokens),
            last_indices=indices_side_by_side(self.last_indices, tokens),
            targets=self.targets.flatten(0, 1),
            noise=self.noise.flatten(0, 1),
            levels=self.levels.flatten(),
            keep=self.keep.flatten(),
            patch_weights=self.patch_weights.flatten(),
            clip_weights=self.clip_weights.flatten(),
        )

    def pinned(self) -> MelBatch:
        """Copy to memory that a GPU copies from by itself."""
        return MelBatch(*(part.pin_memory() for part in self))


def encode_clip(
    clip: Clip, table: PhonemeTable, codec: PatchCodec, patch_rate_hz: float
) -> EncodedClip:
    """Encode one clip of the shards: phonemes to ids, log-mels to latents."""
    people = clip.people
    turns = []
    for turn in clip.turns:
        slot = people.index(turn.speaker)
        ids = table.encode_known(turn.columns[PHONEMES])
        turns.append((slot, tuple(ids)))
    latents = _latents(clip.columns[MEL], codec)
    prompts = {}
    for prompt in clip.voice_prompts:
        slot = people.index(prompt.person)
        prompts[slot] = _latents(prompt.columns[MEL], codec)
    return EncodedClip(
        id=clip.id,
        people=people,
        turns=tuple(turns),
        latents=latents,
        stretches=stretches(clip.turns, people, patch_rate_hz, len(latents)),
        prompts=prompts,
        sound=clip.samples_hash,
    )


def _latents(mel: npt.NDArray[np.float16], codec: PatchCodec) -> Tensor:
    frames = mel.reshape(-1, codec.n_mels)
    log_mel = torch.from_numpy(frames.astype(np.float32))
    return codec.encode(log_mel)


def prefix_ids(
    prompts: Sequence[Tensor | None], turns: Sequence[tuple[int, Sequence[int]]]
) -> list[int]:
    """List the token ids before the speech: tags and prompts, then the turns, then SPEECH.

    Args:
        prompts: voice prompt [P, D] of each slot; None for a slot without one.
        turns: (slot, phoneme ids) of each turn.
    """
    ids = [BOS]
    for slot, prompt in enumerate(prompts):
        if prompt is not None:
            ids.append(SPEAKER_0 + slot)
            ids += [PATCH] * len(prompt)
    for slot, phonemes in turns:
        ids.append(SPEAKER_0 + slot)
        ids += phonemes
    ids.append(SPEECH)
    return ids


@dataclass(frozen=True)
class _DrawnClip:
    """One clip's parts of a batch."""

    ids: list[int]
    inputs: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor
    keep: Tensor


class MelCollator(ClipwiseCollator[_DrawnClip, MelBatch]):
    """Makes batches of encoded clips."""

    def __init__(self, shape: MelShape, prompts: PromptBank) -> None:
        """Take sizes and odds from the model's shape."""
        self._shape = shape
        self._prompts = prompts

    def _training_clip(
        self, clip: EncodedClip, rng: np.random.Generator, augmentation: Augmentation
    ) -> _DrawnClip:
        """Draw one clip. The order of the draws is part of a trial's result."""
        shape = self._shape
        size = shape.latent_size
        count = clip.patches * shape.noise_repeats
        drop = augmentation.prompt_drop
        if drop is None:
            drop = shape.prompt_drop
        prompts = self._draw_prompts(clip, rng, drop)
        blur = normal(rng, clip.patches, size)
        levels = training_levels(rng, count)
        kept = rng.random(count) >= shape.condition_drop
        noise = normal(rng, count, size)
        # Drawn last, so that all else is the same without masks
        mask = keep_mask(rng, clip.patches, size, augmentation)
        keep = torch.from_numpy(kept.astype(np.float32))
        blurred = clip.latents + blur * shape.input_noise
        return _drawn(clip, prompts, blurred * mask, noise, levels, keep)

    def _draw_prompts(
        self, clip: EncodedClip, rng: np.random.Generator, drop: float
    ) -> list[Tensor | None]:
        """Draw a voice prompt for each slot; leave out a share ``drop`` of them."""
        prompts = []
        for slot in range(len(clip.people)):
            prompt = self._prompts.draw(clip, slot, rng)
            is_dropped = rng.random() < drop
            prompts.append(None if is_dropped else prompt)
        return prompts

    def _validation_clip(self, clip: EncodedClip, repeats: int, draw: int) -> _DrawnClip:
        count = clip.patches * repeats
        prompt_rng = clip_rng(clip.id)
        slots = range(len(clip.people))
        prompts = [self._prompts.draw(clip, slot, prompt_rng) for slot in slots]
        noise_rng = clip_rng(clip.id, draw)
        noise = normal(noise_rng, count, self._shape.latent_size)
        levels = stratified_levels(count, noise_rng.random())
        keep = torch.ones(count)
        return _drawn(clip, prompts, clip.latents, noise, levels, keep)

    def _size(self, clip: _DrawnClip) -> RowSize:
        return RowSize(len(clip.ids), len(clip.targets))

    def _join(self, clips: list[_DrawnClip]) -> MelBatch:
        """Put clips side by side, and work out the indices.

        This is done on the CPU: a mask would make a GPU wait for its count in every step.
        """
        lengths = [len(clip.ids) for clip in clips]
        starts = clip_starts(lengths)
        ids = torch.tensor([symbol for clip in clips for symbol in clip.ids])
        spoken = []
        for clip, end in zip(clips, starts[1:].tolist(), strict=True):
            start = end - len(clip.targets)
            spoken.append(torch.arange(start, end))
        is_input = ids == PATCH
        spoken_indices = torch.cat(spoken)
        return MelBatch(
            ids=ids.unsqueeze(0),
            positions=positions_of(lengths),
            starts=starts,
            inputs=torch.cat([clip.inputs for clip in clips]),
            input_indices=is_input.nonzero().flatten(),
            spoken_indices=spoken_indices,
            last_indices=starts[1:].long() - 1,
            targets=torch.cat([clip.targets for clip in clips]),
            noise=torch.cat([clip.noise for clip in clips]),
            levels=torch.cat([clip.levels for clip in clips]),
            keep=torch.cat([clip.keep for clip in clips]),
            patch_weights=torch.ones(len(spoken_indices)),
            clip_weights=torch.ones(len(clips)),
        )


def _drawn(
    clip: EncodedClip,
    prompts: list[Tensor | None],
    fed_back: Tensor,
    noise: Tensor,
    levels: Tensor,
    keep: Tensor,
) -> _DrawnClip:
    ids = prefix_ids(prompts, clip.turns)
    ids += [PATCH] * clip.patches
    voices = [prompt for prompt in prompts if prompt is not None]
    inputs = torch.cat([*voices, fed_back])
    return _DrawnClip(ids, inputs, clip.latents, noise, levels, keep)
