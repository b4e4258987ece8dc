"""What the family ``vibevoice`` takes from shards: features, script, silence and latents' scale.

Shapes: ``T`` latents, ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load, save
from torch import Tensor

from vibesweep.corpus.shards.manifest import read_manifest, read_sidecar, read_table
from vibesweep.corpus.shards.schema import Half
from vibesweep.errors import ShardsError
from vibesweep.models.clips import latents_in
from vibesweep.models.prompts import stretches
from vibesweep.models.vibevoice.clips import PROMPT_PATCHES, EncodedVibeVoiceClip, Silence
from vibesweep.models.vibevoice.text import MOST_SPEAKERS, TextLayout

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.corpus.shards.schema import Clip
    from vibesweep.models.vibevoice.checkpoint import Checkpoint
    from vibesweep.storage import StorageAddress

SILENCE_S = 2.0
"""Length of the silence whose features lie beside the shards: 15 latents."""


@dataclass(frozen=True, eq=False)
class Features:
    """A sound as a checkpoint's encoders hear it: means without noise, and not scaled.

    Attributes:
        acoustic: [T, D] in half precision.
        semantic: [T, E] in half precision.
    """

    acoustic: Half
    semantic: Half

    def to_bytes(self) -> bytes:
        """Write as safetensors."""
        return save({"acoustic": self.acoustic, "semantic": self.semantic})

    @classmethod
    def from_bytes(cls, content: bytes) -> Features:
        """Read what :meth:`to_bytes` wrote."""
        found = load(content)
        return cls(found["acoustic"], found["semantic"])


def encode_clip(clip: Clip, layout: TextLayout) -> EncodedVibeVoiceClip:
    """Render a clip's script and take its features as they are, in half precision."""
    people = clip.people
    script = [(people.index(turn.speaker), turn.text) for turn in clip.turns]
    bare_ids = layout.ids(script, voiced=False)
    voiced_ids = layout.ids(script, voiced=True)
    latents = _tensor(clip.columns["acoustic"]).reshape(clip.patches, -1)
    semantic = _tensor(clip.columns["semantic"]).reshape(clip.patches, -1)
    size = latents.shape[1]
    prompts = {}
    for prompt in clip.voice_prompts:
        slot = people.index(prompt.person)
        prompts[slot] = _tensor(prompt.columns["acoustic"]).reshape(-1, size)
    rate_hz = clip.patches / clip.duration_s
    return EncodedVibeVoiceClip(
        id=clip.id,
        people=people,
        turns=(),
        latents=latents,
        stretches=stretches(clip.turns, people, rate_hz, clip.patches),
        prompts=prompts,
        sound=clip.samples_hash,
        semantic=semantic,
        bare_ids=tuple(bare_ids),
        voiced_ids=tuple(voiced_ids),
    )


def _tensor(values: npt.NDArray[np.float16]) -> Tensor:
    """Copy an array, because the shard's memory can neither be written to nor kept."""
    return torch.from_numpy(values.copy())


def check_features(checkpoint: Checkpoint, manifest: Manifest, where: str) -> None:
    """Look whether shards can train a checkpoint.

    Raises:
        ShardsError: they were made for another family or by another checkpoint's encoders, a clip
            has too many speakers, or is longer than the context.
        ModelError: the checkpoint's tokenizer does not fit it.
    """
    TextLayout.load(checkpoint.folder, checkpoint.config)
    encoder = manifest.encoder
    again = f"preprocess the corpus with --model vibevoice:{checkpoint.folder}"
    if encoder.family != "vibevoice":
        found = f"the shards hold no features of a VibeVoice checkpoint, but {encoder.family}'s"
        raise ShardsError(found, where=where, fix=again)
    if encoder.settings["encoders"] != checkpoint.fingerprint:
        found = (
            f"the shards' features were made by other encoders ({encoder.name})"
            f" than those of {checkpoint.folder}"
        )
        raise ShardsError(found, where=where, fix=again)
    _check_clips(where, checkpoint.config.text_config.max_position_embeddings)


def _check_clips(where: str, context: int) -> None:
    columns = ["id", "patches", "tokens", "turns.list.element.speaker"]
    for clip in read_table(where, columns=columns).to_pylist():
        people = {turn["speaker"] for turn in clip["turns"]}
        if len(people) > MOST_SPEAKERS:
            found = f"{len(people)} speakers in {clip['id']}; VibeVoice takes {MOST_SPEAKERS}"
            fix = "split such recordings, or take them out of the corpus"
            raise ShardsError(found, where=where, fix=fix)
        prompt_tokens = len(people) * PROMPT_PATCHES
        tokens = clip["tokens"] + clip["patches"] + prompt_tokens
        if tokens > context:
            found = (
                f"{clip['id']} takes {tokens} positions with its voice prompts;"
                f" the checkpoint's context holds {context}"
            )
            fix = "preprocess the corpus with a smaller --max-duration"
            raise ShardsError(found, where=where, fix=fix)


def read_silence(shards: StorageAddress) -> Silence:
    """Read the features of silence that lie beside the shards.

    Raises:
        ShardsError: there are none, or they are shorter than they are made.
    """
    content = read_sidecar(shards)
    features = Features.from_bytes(content)
    found, made = len(features.acoustic), latents_in(SILENCE_S)
    if found < made:
        wrong = f"{found} latents of silence lie beside the shards, and {made} are made"
        raise ShardsError(wrong, where=str(shards), fix="make the shards anew")
    acoustic = torch.from_numpy(features.acoustic).float()
    semantic = torch.from_numpy(features.semantic).float()
    return Silence(acoustic, semantic)


def scale_and_bias(shards: StorageAddress, vae_std: float) -> tuple[float, float]:
    """Find scale and bias that bring the training split's latents to mean 0 and spread 1.

    VibeVoice's own trainer takes them from its first batch: the bias is minus the mean, the scale
    one over the spread. Noise whose spread is drawn from N(0, vae_std) adds vae_std² to the
    variance.
    """
    manifest = read_manifest(shards)
    moments = manifest.encoder.moments["acoustic"]
    spread = math.hypot(moments["std"], vae_std)
    return 1 / spread, -moments["mean"]
