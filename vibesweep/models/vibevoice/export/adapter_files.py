"""The files of a LoRA adapter, in words and names that every version of peft knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig

from vibesweep.errors import ModelError
from vibesweep.models.adapters import ADAPTER_WEIGHTS
from vibesweep.models.tensor_files import SAFETENSORS_METADATA, save_tensors
from vibesweep.models.vibevoice.export.trained import TrainedTensors

ADAPTER_CONFIG = "adapter_config.json"
CARD = "README.md"

_ALWAYS_WRITTEN = (
    "peft_type",
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "bias",
    "use_dora",
    "use_rslora",
)
"""Settings of an adapter that every peft version knows; others only where they are not default."""


def write_adapter(trained: TrainedTensors, out: Path, module: str, base_name: str) -> None:
    """Write the adapters of a module's layers as peft reads them.

    Args:
        trained: the trial's tensors.
        out: a folder that is there.
        module: how the layers' names begin; the adapter's names continue from there.
        base_name: the folder or hub id that the adapter names as its base.
    """
    config = _portable_config(trained.adapter_config(module))
    config["base_model_name_or_path"] = base_name
    write_json(out / ADAPTER_CONFIG, config)
    state = trained.adapter_state(module)
    save_tensors(state, out / ADAPTER_WEIGHTS, SAFETENSORS_METADATA)


def _portable_config(config: LoraConfig) -> dict[str, Any]:
    """Return an adapter's configuration in words that older versions of peft know too."""
    settings = cast(Any, config).to_dict()
    defaults = cast(Any, LoraConfig()).to_dict()
    portable = {
        name: value
        for name, value in settings.items()
        if name in _ALWAYS_WRITTEN or value != defaults[name]
    }
    alpha = float(settings["lora_alpha"])
    portable["lora_alpha"] = int(alpha) if alpha.is_integer() else alpha
    portable["target_modules"] = sorted(settings["target_modules"])
    portable["inference_mode"] = True
    return portable


def no_adapter(trained: TrainedTensors, layout: str) -> ModelError:
    """Say that no adapter holds what was trained."""
    return ModelError(
        "the trial trained weights of the language model in full "
        f"(method {trained.settings.method!r}): no adapter holds them",
        where=f"--layout {layout}",
        fix="choose --layout merged or original",
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file for people to read."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
