"""What families share whose backbone is transformers' Qwen2 and whose latents a diffusion head of VibeVoice's speaks."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from vibesweep.errors import ModelError
from vibesweep.models.family import SpeechModel


class Qwen2SpeechModel(SpeechModel):
    """A family that names its backbone and its diffusion head."""

    backbone_name: str
    """Submodule that is a ``Qwen2Model``."""

    head_name: str
    """Submodule that is a ``VibeVoiceDiffusionHead``."""

    @property
    def _backbone(self) -> Any:
        return self.get_submodule(self.backbone_name)

    def lora_pattern(self, targets: str) -> str:
        """Attention projections of the backbone; with ``+mlp`` also its feed-forward layers and the head's."""
        attention = rf"{self.backbone_name}\.layers\.\d+\.self_attn\.[qkvo]_proj"
        mlp = rf"({self.backbone_name}\.layers\.\d+\.mlp|{self.head_name}\.layers\.\d+\.ffn)\.(gate|up|down)_proj"
        patterns = {"attention": attention, "attention+mlp": f"({attention}|{mlp})"}
        if targets not in patterns:
            raise ModelError(
                f"there are no LoRA targets {targets!r}", fix=f"choose one of {', '.join(patterns)}"
            )
        return patterns[targets]

    def freeze_lowest(self, layers: int) -> None:
        """Stop the embeddings and the lowest backbone layers from training."""
        backbone = self._backbone
        known = len(backbone.layers)
        if not 0 <= layers <= known:
            raise ModelError(
                f"freeze_layers is {layers}", fix=f"choose 0 to {known}, the backbone's layers"
            )
        for module in (backbone.embed_tokens, *backbone.layers[:layers]):
            module.requires_grad_(False)

    def layers(self) -> list[nn.Module]:
        """The backbone's layers, then the head's."""
        head = cast(Any, self.get_submodule(self.head_name))
        return [*self._backbone.layers, *head.layers]

    def recompute_layers(self) -> None:
        """As transformers does it, the way that does not need inputs with gradients."""
        self._backbone.activation_checkpointing_enable({"use_reentrant": False})

    def drop_attention(self, share: float) -> None:
        """Set it on each layer: Qwen2 has no other dropout."""
        for layer in self._backbone.layers:
            layer.self_attn.attention_dropout = share
