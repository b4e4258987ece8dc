"""What a trial trained of a VibeVoice checkpoint, by transformers' names: weights in full, and LoRA's adapters.

Read from the trial's checkpoint alone, so that a 7B can be handed over by a machine that could not hold it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import lora_config
from vibesweep.models.vibevoice.checkpoint import BIAS, SCALE, Checkpoint
from vibesweep.models.vibevoice.model import transformers_name

EMBEDDINGS, OUTPUT = "model.language_model.embed_tokens.weight", "lm_head.weight"
PEFT_PREFIX = "base_model.model."
_ADAPTER = re.compile(r"(?P<layer>.+)\.(?P<part>lora_\w+)\.default(?P<rest>\.weight)")


@dataclass(frozen=True, eq=False)
class Trained:
    """A trial's checkpoint on top of a base.

    Attributes:
        base: the checkpoint that was fine-tuned.
        settings: that it was trained with.
        file: safetensors, in the trained model's own names.
        full: that file's name of each weight that was trained in full, by transformers' name.
        adapters: that file's name of each part of an adapter, by the adapted layer's name in transformers and the part's.
        rules: the latents' scale and bias, where the base was saved before they were known and the shards said them.
    """

    base: Checkpoint
    settings: TrialSettings
    file: Path
    full: dict[str, str]
    adapters: dict[str, dict[str, str]]
    rules: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        base: Checkpoint,
        file: Path,
        settings: TrialSettings,
        rules: tuple[float, float] | None = None,
    ) -> Trained:
        """Read what a trial's checkpoint holds; its tensors are read when they are needed.

        Args:
            base: the checkpoint that was fine-tuned.
            file: the trial's safetensors.
            settings: that it was trained with.
            rules: the latents' scale and bias, where the base does not know them.

        Raises:
            ModelError: it cannot be read, or is of another base.
        """
        try:
            with safe_open(file, framework="pt") as stored:
                names = {name.removeprefix(PEFT_PREFIX): name for name in stored.keys()}
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"the trial's checkpoint cannot be read: {error}", where=str(file.parent)
            ) from error
        full: dict[str, str] = {}
        adapters: dict[str, dict[str, str]] = {}
        for inner, name in names.items():
            found = _ADAPTER.fullmatch(inner)
            if found:
                adapters.setdefault(transformers_name(found["layer"]), {})[
                    f"{found['part']}.default{found['rest']}"
                ] = name
            else:
                full[transformers_name(inner)] = name
        told = dict(zip((SCALE, BIAS), map(torch.tensor, rules), strict=True)) if rules else {}
        trained = cls(base, settings, file, full, adapters, told)
        foreign = sorted({*full, *(f"{layer}.weight" for layer in adapters)} - base.files.keys())
        if foreign:
            raise ModelError(
                f"it trained {foreign[0]}, which the base {base.folder} does not have",
                where=str(file.parent),
            )
        return trained

    @property
    def missing(self) -> dict[str, Tensor]:
        """Tensors that the base's files lack and the trained model has."""
        return {name: value for name, value in self.rules.items() if name not in self.base.files}

    def tensor(self, stored: str) -> Tensor:
        """A tensor of the trial's file, by its name there."""
        with safe_open(self.file, framework="pt") as reading:
            tensor: Tensor = reading.get_tensor(stored)
        return tensor

    def change(self, name: str, read: Callable[[], Tensor]) -> Tensor | None:
        """What takes the place of a tensor of the base that ``read`` reads, adapters added in; ``None`` where it was not trained."""
        if name == OUTPUT and self.base.config.tie_word_embeddings:
            name = EMBEDDINGS  # some checkpoints hold it twice
        if name in self.rules:
            return self.rules[name]
        if name in self.full:
            return self.tensor(self.full[name])
        layer = name.removesuffix(".weight")
        return (
            self._merged(layer, read())
            if name.endswith(".weight") and layer in self.adapters
            else None
        )

    def merged(self, name: str) -> Tensor:
        """A tensor as the trial leaves it, in the base's own type."""
        base = self.base.tensor(name)
        changed = self.change(name, lambda: base)
        return base if changed is None else changed.to(base.dtype)

    def adapter_state(self, inside: str) -> dict[str, Tensor]:
        """The adapters of the layers whose names begin with ``inside``, as peft stores them, named from there on."""
        state = {}
        for layer, parts in self.adapters.items():
            for part, stored in parts.items() if layer.startswith(inside) else ():
                kept = part.replace(".default", "")
                kept = (
                    kept.removesuffix(".weight")
                    if kept.startswith("lora_magnitude_vector")
                    else kept
                )
                state[f"{PEFT_PREFIX}{layer.removeprefix(inside)}.{kept}"] = self.tensor(stored)
        return state

    def adapter_config(self, inside: str = "") -> LoraConfig:
        """Its configuration for a model whose layers' names are those that begin with ``inside``, from there on."""
        layers = sorted(
            layer.removeprefix(inside) for layer in self.adapters if layer.startswith(inside)
        )
        return lora_config(self.settings, layers)

    @cached_property
    def _one_layer(self) -> LoraConfig:
        return lora_config(self.settings, ["layer"])

    def _merged(self, layer: str, base: Tensor) -> Tensor:
        """The weight [out, in] of a layer with its adapter, by peft itself, in float32."""
        with torch.device("meta"):
            plain = nn.Linear(base.shape[1], base.shape[0], bias=False)
        plain.weight = nn.Parameter(base.float(), requires_grad=False)
        adapted: Any = inject_adapter_in_model(
            self._one_layer, nn.ModuleDict({"layer": plain})
        ).layer
        parts = dict(adapted.named_parameters())
        with torch.no_grad():
            for part, stored in self.adapters[layer].items():
                parts[part].copy_(self.tensor(stored))
        adapted.merge()
        weight: Tensor = adapted.get_base_layer().weight
        return weight.detach()
