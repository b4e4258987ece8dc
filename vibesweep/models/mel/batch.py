"""Clips to batches for the family ``mel``: the sequence of a clip, its voice prompts, and every random draw of a step.

Shapes: ``B`` clips, ``L`` positions, ``P`` latent positions of the batch, ``S`` patches to be spoken, ``R`` noise repeats, ``D`` latent
size. A flat place is row x L + column.

All noise is drawn here, clip by clip, from (seed, epoch, clip): the model's ``forward`` is then a plain function of its batch, and a
step's gradient does not depend on how the clips were cut into micro-batches or dealt out to workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vibesweep.corpus.text.phoneme_table import BOS, PAD, PATCH, SPEAKER_0, SPEECH, PhonemeTable
from vibesweep.models.diffusion import stratified_levels
from vibesweep.models.draws import clip_rng, keep_mask, normal, training_levels
from vibesweep.models.family import PLAIN, Augmentation, Collator, EncodedClip
from vibesweep.models.mel.latents import PatchCodec
from vibesweep.models.prompts import PromptBank, stretches

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import Clip
    from vibesweep.models.mel.model import MelShape


class MelBatch(NamedTuple):
    """What the network reads.

    Attributes:
        ids: token ids [B, L], padded on the right.
        inputs: latents at the PATCH positions, row by row [P, D]; those to be spoken carry a little noise, and masks, in training.
        places: flat places of the inputs [P].
        spoken: flat places of the latents to be spoken [S]; never the first of a row.
        ends: flat place of each clip's last latent [B].
        targets: the clean latents to be spoken, row by row [S, D].
        noise: standard normal [S*R, D].
        levels: the objective's levels in (0, 1) [S*R].
        keep: 0 where a condition is dropped, else 1 [S*R].
    """

    ids: Tensor
    inputs: Tensor
    places: Tensor
    spoken: Tensor
    ends: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor
    keep: Tensor

    def to(self, device: str) -> MelBatch:
        """Copy to a device."""
        return MelBatch(*(part.to(device, non_blocking=True) for part in self))


def encode_row(
    row: Clip, table: PhonemeTable, codec: PatchCodec, patch_rate_hz: float
) -> EncodedClip:
    """Encode one row of the shards: nothing a trial changes is left to do afterwards."""
    people = tuple(dict.fromkeys(turn.speaker for turn in row.turns))
    turns = tuple(
        (people.index(turn.speaker), tuple(table.encode_known(turn.phonemes))) for turn in row.turns
    )
    latents = codec.encode(_floats(row.mel))
    prompts = {
        people.index(prompt.person): codec.encode(_floats(prompt.mel))
        for prompt in row.voice_prompts
        if prompt.mel is not None
    }
    return EncodedClip(
        row.id,
        people,
        turns,
        latents,
        stretches(row.turns, people, patch_rate_hz, len(latents)),
        prompts,
    )


def _floats(mel: npt.NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(mel.astype(np.float32))


def prefix_ids(
    prompts: Sequence[Tensor | None], turns: Sequence[tuple[int, Sequence[int]]]
) -> list[int]:
    """Token ids of everything before the speech: a slot's tag and prompt [P, D] (None: no prompt), then the turns, then SPEECH."""
    ids = [BOS]
    for slot, prompt in enumerate(prompts):
        if prompt is not None:
            ids += [SPEAKER_0 + slot, *[PATCH] * len(prompt)]
    for slot, phonemes in turns:
        ids += [SPEAKER_0 + slot, *phonemes]
    return [*ids, SPEECH]


@dataclass(frozen=True)
class _Drawn:
    """One clip's parts of a batch."""

    ids: list[int]
    inputs: Tensor
    targets: Tensor
    noise: Tensor
    levels: Tensor
    keep: Tensor


class MelCollator(Collator):
    """Makes batches of examples."""

    def __init__(self, shape: MelShape, prompts: PromptBank) -> None:
        """Take sizes and odds from the model's shape."""
        self._shape = shape
        self._prompts = prompts

    def training(
        self,
        examples: Sequence[EncodedClip],
        seed: int,
        epoch: int,
        augmentation: Augmentation = PLAIN,
    ) -> MelBatch:
        """Draw prompts, noise, levels, drops and masks from (seed, epoch, clip)."""
        return _join(
            [self._training_clip(e, clip_rng(e.id, seed, epoch), augmentation) for e in examples]
        )

    def validation(self, examples: Sequence[EncodedClip], repeats: int, draw: int = 0) -> MelBatch:
        """Draw prompts from the clip's id alone, and noise; spread the levels evenly; drop nothing."""
        return _join([self._validation_clip(example, repeats, draw) for example in examples])

    def _training_clip(
        self, example: EncodedClip, rng: np.random.Generator, augmentation: Augmentation
    ) -> _Drawn:
        shape, count = self._shape, example.patches * self._shape.noise_repeats
        drop = shape.prompt_drop if augmentation.prompt_drop is None else augmentation.prompt_drop
        drawn = (self._prompts.draw(example, slot, rng) for slot in range(len(example.people)))
        prompts = [None if rng.random() < drop else prompt for prompt in drawn]
        blur = normal(rng, example.patches, shape.latent_size) * shape.input_noise
        levels = training_levels(rng, count)
        keep = torch.from_numpy((rng.random(count) >= shape.condition_drop).astype(np.float32))
        noise = normal(rng, count, shape.latent_size)
        heard = keep_mask(
            rng, example.patches, shape.latent_size, augmentation
        )  # drawn last: all else is as it is without masks
        return self._clip(example, prompts, (example.latents + blur) * heard, noise, levels, keep)

    def _validation_clip(self, example: EncodedClip, repeats: int, draw: int) -> _Drawn:
        count, own = example.patches * repeats, clip_rng(example.id)
        prompts = [self._prompts.draw(example, slot, own) for slot in range(len(example.people))]
        rng = clip_rng(example.id, draw)
        noise = normal(rng, count, self._shape.latent_size)
        return self._clip(
            example,
            prompts,
            example.latents,
            noise,
            stratified_levels(count, rng.random()),
            torch.ones(count),
        )

    def _clip(
        self,
        example: EncodedClip,
        prompts: list[Tensor | None],
        speech: Tensor,
        noise: Tensor,
        levels: Tensor,
        keep: Tensor,
    ) -> _Drawn:
        ids = prefix_ids(prompts, example.turns) + [PATCH] * example.patches
        inputs = torch.cat([*(prompt for prompt in prompts if prompt is not None), speech])
        return _Drawn(ids, inputs, example.latents, noise, levels, keep)


def _join(clips: list[_Drawn]) -> MelBatch:
    """Pad on the right. Places are worked out here, on the CPU: a mask would make a GPU wait for its count in every step."""
    width = max(len(clip.ids) for clip in clips)
    ids = torch.full((len(clips), width), PAD)
    spoken, ends = [], []
    for row, clip in enumerate(clips):
        ids[row, : len(clip.ids)] = torch.tensor(clip.ids)
        ends.append(row * width + len(clip.ids) - 1)
        spoken.append(torch.arange(ends[-1] + 1 - len(clip.targets), ends[-1] + 1))
    places = (ids == PATCH).flatten().nonzero().flatten()
    parts = [
        torch.cat(part)
        for part in zip(
            *((c.inputs, c.targets, c.noise, c.levels, c.keep) for c in clips), strict=True
        )
    ]
    inputs, targets, noise, levels, keep = parts
    return MelBatch(
        ids, inputs, places, torch.cat(spoken), torch.tensor(ends), targets, noise, levels, keep
    )
