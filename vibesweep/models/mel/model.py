"""The family ``mel``: VibeVoice's architecture on PCA-projected log-mel patches.

Shapes: ``B`` clips, ``L`` positions, ``P`` latent positions of the batch (prompts and speech), ``S`` patches to be spoken, ``R`` noise
repeats, ``D`` latent size, ``H`` hidden size. A flat place is row x L + column.

One sequence a clip::

    BOS  SPK0 ▒▒▒▒  SPK1 ▒▒▒▒   SPK0 phonemes…  SPK1 phonemes…   SPEECH ▓▓▓▓▓▓▓▓▓▓
         a voice prompt each    the turns                         the latents to be spoken

The hidden state *before* each ▓ conditions the head that denoises it, and says "go on" or, after the last, "stop".
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from vibesweep.corpus.shards.schema import SHARD_ROW_COLUMNS
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH, patch_rate_hz
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.diffusion import diffusion_loss, objective_named
from vibesweep.models.family import STOP_CLASS_WEIGHTS, ClipCounts, EncodedClip, Ints, Losses
from vibesweep.models.mel.batch import MelBatch, MelCollator, encode_row
from vibesweep.models.mel.latents import PatchCodec
from vibesweep.models.prompts import PromptBank
from vibesweep.models.qwen2 import Qwen2SpeechModel

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.corpus.shards.schema import Clip

MOST_UNKNOWN = 0.01
"""Share of a corpus's phonemes that a base may lack: a foreign name here and there, and no language."""


@dataclass(frozen=True)
class MelShape:
    """LossNormalizer of the network and the fixed parts of its objective. The defaults are ``mel-tiny``, 7.5 M parameters.

    Attributes:
        hidden_size: ``H``.
        layers: of the Qwen2 backbone.
        heads: attention heads.
        kv_heads: key and value heads.
        ffn_size: of the backbone's and the head's feed-forward layers.
        head_layers: AdaLN layers of the diffusion head.
        latent_size: ``D``.
        max_positions: longest sequence.
        objective: ``flow`` or ``v``.
        noise_repeats: ``R``, noised copies of each latent in a step (VibeVoice: 4).
        prompt_patches: longest voice prompt; 15 are two seconds.
        prompt_drop: how often a speaker's prompt is left out in training.
        condition_drop: how often a condition is zeroed in training, for guidance.
        input_noise: spread of the noise on the latents that the backbone reads in training, so that it forgives its own mistakes.
    """

    hidden_size: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn_size: int = 768
    head_layers: int = 3
    latent_size: int = 64
    max_positions: int = 2_048
    objective: str = "flow"
    noise_repeats: int = 4
    prompt_patches: int = 15
    prompt_drop: float = 0.1
    condition_drop: float = 0.1
    input_noise: float = 0.1


class MelModel(Qwen2SpeechModel):
    """Qwen2 over phonemes and latents, VibeVoice's diffusion head on the state before each latent, and a go-on/stop classifier."""

    family = "mel"
    backbone_name = "backbone"
    head_name = "head"
    heads = ("head", "stop")
    connectors = ("connector",)
    columns = SHARD_ROW_COLUMNS
    edge_layers = r"backbone\.embed_tokens|connector\.linear_1|head\.noisy_images_proj|head\.final_layer\.linear_2|stop"

    def __init__(self, shape: MelShape, phonemes: PhonemeTable, mel: MelSettings) -> None:
        """Make it with fresh weights and an unfitted codec."""
        super().__init__()
        self.shape, self.phonemes, self.mel = shape, phonemes, mel
        self.objective = objective_named(shape.objective)
        self.codec = PatchCodec(FRAMES_PER_PATCH, mel.n_mels, shape.latent_size)
        self.backbone = Qwen2Model(_backbone_config(shape, len(phonemes)))
        self.connector = VibeVoiceMultiModalProjector(shape.latent_size, shape.hidden_size)
        self.head = VibeVoiceDiffusionHead(_head_config(shape))
        self.stop = nn.Linear(shape.hidden_size, 2)
        _open_gently(self.head)

    def embed(self, ids: Tensor, latents: Tensor, places: Tensor) -> Tensor:
        """Embed ids [B, L], with the connected latents [P, D] at the flat places [P] among the B*L positions: [B, L, H]."""
        embedded = cast(Tensor, self.backbone.embed_tokens(ids))
        connected = self.connector(latents).to(embedded.dtype)
        whole: Tensor = embedded.flatten(0, 1).index_copy(0, places, connected).view_as(embedded)
        return whole

    def states(self, batch: MelBatch) -> Tensor:
        """Return the backbone's states, flat [B*L, H]. Padding is on the right of a causal model, so no mask is needed."""
        embedded = self.embed(batch.ids, batch.inputs, batch.places)
        states: Tensor = self.backbone(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return states.flatten(0, 1)

    def forward(self, batch: MelBatch) -> Losses:
        """Sum both losses over the batch; a function of the batch alone but for LoRA's dropout."""
        states = self.states(batch)
        before = states[batch.spoken - 1]
        repeats = len(batch.noise) // len(batch.targets)
        conditions = before.repeat_interleave(repeats, 0) * batch.keep[:, None]
        latents = batch.targets.repeat_interleave(repeats, 0)
        diffusion = diffusion_loss(
            self.head, self.objective, latents, conditions, batch.noise, batch.levels
        )
        return Losses(diffusion / repeats, self._stop_loss(before, states[batch.ends]))

    def _stop_loss(self, before: Tensor, last: Tensor) -> Tensor:
        """Cross-entropy of "go on" before each patch [S, H] and of "stop" at each clip's last [B, H]."""
        going_on, stopping = (
            self.stop(states).float().log_softmax(-1) for states in (before, last)
        )
        on_weight, stop_weight = STOP_CLASS_WEIGHTS
        weighted: Tensor = on_weight * going_on[:, 0].sum() + stop_weight * stopping[:, 1].sum()
        return -weighted

    @classmethod
    def check_shards(
        cls, description: Mapping[str, Any], manifest: Manifest, where: str
    ) -> str | None:
        """Refuse other mel settings, and a language whose phonemes this model lacks; name the odd one that it lacks."""
        mel = MelSettings(**description["mel"])
        if manifest.mel != mel:
            found = f"the shards were made with {manifest.mel}, the model with {mel}"
            raise ShardsError(
                found, where=where, fix="preprocess the corpus again with the model's settings"
            )
        if unspoken := manifest.warnings.get("unspoken"):
            fix = "preprocess the corpus without --model, and with its --language"
            raise ShardsError(
                f"{unspoken} recordings have turns without phonemes, which a mel base reads",
                where=where,
                fix=fix,
            )
        missing = PhonemeTable.from_json(description["phonemes"]).missing(manifest.symbols)
        if not missing:
            return None
        counts = Counter({symbol: manifest.symbols[symbol] for symbol in missing})
        names = ", ".join(f"{symbol!r} ({count})" for symbol, count in counts.most_common())
        if counts.total() > MOST_UNKNOWN * sum(manifest.symbols.values()):
            fix = "remove the texts that hold them, or train a base on such speech (examples/train_base.py)"
            raise ShardsError(
                f"the model has no token for the phonemes {names}", where=where, fix=fix
            )
        return f"the model has no token for the phonemes {names}; they are left out"

    @classmethod
    def lengths(cls, clips: ClipCounts) -> tuple[Ints, Ints]:
        """Whole patches; a position for each of them, each phoneme and each turn's tag."""
        patches = clips.frames // FRAMES_PER_PATCH
        return patches, patches + clips.phonemes + clips.turns

    def encode(self, row: Clip) -> EncodedClip:
        """Encode one row: phonemes to ids, log-mel to latents."""
        return encode_row(row, self.phonemes, self.codec, patch_rate_hz(self.mel))

    def encoder(self) -> Callable[[Clip], EncodedClip]:
        """Phoneme table and codec alone."""
        codec = copy.deepcopy(self.codec).cpu()
        return partial(
            encode_row, table=self.phonemes, codec=codec, patch_rate_hz=patch_rate_hz(self.mel)
        )

    def collator(self, voices: Sequence[EncodedClip]) -> MelCollator:
        """Make a collator with prompts from these examples."""
        return MelCollator(self.shape, PromptBank(voices, self.shape.prompt_patches))

    def describe(self) -> dict[str, Any]:
        """LossNormalizer, mel settings and phoneme table."""
        return {
            "shape": asdict(self.shape),
            "mel": asdict(self.mel),
            "phonemes": self.phonemes.to_json(),
        }

    @classmethod
    def from_description(cls, description: dict[str, Any], where: Path) -> MelModel:
        """Make the model with empty weights.

        Raises:
            ModelError: the description lacks a part or holds one that this version does not know.
        """
        try:
            table = PhonemeTable.from_json(description["phonemes"])
            return cls(MelShape(**description["shape"]), table, MelSettings(**description["mel"]))
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"the model's description does not fit: {error}",
                where=str(where),
                fix="export it again",
            ) from error

    def voice_prompts(self, examples: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """The longest stretch that each person speaks, cut to the prompt's length."""
        return PromptBank(examples, self.shape.prompt_patches).longest()


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
    config._attn_implementation = "sdpa"
    return config


def _head_config(shape: MelShape) -> VibeVoiceDiffusionHeadConfig:
    return VibeVoiceDiffusionHeadConfig(
        hidden_size=shape.hidden_size,
        latent_size=shape.latent_size,
        num_hidden_layers=shape.head_layers,
        intermediate_size=shape.ffn_size,
    )


def _open_gently(head: VibeVoiceDiffusionHead) -> None:
    """Start every AdaLN gate and the last layer at zero (Peebles and Xie 2023, "adaLN-Zero"), as VibeVoice's own code does."""
    final = head.final_layer
    for linear in (*(layer.linear for layer in head.layers), final.linear_1, final.linear_2):
        nn.init.zeros_(cast(nn.Linear, linear).weight)
