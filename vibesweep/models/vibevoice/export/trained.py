"""The tensors that a trial trained of a VibeVoice checkpoint: full weights and LoRA adapters.

They are read from the trial's checkpoint one at a time and no model is built, so a machine that
could not hold a 7B can still export one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
from vibesweep.models.adapters import PEFT_PREFIX, lora_config
from vibesweep.models.vibevoice.checkpoint import BIAS, SCALE, Checkpoint, transformers_name

EMBEDDINGS = "model.language_model.embed_tokens.weight"
OUTPUT = "lm_head.weight"

_ADAPTER_TENSOR = re.compile(r"(?P<layer>.+)\.(?P<part>lora_\w+\.default\.weight)")


@dataclass(frozen=True, eq=False)
class TrainedTensors:
    """A trial's checkpoint on top of the base that it fine-tuned.

    Tensors and layers are named as in transformers, unless they are said to be stored names:
    those are the names in the trial's file.

    Attributes:
        base: the checkpoint that was fine-tuned.
        settings: the trial's settings.
        file: the trial's safetensors file.
        full: stored name of each weight that was trained in full.
        adapters: for each adapted layer, the stored name of each of its adapter's parameters.
        latent_rules: scale and bias of the latents, by tensor name, where the base has none and
            they were taken from the shards.
    """

    base: Checkpoint
    settings: TrialSettings
    file: Path
    full: dict[str, str]
    adapters: dict[str, dict[str, str]]
    latent_rules: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        base: Checkpoint,
        file: Path,
        settings: TrialSettings,
        rules: tuple[float, float] | None = None,
    ) -> TrainedTensors:
        """Read the names in a trial's checkpoint; tensors are read when they are needed.

        Args:
            base: the checkpoint that was fine-tuned.
            file: the trial's safetensors file.
            settings: the trial's settings.
            rules: scale and bias of the latents, where the base has none.

        Raises:
            ModelError: the file cannot be read, or it belongs to another base.
        """
        full, adapters = _sorted_names(_stored_names(file))
        latent_rules = {}
        if rules is not None:
            scale, bias = rules
            latent_rules = {SCALE: torch.tensor(scale), BIAS: torch.tensor(bias)}
        trained = cls(base, settings, file, full, adapters, latent_rules)
        trained._check_names()
        return trained

    @property
    def missing_in_base(self) -> dict[str, Tensor]:
        """The tensors that the trained model has and the base's files lack."""
        return {
            name: tensor
            for name, tensor in self.latent_rules.items()
            if name not in self.base.files
        }

    def stored_tensor(self, stored_name: str) -> Tensor:
        """Read a tensor of the trial's file."""
        with safe_open(self.file, framework="pt") as stored:
            tensor: Tensor = stored.get_tensor(stored_name)
        return tensor

    def change(self, name: str, base_tensor: Tensor) -> Tensor | None:
        """Return what replaces a tensor of the base, or ``None`` if it was not trained.

        Args:
            name: the tensor's name.
            base_tensor: the base's, into which an adapter is merged.
        """
        if name == OUTPUT and self.base.config.tie_word_embeddings:
            name = EMBEDDINGS  # some checkpoints store the tied tensor under both names
        if name in self.latent_rules:
            return self.latent_rules[name]
        if name in self.full:
            return self.stored_tensor(self.full[name])
        layer = name.removesuffix(".weight")
        if layer != name and layer in self.adapters:
            return self._merged_layer(layer, base_tensor)
        return None

    def merged(self, name: str) -> Tensor:
        """Return a tensor as the trial left it, adapters merged, in the base's type."""
        base_tensor = self.base.tensor(name)
        changed = self.change(name, base_tensor)
        return base_tensor if changed is None else changed.to(base_tensor.dtype)

    def moved(self) -> bool:
        """Tell whether anything that was trained differs from where it began.

        An adapter begins with zeros in its second matrix, and then changes nothing. DoRA's
        magnitudes begin at the norms of the base's weights, from which they differ by rounding.
        """
        for name, stored_name in self.full.items():
            if not torch.equal(self.stored_tensor(stored_name), self.base.tensor(name).float()):
                return True
        for adapter in self.adapters.values():
            for part, stored_name in adapter.items():
                if part.startswith("lora_B") and self.stored_tensor(stored_name).any():
                    return True
        return False

    def adapter_state(self, module: str) -> dict[str, Tensor]:
        """Return the adapters of a module's layers, under the names that peft saves them with.

        Args:
            module: how the layers' names begin; peft's names continue from there.
        """
        state = {}
        for layer in self._adapted_layers(module):
            for part, stored_name in self.adapters[layer].items():
                name = f"{PEFT_PREFIX}{layer.removeprefix(module)}.{_peft_part(part)}"
                state[name] = self.stored_tensor(stored_name)
        return state

    def adapter_config(self, module: str) -> LoraConfig:
        """Return peft's configuration of the adapters of a module's layers."""
        layers = [layer.removeprefix(module) for layer in self._adapted_layers(module)]
        return lora_config(self.settings, sorted(layers))

    def _adapted_layers(self, module: str) -> list[str]:
        return [layer for layer in self.adapters if layer.startswith(module)]

    def _check_names(self) -> None:
        adapted_weights = {f"{layer}.weight" for layer in self.adapters}
        foreign = sorted({*self.full, *adapted_weights} - self.base.files.keys())
        if foreign:
            raise ModelError(
                f"it trained {foreign[0]}, which the base {self.base.folder} does not have",
                where=str(self.file.parent),
            )

    @cached_property
    def _single_layer_config(self) -> LoraConfig:
        return lora_config(self.settings, ["layer"])

    def _merged_layer(self, layer: str, weight: Tensor) -> Tensor:
        """Merge a layer's adapter into its weight [out, in]; peft does it, in float32."""
        features_out, features_in = weight.shape
        with torch.device("meta"):
            linear = nn.Linear(features_in, features_out, bias=False)
        linear.weight = nn.Parameter(weight.float(), requires_grad=False)
        module = inject_adapter_in_model(
            self._single_layer_config, nn.ModuleDict({"layer": linear})
        )
        adapted: Any = module.layer
        parameters = dict(adapted.named_parameters())
        with torch.no_grad():
            for part, stored_name in self.adapters[layer].items():
                parameters[part].copy_(self.stored_tensor(stored_name))
        adapted.merge()
        merged: Tensor = adapted.get_base_layer().weight
        return merged.detach()


def _stored_names(file: Path) -> list[str]:
    try:
        with safe_open(file, framework="pt") as stored:
            return list(stored.keys())
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the trial's checkpoint cannot be read: {error}", where=str(file.parent)
        ) from error


def _sorted_names(
    stored_names: Iterable[str],
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Sort stored names into weights trained in full and adapters, by transformers' names."""
    full: dict[str, str] = {}
    adapters: dict[str, dict[str, str]] = {}
    for stored_name in stored_names:
        name = stored_name.removeprefix(PEFT_PREFIX)
        match = _ADAPTER_TENSOR.fullmatch(name)
        if match is None:
            full[transformers_name(name)] = stored_name
        else:
            layer = transformers_name(match["layer"])
            adapters.setdefault(layer, {})[match["part"]] = stored_name
    return full, adapters


def _peft_part(part: str) -> str:
    """Return the name with which peft saves an adapter's parameter, such as ``lora_A.weight``."""
    name = part.replace(".default", "")
    if name.startswith("lora_magnitude_vector"):
        return name.removesuffix(".weight")
    return name
