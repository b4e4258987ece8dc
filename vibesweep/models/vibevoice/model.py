"""The network of the family ``vibevoice``: transformers' classes under an objective of our own.

transformers' ``VibeVoiceForConditionalGeneration.forward`` is not used: its loss shows the head the
latent that it is to predict, draws ten of a thousand time-steps, and never teaches "go on"
(docs/design/vibevoice.md). What generation computes is what is trained here: the state before each
latent conditions the head, speech comes back with its semantic embedding and voice prompts without,
and the choice between "go on", "stop" and the rest is made among the four tokens that generation
may choose from.

Shapes: ``C`` clips, ``N`` tokens of a row, ``P`` latents (prompts and speech), ``S`` latents to be
spoken, ``R`` noise repeats, ``D`` latent size, ``E`` semantic size, ``H`` hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import AutoModel
from transformers.models.vibevoice.modeling_vibevoice import (
    VibeVoiceDiffusionHead,
    VibeVoiceMultiModalProjector,
)

from vibesweep.errors import ModelError
from vibesweep.models.clips import EncodedClip, latents_in
from vibesweep.models.clipwise_attention import CLIPWISE
from vibesweep.models.diffusion import VPrediction, diffusion_loss
from vibesweep.models.losses import Losses
from vibesweep.models.prompts import PromptBank
from vibesweep.models.qwen2 import Qwen2SpeechModel
from vibesweep.models.speech_change import PROBE_PATCHES, PROBE_TEXT, probe_noise
from vibesweep.models.speech_model import Encode
from vibesweep.models.vibevoice.batch import VibeVoiceBatch, VibeVoiceCollator
from vibesweep.models.vibevoice.checkpoint import Checkpoint, transformers_name
from vibesweep.models.vibevoice.clips import (
    PROMPT_PATCHES,
    EncodedVibeVoiceClip,
    LatentRules,
    Silence,
)
from vibesweep.models.vibevoice.features import (
    SILENCE_S,
    encode_clip,
    read_silence,
    scale_and_bias,
)
from vibesweep.models.vibevoice.text import SpecialIds, TextLayout

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import Clip
    from vibesweep.storage import StorageAddress


class VibeVoiceModel(Qwen2SpeechModel):
    """The language model, both connectors and the diffusion head of a checkpoint.

    The modules have transformers' names. The tokenizers of sound are not here: shards hold what
    their encoders made.
    """

    family = "vibevoice"
    backbone_name = "language_model"
    head_name = "diffusion_head"
    heads = ("diffusion_head",)
    connectors = ("multi_modal_projector", "semantic_connector")
    edge_layers = (
        r"embed_tokens|lm_head|(multi_modal_projector|semantic_connector)\.linear_1"
        r"|noisy_images_proj|final_layer\.linear_2"
    )
    # A clip's end is two tokens, "end" and "close"; generation takes the likeliest, so unweighted
    stop_weights = (1.0, 2.0)
    prompt_tokens = PROMPT_PATCHES

    latent_scaling_factor: Tensor
    latent_bias_factor: Tensor

    def __init__(self, config: Any) -> None:
        """Make it with fresh weights, by a ``VibeVoiceConfig``."""
        super().__init__()
        self.config = config
        self.objective = VPrediction()
        self.special = SpecialIds.of(config)
        text, acoustic = config.text_config, config.audio_config
        hidden = text.hidden_size
        semantic_size = config.semantic_model_config.hidden_size
        self.language_model = AutoModel.from_config(text, attn_implementation=CLIPWISE)
        self.multi_modal_projector = VibeVoiceMultiModalProjector(acoustic.hidden_size, hidden)
        self.semantic_connector = VibeVoiceMultiModalProjector(semantic_size, hidden)
        self.diffusion_head = VibeVoiceDiffusionHead(config.diffusion_head_config)
        # Only four of its rows are ever computed, so it is an embedding that is looked up in
        tied = config.tie_word_embeddings
        self.lm_head = None if tied else nn.Embedding(text.vocab_size, hidden)
        self.register_buffer("latent_scaling_factor", torch.tensor(1.0))
        self.register_buffer("latent_bias_factor", torch.tensor(0.0))
        special = self.special
        choices = torch.tensor([special.begin, special.latent, special.end, special.close])
        self.register_buffer("choices", choices, persistent=False)
        self.checkpoint: Checkpoint | None = None
        self._layout: TextLayout | None = None
        self._silence = Silence.none(acoustic.hidden_size, semantic_size)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> VibeVoiceModel:
        """Load what is trained of a checkpoint, in float32.

        Raises:
            ModelError: its tensors or its tokenizer do not fit its configuration.
        """
        layout = TextLayout.load(checkpoint.folder, checkpoint.config)
        with init_empty_weights(include_buffers=False):
            model = cls(checkpoint.config)
        weights, model.stored_dtype = _stored(model, checkpoint)
        model.load_state_dict(weights, strict=False, assign=True)
        scale, bias = checkpoint.scale_and_bias or (1.0, 0.0)
        model._set_scale_and_bias(scale, bias)
        model.checkpoint = checkpoint
        model._layout = layout
        model.requires_grad_(False)
        return model.eval()

    @property
    def layout(self) -> TextLayout:
        """Layout of the checkpoint's scripts."""
        assert self._layout is not None, "a model that was read from a checkpoint"
        return self._layout

    @property
    def silence_patches(self) -> int:
        """As many latents of silence as lie beside any shards."""
        return latents_in(SILENCE_S)

    @property
    def rules(self) -> LatentRules:
        """How the checkpoint's latents are noised and scaled."""
        return LatentRules(
            scale=self.latent_scaling_factor.item(),
            bias=self.latent_bias_factor.item(),
            vae_std=self.config.audio_config.vae_std,
        )

    def embed(
        self,
        ids: Tensor,
        latents: Tensor,
        indices: Tensor,
        semantic: Tensor,
        speech_rows: Tensor,
    ) -> Tensor:
        """Embed token ids, with the latents at their places.

        Args:
            ids: token ids [1, N].
            latents: scaled latents [P, D], which the acoustic connector embeds.
            indices: their places in the row [P].
            semantic: semantic features [S, E] of what the model says itself; their embeddings are
                added to those of the latents.
            speech_rows: which rows of the latents are what the model says itself [S].

        Returns:
            Embeddings [1, N, H].
        """
        embedded = cast(Tensor, self.language_model.embed_tokens(ids))
        connected: Tensor = self.multi_modal_projector(latents)
        meaning = self.semantic_connector(semantic).to(connected.dtype)
        heard = connected.index_add(0, speech_rows, meaning)
        heard = heard.to(embedded.dtype)
        flat = embedded.flatten(0, 1).index_copy(0, indices, heard)
        return flat.view_as(embedded)

    def states(self, batch: VibeVoiceBatch) -> Tensor:
        """Run the backbone over a row: states [N, H]."""
        embedded = self.embed(
            batch.ids, batch.inputs, batch.input_indices, batch.semantic, batch.speech_rows
        )
        return self.run_backbone(embedded, batch.positions, batch.starts)

    def forward(self, batch: VibeVoiceBatch) -> Losses:
        """Sum both losses over the row; a function of the row alone but for dropout."""
        states = self.states(batch)
        before = states[batch.spoken_indices - 1]
        repeats = len(batch.noise) // len(batch.targets)
        conditions = before.repeat_interleave(repeats, 0)
        latents = batch.targets.repeat_interleave(repeats, 0)
        weights = batch.patch_weights.repeat_interleave(repeats, 0)
        diffusion = diffusion_loss(
            self.diffusion_head,
            self.objective,
            latents,
            conditions,
            batch.noise,
            batch.levels,
            weights,
            self.total,
        )
        last = states[batch.last_indices]
        ended = states[batch.last_indices + 1]
        stop = self._stop_loss(batch, before, last, ended)
        return Losses(diffusion / repeats, stop)

    def _stop_loss(
        self, batch: VibeVoiceBatch, before: Tensor, last: Tensor, ended: Tensor
    ) -> Tensor:
        """Sum the cross-entropy among the four tokens that generation may choose.

        "Latent" is right before each latent [S, H], "end" at the last one [C, H], and "close" after
        it [C, H].
        """
        tied = self.lm_head is None
        table = self.language_model.embed_tokens if tied else self.lm_head
        weights: Tensor = cast(nn.Embedding, table)(self.choices)
        _, latent, end, close = range(len(weights))  # in the order of ``choices``

        def log_likelihood(states: Tensor, choice: int, counts: Tensor) -> Tensor:
            logits = states @ weights.T
            log_probabilities = logits.float().log_softmax(-1)
            return self.total(log_probabilities[:, choice] * counts)

        go_on = log_likelihood(before, latent, batch.patch_weights)
        stop = log_likelihood(last, end, batch.clip_weights)
        closed = log_likelihood(ended, close, batch.clip_weights)
        return -(go_on + stop + closed)

    def take_from(self, shards: StorageAddress) -> None:
        """Take the features of silence, and the latents' scale and bias where they are unknown.

        Some checkpoints were saved before these were known.
        """
        self._silence = read_silence(shards)
        checkpoint = self.checkpoint
        if checkpoint is not None and checkpoint.scale_and_bias is None:
            vae_std = self.config.audio_config.vae_std
            scale, bias = scale_and_bias(shards, vae_std)
            self._set_scale_and_bias(scale, bias)

    def _set_scale_and_bias(self, scale: float, bias: float) -> None:
        self.latent_scaling_factor.fill_(scale)
        self.latent_bias_factor.fill_(bias)

    def encode(self, clip: Clip) -> EncodedClip:
        """Take a clip's features and render its script."""
        return encode_clip(clip, self.layout)

    def encoder(self) -> Encode:
        """Return an encoder that holds the tokenizer alone."""
        return partial(encode_clip, layout=self.layout)

    def probe(self) -> EncodedClip:
        """Make a clip of one text, whose scaled latents and semantic features are noise."""
        script = [(0, PROBE_TEXT)]
        rules = self.rules
        scaled = probe_noise(PROBE_PATCHES, self.config.audio_config.hidden_size)
        return EncodedVibeVoiceClip(
            id="probe",
            people=("nobody",),
            turns=(),
            latents=scaled / rules.scale - rules.bias,
            stretches=(),
            semantic=probe_noise(PROBE_PATCHES, self.config.semantic_model_config.hidden_size),
            bare_ids=tuple(self.layout.ids(script, voiced=False)),
            voiced_ids=tuple(self.layout.ids(script, voiced=True)),
        )

    def collator(self, voices: Sequence[EncodedClip]) -> VibeVoiceCollator:
        """Make a collator with prompts from these clips."""
        prompts = PromptBank(voices, PROMPT_PATCHES)
        return VibeVoiceCollator(self.special, self.rules, prompts, self._silence)

    def voice_prompts(self, clips: Sequence[EncodedClip]) -> dict[str, Tensor]:
        """Choose none: VibeVoice takes voices from recordings, not from latents."""
        return {}


def _stored(model: VibeVoiceModel, checkpoint: Checkpoint) -> tuple[dict[str, Tensor], torch.dtype]:
    """Read a checkpoint's values of a model's parameters, in float32.

    Returns:
        The values by name, and the type that holds all of them as they are stored.
    """
    own = {}
    for name, part in model.named_parameters():
        own[transformers_name(name)] = (name, part.shape)
    found = {}
    dtypes = set()
    for stored_name, tensor in checkpoint.read(own):
        name, shape = own[stored_name]
        if tensor.shape != shape:
            stored_shape = tuple(tensor.shape)
            wrong = f"{stored_name} is {stored_shape}, and {tuple(shape)} by the configuration"
            fix = "download or copy the checkpoint again"
            raise ModelError(wrong, where=str(checkpoint.folder), fix=fix)
        dtypes.add(tensor.dtype)
        found[name] = tensor.float()
    is_bf16 = dtypes == {torch.bfloat16}
    return found, torch.bfloat16 if is_bf16 else torch.float32
