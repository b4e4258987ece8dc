"""The network of the family ``mel``: VibeVoice's architecture on PCA-projected log-mel patches.

Shapes: ``C`` clips, ``N`` tokens of a row, ``P`` latents of the row (prompts and speech), ``S``
patches to be spoken, ``R`` noise repeats, ``D`` latent size, ``H`` hidden size.

One sequence a clip::

    BOS  SPK0 ▒▒▒▒  SPK1 ▒▒▒▒   SPK0 phonemes…  SPK1 phonemes…   SPEECH ▓▓▓▓▓▓▓▓▓▓
         a voice prompt each    the turns                         the latents to be spoken

The hidden state *before* each ▓ conditions the head that denoises it, and says "go on" or, after
the last, "stop".
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2Model
from transformers.models.vibevoice.configuration_vibevoice import VibeVoiceDiffusionHeadConfig
from transformers.models.vibevoice.modeling_vibevoice import (
    VibeVoiceDiffusionHead,
    VibeVoiceMultiModalProjector,
)

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH, patch_rate_hz
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.errors import ModelError, SpaceError
from vibesweep.models.bundle import BundleModel
from vibesweep.models.clips import EncodedClip
from vibesweep.models.clipwise_attention import CLIPWISE
from vibesweep.models.diffusion import diffusion_loss, objective_named
from vibesweep.models.losses import STOP_CLASS_WEIGHTS, Losses
from vibesweep.models.mel.batch import MelBatch, MelCollator, encode_clip
from vibesweep.models.mel.latents import PatchCodec
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.prompts import PromptBank
from vibesweep.models.qwen2 import Qwen2SpeechModel
from vibesweep.models.speech_change import PROBE_PATCHES, probe_noise
from vibesweep.models.speech_model import Encode

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import Clip


class MelModel(Qwen2SpeechModel, BundleModel):
    """Qwen2 over phonemes and latents, VibeVoice's diffusion head, and a go-on/stop classifier."""

    family = "mel"
    backbone_name = "backbone"
    head_name = "head"
    heads = ("head", "stop")
    connectors = ("connector",)
    edge_layers = (
        r"backbone\.embed_tokens|connector\.linear_1|head\.noisy_images_proj"
        r"|head\.final_layer\.linear_2|stop"
    )
    full_precision = ("codec.",)  # fine-tuning never refits the codec

    def __init__(self, shape: MelShape, phonemes: PhonemeTable, mel: MelSettings) -> None:
        """Make it with fresh weights and an unfitted codec."""
        super().__init__()
        self.shape = shape
        self.phonemes = phonemes
        self.mel = mel
        self.objective = objective_named(shape.objective)
        self.codec = PatchCodec(FRAMES_PER_PATCH, mel.n_mels, shape.latent_size)
        self.backbone = Qwen2Model(_backbone_config(shape, len(phonemes)))
        self.connector = VibeVoiceMultiModalProjector(shape.latent_size, shape.hidden_size)
        self.head = VibeVoiceDiffusionHead(_head_config(shape))
        self.stop = nn.Linear(shape.hidden_size, 2)
        _start_gates_at_zero(self.head)

    def embed(self, ids: Tensor, latents: Tensor, indices: Tensor) -> Tensor:
        """Embed token ids, with the latents at their places.

        Args:
            ids: token ids [1, N].
            latents: latents [P, D], which the connector embeds.
            indices: their places in the row [P].

        Returns:
            Embeddings [1, N, H].
        """
        embedded = cast(Tensor, self.backbone.embed_tokens(ids))
        connected = self.connector(latents).to(embedded.dtype)
        flat = embedded.flatten(0, 1).index_copy(0, indices, connected)
        return flat.view_as(embedded)

    def states(self, batch: MelBatch) -> Tensor:
        """Run the backbone over a row: states [N, H]."""
        embedded = self.embed(batch.ids, batch.inputs, batch.input_indices)
        return self.run_backbone(embedded, batch.positions, batch.starts)

    def forward(self, batch: MelBatch) -> Losses:
        """Sum both losses over the row; a function of the row alone but for LoRA's dropout."""
        states = self.states(batch)
        before = states[batch.spoken_indices - 1]
        repeats = len(batch.noise) // len(batch.targets)
        repeated = before.repeat_interleave(repeats, 0)
        conditions = repeated * batch.keep[:, None]
        latents = batch.targets.repeat_interleave(repeats, 0)
        weights = batch.patch_weights.repeat_interleave(repeats, 0)
        diffusion = diffusion_loss(
            self.head,
            self.objective,
            latents,
            conditions,
            batch.noise,
            batch.levels,
            weights,
            self.total,
        )
        stop = self._stop_loss(batch, before, states[batch.last_indices])
        return Losses(diffusion / repeats, stop)

    def _stop_loss(self, batch: MelBatch, before: Tensor, last: Tensor) -> Tensor:
        """Sum the class-weighted cross-entropy.

        "Go on" is right before each patch [S, H], "stop" at each clip's last one [C, H].
        """
        go_on_weight, stop_weight = STOP_CLASS_WEIGHTS
        before_logits = self.stop(before).float()
        last_logits = self.stop(last).float()
        go_on = before_logits.log_softmax(-1)[:, 0] * batch.patch_weights
        stop = last_logits.log_softmax(-1)[:, 1] * batch.clip_weights
        return -(go_on_weight * self.total(go_on) + stop_weight * self.total(stop))

    def encode(self, clip: Clip) -> EncodedClip:
        """Encode one clip: phonemes to ids, log-mels to latents."""
        return encode_clip(clip, self.phonemes, self.codec, patch_rate_hz(self.mel))

    def encoder(self) -> Encode:
        """Return an encoder that holds the phoneme table and the codec alone."""
        codec = copy.deepcopy(self.codec).cpu()
        rate_hz = patch_rate_hz(self.mel)
        return partial(encode_clip, table=self.phonemes, codec=codec, patch_rate_hz=rate_hz)

    def probe(self) -> EncodedClip:
        """Make a clip in which the first phonemes of the table are said."""
        symbols = self.phonemes.to_json()["symbols"][:PROBE_PATCHES]
        ids = self.phonemes.encode(symbols)
        latents = probe_noise(PROBE_PATCHES, self.shape.latent_size)
        return EncodedClip("probe", ("nobody",), ((0, tuple(ids)),), latents, ())

    def collator(self, voices: Sequence[EncodedClip]) -> MelCollator:
        """Make a collator with prompts from these clips."""
        prompts = PromptBank(voices, self.shape.prompt_patches)
        return MelCollator(self.shape, prompts)

    def voice_prompts(self, clips: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """Take the loudest stretch of a prompt's length that each person speaks."""
        prompts = PromptBank(clips, self.shape.prompt_patches)
        return prompts.loudest(self._loudness)

    def _loudness(self, latents: Tensor) -> Tensor:
        """Return the mean log-mel [P] of each of the latents [P, D]."""
        log_mel = self.codec.decode(latents)
        by_frame = log_mel.mean(1)
        by_patch = by_frame.view(len(latents), -1)
        return by_patch.mean(1)

    def describe(self) -> dict[str, Any]:
        """Say sizes, mel settings and phoneme table."""
        return {
            "shape": asdict(self.shape),
            "mel": asdict(self.mel),
            "phonemes": self.phonemes.to_json(),
        }

    def data_format(self) -> dict[str, Any]:
        """Say sample rate, level and a hash of the phoneme table."""
        return {
            "sample_rate_hz": self.mel.sample_rate_hz,
            "level_dbfs": self.mel.level_dbfs,
            "phoneme_table": self.phonemes.fingerprint,
        }

    @classmethod
    def from_description(cls, description: dict[str, Any], where: Path) -> MelModel:
        """Make the model with empty weights.

        Raises:
            ModelError: the description lacks a part, or has one that this version does not know.
        """
        try:
            table = PhonemeTable.from_json(description["phonemes"])
            shape = MelShape(**description["shape"])
            mel = MelSettings(**description["mel"])
        except (KeyError, TypeError, SpaceError) as error:
            found = f"the model's description does not fit: {error}"
            raise ModelError(found, where=str(where), fix="export it again") from error
        return cls(shape, table, mel)


def _backbone_config(shape: MelShape, vocabulary: int) -> Qwen2Config:
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.ffn_size,
        max_position_embeddings=shape.max_positions,
    )
    config._attn_implementation = CLIPWISE
    return config


def _head_config(shape: MelShape) -> VibeVoiceDiffusionHeadConfig:
    return VibeVoiceDiffusionHeadConfig(
        hidden_size=shape.hidden_size,
        latent_size=shape.latent_size,
        num_hidden_layers=shape.head_layers,
        intermediate_size=shape.ffn_size,
    )


def _start_gates_at_zero(head: VibeVoiceDiffusionHead) -> None:
    """Start every AdaLN gate and the last layer at zero, as VibeVoice's own code does.

    Source: Peebles and Xie 2023, "adaLN-Zero".
    """
    final = head.final_layer
    gates = [layer.linear for layer in head.layers]
    for linear in (*gates, final.linear_1, final.linear_2):
        nn.init.zeros_(cast(nn.Linear, linear).weight)
