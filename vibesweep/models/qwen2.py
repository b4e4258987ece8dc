"""What families share that have a Qwen2 backbone and a VibeVoice diffusion head of transformers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import torch
from torch import Tensor, nn

from vibesweep.errors import ModelError
from vibesweep.models.clips import EncodedClip
from vibesweep.models.clipwise_attention import NO_MASK
from vibesweep.models.diffusion import Objective
from vibesweep.models.speech_change import PROBE_STEPS
from vibesweep.models.speech_model import SpeechModel


class Qwen2SpeechModel(SpeechModel):
    """A family with a Qwen2 backbone; it names its backbone and its diffusion head."""

    takes_one_shape = True

    backbone_name: str
    """Name of the submodule that is a ``Qwen2Model``."""

    head_name: str
    """Name of the submodule that is a ``VibeVoiceDiffusionHead``."""

    objective: Objective

    @abstractmethod
    def states(self, batch: Any) -> Tensor:
        """Run the backbone over a row: states [N, H]."""

    def run_backbone(self, embedded: Tensor, positions: Tensor, starts: Tensor) -> Tensor:
        """Run the backbone over a row of clips that do not see each other.

        Args:
            embedded: embeddings [1, N, H].
            positions: each token's place in its clip [1, N].
            starts: where each clip starts, and where the last one ends [C + 1].

        Returns:
            States [N, H].
        """
        tokens = embedded.shape[1]
        seats = 1 if self.seats is None else self.seats
        output = self._backbone(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=NO_MASK,
            starts=starts,
            longest=tokens // seats,  # no clip is longer than its trial's row
            use_cache=False,
        )
        states: Tensor = output.last_hidden_state
        return states.squeeze(0)

    @abstractmethod
    def probe(self) -> EncodedClip:
        """Make the clip that a base and what was tuned of it are compared on."""

    @torch.inference_mode()
    def predict_probe(self) -> Tensor:
        """Predict each latent [P, D] of :meth:`probe`; the model is in eval mode."""
        batch = self.collator([]).validation([self.probe()], 1)
        before = self.states(batch)[batch.spoken_indices - 1]
        head = self.get_submodule(self.head_name)

        def predict(noisy: Tensor, times: Tensor) -> Tensor:
            predicted: Tensor = head(noisy, times, before)
            return predicted

        return self.objective.sample(predict, batch.noise, PROBE_STEPS)

    @property
    def _backbone(self) -> Any:
        return self.get_submodule(self.backbone_name)

    def lora_pattern(self, targets: str) -> str:
        """Match the attention projections of the backbone.

        With ``attention+mlp`` also its feed-forward layers and those of the head.
        """
        attention = rf"{self.backbone_name}\.layers\.\d+\.self_attn\.[qkvo]_proj"
        backbone_mlp = rf"{self.backbone_name}\.layers\.\d+\.mlp"
        head_mlp = rf"{self.head_name}\.layers\.\d+\.ffn"
        mlp = rf"({backbone_mlp}|{head_mlp})\.(gate|up|down)_proj"
        patterns = {
            "attention": attention,
            "attention+mlp": f"({attention}|{mlp})",
        }
        return patterns[targets]

    def freeze_lowest(self, layers: int) -> None:
        """Stop the embeddings and the lowest ``layers`` layers of the backbone from training.

        Raises:
            ModelError: the backbone has fewer layers.
        """
        backbone = self._backbone
        known = len(backbone.layers)
        if not 0 <= layers <= known:
            fix = f"choose 0 to {known}, the backbone's layers"
            raise ModelError(f"freeze_layers is {layers}", where="freeze_layers", fix=fix)
        backbone.embed_tokens.requires_grad_(False)
        for layer in backbone.layers[:layers]:
            layer.requires_grad_(False)

    def layers(self) -> list[nn.Module]:
        """Return the backbone's layers, then the head's."""
        head = cast(Any, self.get_submodule(self.head_name))
        return [*self._backbone.layers, *head.layers]

    def recompute_layers(self) -> None:
        """Turn on transformers' gradient checkpointing of the backbone.

        The non-reentrant way, since with LoRA the inputs of the layers need no gradient.
        """
        self._backbone.activation_checkpointing_enable({"use_reentrant": False})

    def drop_attention(self, share: float) -> None:
        """Set the dropout of the attention weights, the only dropout that Qwen2 has."""
        for layer in self._backbone.layers:
            layer.self_attn.attention_dropout = share
