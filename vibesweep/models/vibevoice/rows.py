"""What the family ``vibevoice`` takes from shards: a row's features and script, silence, and whether they are this checkpoint's.

Shapes: ``P`` latents, ``D`` latent size, ``F`` semantic size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vibesweep.corpus.shards.manifest import read_manifest, read_silence, read_table
from vibesweep.errors import ShardsError
from vibesweep.models.prompts import stretches
from vibesweep.models.vibevoice.batch import PROMPT_PATCHES, EncodedVibeVoiceClip, Silence
from vibesweep.models.vibevoice.text import MOST_SPEAKERS, TextLayout
from vibesweep.storage import StorageAddress

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.corpus.shards.schema import Clip
    from vibesweep.models.vibevoice.checkpoint import Checkpoint


def encode_row(row: Clip, layout: TextLayout) -> EncodedVibeVoiceClip:
    """Render a row's script and take its features as they are, in half precision."""
    assert row.acoustic is not None, "shards that check_rows has passed"
    assert row.semantic is not None, "shards that check_rows has passed"
    people = tuple(dict.fromkeys(turn.speaker for turn in row.turns))
    script = [(people.index(turn.speaker), turn.text) for turn in row.turns]
    latents = _tensor(row.acoustic)
    rate_hz = len(latents) / row.duration_s
    prompts = {
        people.index(p.person): _tensor(p.acoustic)
        for p in row.voice_prompts
        if p.acoustic is not None and p.person in people
    }
    return EncodedVibeVoiceClip(
        id=row.id,
        people=people,
        turns=(),
        latents=latents,
        stretches=stretches(row.turns, people, rate_hz, len(latents)),
        prompts=prompts,
        semantic=_tensor(row.semantic),
        bare=tuple(layout.ids(script, voiced=False)),
        voiced=tuple(layout.ids(script, voiced=True)),
    )


def _tensor(values: npt.NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(values.copy())  # the shard's memory cannot be written to, nor kept


def check_rows(checkpoint: Checkpoint, manifest: Manifest, where: str) -> None:
    """Look whether shards can train a checkpoint.

    Raises:
        ShardsError: they hold no features or another checkpoint's; a clip has too many speakers, or is longer than the context.
        ModelError: the checkpoint's tokenizer does not fit it.
    """
    TextLayout.load(checkpoint.folder, checkpoint.config)
    again = f"preprocess the corpus with --model vibevoice:{checkpoint.folder}"
    if manifest.features is None:
        raise ShardsError(
            "the shards hold no features of a VibeVoice checkpoint", where=where, fix=again
        )
    if manifest.features.fingerprint != checkpoint.fingerprint:
        found = f"the shards' features were made by other encoders ({manifest.features.model}) than those of {checkpoint.folder}"
        raise ShardsError(found, where=where, fix=again)
    _check_clips(where, checkpoint.config.text_config.max_position_embeddings)


def _check_clips(where: str, context: int) -> None:
    clips = read_table(
        where, columns=["id", "latents", "tokens", "turns.list.element.speaker"]
    ).to_pylist()
    for clip in clips:
        people = {turn["speaker"] for turn in clip["turns"]}
        if len(people) > MOST_SPEAKERS:
            fix = "split such recordings, or take them out of the corpus"
            raise ShardsError(
                f"{len(people)} speakers in {clip['id']}; VibeVoice takes {MOST_SPEAKERS}",
                where=where,
                fix=fix,
            )
        positions = clip["tokens"] + clip["latents"] + len(people) * PROMPT_PATCHES
        if positions > context:
            fix = "preprocess the corpus with a smaller --max-duration"
            found = f"{clip['id']} takes {positions} positions with its voice prompts; the checkpoint's context holds {context}"
            raise ShardsError(found, where=where, fix=fix)


def silence_of(shards: StorageAddress) -> Silence:
    """The features of silence that the shards came with."""
    found = read_silence(shards)
    return Silence(_tensor(found.acoustic).float(), _tensor(found.semantic).float())


def unit_rules(shards: StorageAddress, spread: float) -> tuple[float, float]:
    """Scale and bias that bring the training split's latents, with the σ-VAE's noise, to mean 0 and spread 1.

    They are what VibeVoice's own trainer takes from its first batch: the bias is minus the mean, the scale one over the spread. Noise
    whose spread is drawn from N(0, σ) adds σ² to the variance.
    """
    features = read_manifest(shards).features
    assert features is not None, "shards that check_rows has passed"
    return 1 / math.hypot(features.std, spread), -features.mean
