"""The best trial of a VibeVoice sweep, written in the layouts that others load.

========  =======================================================================================
merged    a folder that plain transformers loads, as it loads the base
peft      a LoRA adapter for plain peft on plain transformers, and weights trained in full beside it
lora      the ``lora/`` folder of the fine-tuning scripts of vibevoice-community and
          voicepowered-ai, which ComfyUI's nodes read too
original  merged, under the original repository's names
========  =======================================================================================

No model is built: tensors come from the base's files and from the trial's checkpoint.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import copy_companions, rewrite, save_tensors
from vibesweep.models.vibevoice.checkpoint import CONFIG, WEIGHTS_INDEX
from vibesweep.models.vibevoice.checkpoint.original_config import (
    original_config,
    original_preprocessor,
)
from vibesweep.models.vibevoice.checkpoint.original_names import to_original
from vibesweep.models.vibevoice.export.cards import lora_card, peft_card
from vibesweep.models.vibevoice.export.trained import TrainedTensors

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
FULL_WEIGHTS = "trained.safetensors"
CARD = "README.md"
LANGUAGE_MODEL = "model.language_model."
TRANSFORMERS_ONLY = ("generation_config.json", "processor_config.json")
SAFETENSORS_METADATA = {"format": "pt"}

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


@dataclass(frozen=True)
class WholeModule:
    """A module that the ``lora`` layout replaces whole.

    Attributes:
        prefix: how its tensor names begin in transformers.
        original_prefix: the same in the original layout.
        files: the files that loaders look for; some read safetensors, some torch's format only.
    """

    prefix: str
    original_prefix: str
    files: tuple[str, ...]


WHOLE_MODULES = (
    WholeModule(
        "model.diffusion_head.",
        "model.prediction_head.",
        ("diffusion_head/model.safetensors", "diffusion_head/diffusion_head_full.bin"),
    ),
    WholeModule(
        "model.multi_modal_projector.",
        "model.acoustic_connector.",
        ("acoustic_connector/pytorch_model.bin",),
    ),
    WholeModule(
        "model.semantic_connector.",
        "model.semantic_connector.",
        ("semantic_connector/pytorch_model.bin",),
    ),
)


def write_layout(layout: str, trained: TrainedTensors, out: Path, base_name: str) -> None:
    """Write a trial's model in one of :data:`LAYOUTS`.

    Args:
        layout: a name in the table.
        trained: the trial's tensors.
        out: an empty folder.
        base_name: the folder or hub id that an adapter names as its base.

    Raises:
        ModelError: a file cannot be read, or the layout cannot hold what was trained.
    """
    LAYOUTS[layout](trained, out, base_name)


def _write_merged(trained: TrainedTensors, out: Path, base_name: str) -> None:
    _write_weights(trained, out)
    copy_companions(trained.base.folder, out)


def _write_original(trained: TrainedTensors, out: Path, base_name: str) -> None:
    base = trained.base
    _write_weights(trained, out, to_original)
    copy_companions(base.folder, out)
    for name in TRANSFORMERS_ONLY:
        (out / name).unlink(missing_ok=True)
    _write_json(out / CONFIG, original_config(base.config.to_dict()))
    extractor = _feature_extractor(base.folder)
    hidden_size = base.config.text_config.hidden_size
    _write_json(out / "preprocessor_config.json", original_preprocessor(extractor, hidden_size))


def _write_peft(trained: TrainedTensors, out: Path, base_name: str) -> None:
    if not trained.adapters:
        raise _no_adapter(trained, "peft")
    _write_adapter(trained, out, "", base_name)
    full_weights = {name: trained.merged(name) for name in trained.full}
    full_weights.update(trained.latent_rules)
    if full_weights:
        save_tensors(full_weights, out / FULL_WEIGHTS, SAFETENSORS_METADATA)
    card = peft_card(base_name, has_full_weights=bool(full_weights))
    (out / CARD).write_text(card, encoding="utf-8")


def _write_lora(trained: TrainedTensors, out: Path, base_name: str) -> None:
    modules = [module for module in WHOLE_MODULES if _changes(trained, module)]
    replaced = tuple(module.prefix for module in modules)
    if not all(name.startswith(replaced) for name in trained.full):
        raise _no_adapter(trained, "lora")
    if trained.latent_rules:
        raise ModelError(
            f"the base {trained.base.folder} was saved without the scale of its latents, "
            "and this layout has no place for it",
            where="--layout lora",
            fix="choose --layout merged, original or peft",
        )
    if any(layer.startswith(LANGUAGE_MODEL) for layer in trained.adapters):
        _write_adapter(trained, out, LANGUAGE_MODEL, base_name)
    for module in modules:
        _write_whole_module(trained, module, out)
    (out / CARD).write_text(lora_card(base_name), encoding="utf-8")


LAYOUTS: dict[str, Callable[[TrainedTensors, Path, str], None]] = {
    "merged": _write_merged,
    "peft": _write_peft,
    "lora": _write_lora,
    "original": _write_original,
}
"""The function that writes each layout; the first one is the default."""


def _no_adapter(trained: TrainedTensors, layout: str) -> ModelError:
    return ModelError(
        "the trial trained weights of the language model in full "
        f"(method {trained.settings.method!r}): no adapter holds them",
        where=f"--layout {layout}",
        fix="choose --layout merged or original",
    )


def _changes(trained: TrainedTensors, module: WholeModule) -> bool:
    names = [*trained.full, *trained.adapters]
    return any(name.startswith(module.prefix) for name in names)


def _write_whole_module(trained: TrainedTensors, module: WholeModule, out: Path) -> None:
    names = [name for name in trained.base.files if name.startswith(module.prefix)]
    state: dict[str, Tensor] = {}
    for name in names:
        original_name = to_original(name).removeprefix(module.original_prefix)
        state[original_name] = trained.merged(name).contiguous()
    for file in module.files:
        path = out / file
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".safetensors":
            save_tensors(state, path, SAFETENSORS_METADATA)
        else:
            content = io.BytesIO()  # of a disk that is full torch says something else
            torch.save(state, content)
            path.write_bytes(content.getbuffer())


def _write_adapter(trained: TrainedTensors, out: Path, module: str, base_name: str) -> None:
    config = _portable_config(trained.adapter_config(module))
    config["base_model_name_or_path"] = base_name
    _write_json(out / ADAPTER_CONFIG, config)
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


def _write_weights(trained: TrainedTensors, out: Path, rename: Callable[[str], str] = str) -> None:
    """Write the trained model's tensors in files that are split as the base's are.

    Tensors that the base lacks go into the last file.
    """
    files = sorted(set(trained.base.files.values()))
    added = {rename(name): tensor for name, tensor in trained.missing_in_base.items()}
    total_bytes = 0
    for file in files:
        added_here = added if file == files[-1] else None
        total_bytes += rewrite(file, out / file.name, trained.change, rename, added_here)
    if (trained.base.folder / WEIGHTS_INDEX).is_file():
        weight_map = {rename(name): file.name for name, file in trained.base.files.items()}
        weight_map.update(dict.fromkeys(added, files[-1].name))
        index = {
            "metadata": {"total_size": total_bytes},
            "weight_map": dict(sorted(weight_map.items())),
        }
        _write_json(out / WEIGHTS_INDEX, index)


def _feature_extractor(folder: Path) -> Mapping[str, Any]:
    """Return the settings of the base's feature extractor, from whichever file holds them."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        if path.is_file():
            settings: dict[str, Any] = json.loads(path.read_text())
            return cast(dict[str, Any], settings.get("feature_extractor", settings))
    return {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
