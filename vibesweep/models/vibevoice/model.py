"""The family ``vibevoice``: Microsoft's VibeVoice, by transformers' own classes, under an objective of our own.

transformers' ``VibeVoiceForConditionalGeneration.forward`` is not used: its loss shows the head the latent that it is to predict, draws
ten of a thousand time-steps, and never teaches "go on" (docs/design/vibevoice.md). What generation computes is what is trained here:
the state before each latent conditions the head, speech comes back with its semantic embedding and voice prompts without, and the
choice between "go on", "stop" and the rest is made among the four tokens that generation may choose from.

Shapes: ``B`` clips, ``L`` positions, ``P`` latent positions, ``S`` latents to be spoken, ``R`` noise repeats, ``D`` latent size, ``H``
hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import AutoModel
from transformers.models.vibevoice.modeling_vibevoice import (
    VibeVoiceDiffusionHead,
    VibeVoiceMultiModalProjector,
)

from vibesweep.corpus.shards.schema import FEATURE_ROW_COLUMNS
from vibesweep.errors import ModelError
from vibesweep.models.diffusion import VPrediction, diffusion_loss
from vibesweep.models.family import ClipCounts, EncodedClip, Ints, Losses
from vibesweep.models.prompts import PromptBank
from vibesweep.models.qwen2 import Qwen2SpeechModel
from vibesweep.models.vibevoice.batch import (
    PROMPT_PATCHES,
    LatentRules,
    Silence,
    VibeVoiceBatch,
    VibeVoiceCollator,
)
from vibesweep.models.vibevoice.checkpoint import Checkpoint, transformers_name
from vibesweep.models.vibevoice.rows import check_rows, encode_row, silence_of, unit_rules
from vibesweep.models.vibevoice.text import SpecialIds, TextLayout
from vibesweep.storage import StorageAddress

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.corpus.shards.schema import Clip

class VibeVoiceModel(Qwen2SpeechModel):
    """The language model, both connectors and the diffusion head of a checkpoint: all of it but the tokenizers of sound.

    The modules have transformers' names. Neither encoder is here: shards hold what they said.
    """

    family = "vibevoice"
    backbone_name = "language_model"
    head_name = "diffusion_head"
    heads = ("diffusion_head",)
    connectors = ("multi_modal_projector", "semantic_connector")
    edge_layers = r"embed_tokens|lm_head|(multi_modal_projector|semantic_connector)\.linear_1|noisy_images_proj|final_layer\.linear_2"
    stop_weights = (
        1.0,
        2.0,
    )  # a clip's end is two tokens, "end" and "close"; unweighted, as generation takes the likeliest
    columns = FEATURE_ROW_COLUMNS
    takes_silence = True

    latent_scaling_factor: Tensor
    latent_bias_factor: Tensor

    def __init__(self, config: Any) -> None:
        """Make it with fresh weights, by a ``VibeVoiceConfig``."""
        super().__init__()
        self.config = config
        self.objective = VPrediction()
        self.special = SpecialIds.of(config)
        hidden = config.text_config.hidden_size
        self.language_model = AutoModel.from_config(config.text_config, attn_implementation="sdpa")
        self.multi_modal_projector = VibeVoiceMultiModalProjector(
            config.audio_config.hidden_size, hidden
        )
        self.semantic_connector = VibeVoiceMultiModalProjector(
            config.semantic_model_config.hidden_size, hidden
        )
        self.diffusion_head = VibeVoiceDiffusionHead(config.diffusion_head_config)
        # Only four of its rows are ever computed, so it is looked up in, like the embeddings that it is where they are tied
        self.lm_head = (
            None
            if config.tie_word_embeddings
            else nn.Embedding(config.text_config.vocab_size, hidden)
        )
        self.register_buffer("latent_scaling_factor", torch.tensor(1.0))
        self.register_buffer("latent_bias_factor", torch.tensor(0.0))
        self.register_buffer(
            "choices", torch.tensor([*vars(self.special).values()]), persistent=False
        )
        self.checkpoint: Checkpoint | None = None
        self._layout: TextLayout | None = None
        self._silence: Silence | None = None

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> VibeVoiceModel:
        """Load what is trained of a checkpoint, in float32.

        Raises:
            ModelError: its tensors or its tokenizer do not fit its configuration.
        """
        layout = TextLayout.load(checkpoint.folder, checkpoint.config)
        with init_empty_weights(include_buffers=False):
            model = cls(checkpoint.config)
        model.load_state_dict(_stored(model, checkpoint), strict=False, assign=True)
        scale, bias = checkpoint.scale_and_bias or (1.0, 0.0)
        model.latent_scaling_factor.fill_(scale)
        model.latent_bias_factor.fill_(bias)
        model.checkpoint, model._layout = checkpoint, layout
        model.requires_grad_(False)
        return model.eval()

    @property
    def layout(self) -> TextLayout:
        """Of the checkpoint's scripts."""
        assert self._layout is not None, "a model that was read from a checkpoint"
        return self._layout

    @property
    def rules(self) -> LatentRules:
        """Of the checkpoint's latents."""
        return LatentRules(
            self.latent_scaling_factor.item(),
            self.latent_bias_factor.item(),
            self.config.audio_config.vae_std,
        )

    def embed(
        self, ids: Tensor, latents: Tensor, places: Tensor, semantic: Tensor, speech: Tensor
    ) -> Tensor:
        """Embed ids [B, L] with the connected latents [P, D] at their flat places [P]: [B, L, H].

        The rows ``speech`` [S] of the latents are what the model says itself; to these the semantic features [S, F] are added.
        """
        embedded = cast(Tensor, self.language_model.embed_tokens(ids))
        connected: Tensor = self.multi_modal_projector(latents)
        connected = connected.index_add(
            0, speech, self.semantic_connector(semantic).to(connected.dtype)
        )
        whole: Tensor = (
            embedded.flatten(0, 1)
            .index_copy(0, places, connected.to(embedded.dtype))
            .view_as(embedded)
        )
        return whole

    def states(self, batch: VibeVoiceBatch) -> Tensor:
        """Return the backbone's states, flat [B*L, H]. Padding is on the right of a causal model, so no mask is needed."""
        embedded = self.embed(batch.ids, batch.inputs, batch.places, batch.semantic, batch.speech)
        states: Tensor = self.language_model(
            inputs_embeds=embedded, use_cache=False
        ).last_hidden_state
        return states.flatten(0, 1)

    def forward(self, batch: VibeVoiceBatch) -> Losses:
        """Sum both losses over the batch; a function of the batch alone but for dropout."""
        states = self.states(batch)
        before = states[batch.spoken - 1]
        repeats = len(batch.noise) // len(batch.targets)
        conditions, latents = (
            part.repeat_interleave(repeats, 0) for part in (before, batch.targets)
        )
        diffusion = diffusion_loss(
            self.diffusion_head, self.objective, latents, conditions, batch.noise, batch.levels
        )
        return Losses(
            diffusion / repeats, self._stop_loss(before, states[batch.ends], states[batch.ends + 1])
        )

    def _stop_loss(self, before: Tensor, last: Tensor, ended: Tensor) -> Tensor:
        """Cross-entropy, among the tokens that generation may choose, of "latent" before each latent [S, H], of "end" at the last [B, H],
        and of "close" after it [B, H]."""  # noqa: D205, D209
        table = cast(nn.Embedding, self.lm_head or self.language_model.embed_tokens)
        choices = table(self.choices)
        going_on, ending, closing = (
            (states @ choices.T).float().log_softmax(-1) for states in (before, last, ended)
        )
        _, latent, end, close = range(len(choices))
        return cast(
            Tensor, -(going_on[:, latent].sum() + ending[:, end].sum() + closing[:, close].sum())
        )

    @classmethod
    def lengths(cls, clips: ClipCounts) -> tuple[Ints, Ints]:
        """Latents; a position for each, each token of the script, and each person's voice prompt of full length."""
        return clips.latents, clips.latents + clips.tokens + clips.people * PROMPT_PATCHES

    @classmethod
    def check_shards(
        cls, description: Mapping[str, Any], manifest: Manifest, where: str
    ) -> str | None:
        """Refuse shards without features, with another checkpoint's, with too many speakers, or longer than the context."""
        check_rows(Checkpoint.open(description["checkpoint"]), manifest, where)
        return None

    def take_from(self, shards: StorageAddress) -> None:
        """Take the features of silence; and the latents' scale and bias, where the checkpoint was saved before they were known."""
        self._silence = silence_of(shards)
        if self.checkpoint is not None and self.checkpoint.scale_and_bias is None:
            scale, bias = unit_rules(shards, self.config.audio_config.vae_std)
            self.latent_scaling_factor.fill_(scale)
            self.latent_bias_factor.fill_(bias)

    def encode(self, row: Clip) -> EncodedClip:
        """Take a row's features and render its script."""
        return encode_row(row, self.layout)

    def encoder(self) -> Callable[[Clip], EncodedClip]:
        """The tokenizer alone."""
        return partial(encode_row, layout=self.layout)

    def collator(self, voices: Sequence[EncodedClip]) -> VibeVoiceCollator:
        """Make a collator with prompts from these examples."""
        return VibeVoiceCollator(
            self.special, self.rules, PromptBank(voices, PROMPT_PATCHES), self._silence
        )

    def describe(self) -> dict[str, Any]:
        """Where the checkpoint lies: it says all else."""
        assert self.checkpoint is not None
        return {"checkpoint": str(self.checkpoint.folder)}

    @classmethod
    def from_description(cls, description: dict[str, Any], where: Path) -> VibeVoiceModel:
        """Open the checkpoint and load it."""
        return cls.from_checkpoint(Checkpoint.open(description["checkpoint"]))

    def voice_prompts(self, examples: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """None: VibeVoice is spoken with from recordings, and latents cannot be handed to its processor."""
        return {}


def _stored(model: VibeVoiceModel, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A checkpoint's values of a model's parameters, in float32."""
    own = {transformers_name(name): (name, part.shape) for name, part in model.named_parameters()}
    found = {}
    for stored, tensor in checkpoint.read(own):
        name, shape = own[stored]
        if tensor.shape != shape:
            wrong = f"{stored} is {tuple(tensor.shape)}, and {tuple(shape)} by the configuration"
            raise ModelError(
                wrong, where=str(checkpoint.folder), fix="download or copy the checkpoint again"
            )
        found[name] = tensor.float()
    return found
