"""A VibeVoice sweep's best trial in the layouts that others load, written from the base's files and the trial's checkpoint.

========  =============================================================================================================
merged    a folder that plain transformers loads, as the base was
peft      a LoRA adapter for plain peft on plain transformers, and what was trained in full beside it
lora      the ``lora/`` folder of vibevoice-community's and voicepowered-ai's fine-tuning scripts, which ComfyUI's nodes read too
original  merged, under the original repository's names
========  =============================================================================================================

No model is built, and one tensor is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import copy_companions, rewrite
from vibesweep.models.vibevoice.cards import lora_card, peft_card
from vibesweep.models.vibevoice.checkpoint import CONFIG, WEIGHTS_INDEX
from vibesweep.models.vibevoice.names import to_original
from vibesweep.models.vibevoice.original import original_config, original_preprocessor
from vibesweep.models.vibevoice.trained import Trained

ADAPTER_WEIGHTS, IN_FULL, CARD = "adapter_model.safetensors", "trained.safetensors", "README.md"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WORDS = (
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
LANGUAGE_MODEL = "model.language_model."
REPLACED = {
    "model.diffusion_head.": (
        "model.prediction_head.",
        ("diffusion_head/model.safetensors", "diffusion_head/diffusion_head_full.bin"),
    ),
    "model.multi_modal_projector.": (
        "model.acoustic_connector.",
        ("acoustic_connector/pytorch_model.bin",),
    ),
    "model.semantic_connector.": (
        "model.semantic_connector.",
        ("semantic_connector/pytorch_model.bin",),
    ),
}
"""Modules that the ``lora`` layout replaces whole: their name here, in the original, and the files that its loaders look for."""


def write_layout(layout: str, trained: Trained, out: Path, base_name: str) -> None:
    """Write a trial in one of :data:`LAYOUTS` into a folder that is there and empty.

    Args:
        layout: which.
        trained: the trial.
        out: the folder.
        base_name: what the base is called where an adapter says what it is for: a folder or a hub id.

    Raises:
        ModelError: a file cannot be read, or the layout cannot hold what was trained.
    """
    LAYOUTS[layout](trained, out, base_name)


def _merged(trained: Trained, out: Path, base_name: str) -> None:
    _write_weights(trained, out, str)
    copy_companions(trained.base.folder, out)


def _original(trained: Trained, out: Path, base_name: str) -> None:
    base, config = trained.base, cast(Any, trained.base.config)
    _write_weights(trained, out, to_original)
    copy_companions(base.folder, out)
    for name in ("generation_config.json", "processor_config.json"):  # transformers' alone
        (out / name).unlink(missing_ok=True)
    _write_json(out / CONFIG, original_config(config.to_dict()))
    extractor = _feature_extractor(base.folder)
    _write_json(
        out / "preprocessor_config.json",
        original_preprocessor(extractor, config.text_config.hidden_size),
    )


def _peft(trained: Trained, out: Path, base_name: str) -> None:
    if not trained.adapters:
        raise _no_adapter(trained, "peft")
    _write_adapter(trained, out, "", base_name)
    in_full = {name: trained.merged(name) for name in trained.full} | dict(trained.rules)
    if in_full:
        save_file(in_full, out / IN_FULL, metadata={"format": "pt"})
    (out / CARD).write_text(peft_card(base_name, bool(in_full)), encoding="utf-8")


def _lora(trained: Trained, out: Path, base_name: str) -> None:
    replaced = [
        module
        for module in REPLACED
        if any(name.startswith(module) for name in (*trained.full, *trained.adapters))
    ]
    left = [name for name in trained.full if not name.startswith(tuple(replaced))]
    if left:
        raise _no_adapter(trained, "lora")
    if trained.rules:
        found = f"the base {trained.base.folder} was saved without the scale of its latents, and this layout has no place for it"
        raise ModelError(
            found, where="--layout lora", fix="choose --layout merged, original or peft"
        )
    if any(layer.startswith(LANGUAGE_MODEL) for layer in trained.adapters):
        _write_adapter(trained, out, LANGUAGE_MODEL, base_name)
    for module in replaced:
        original, files = REPLACED[module]
        names = [name for name in trained.base.files if name.startswith(module)]
        state = {
            to_original(name).removeprefix(original): trained.merged(name).contiguous()
            for name in names
        }
        for file in files:
            (out / file).parent.mkdir(exist_ok=True)
            # Some loaders know safetensors, some torch's own format alone
            save_file(state, out / file, metadata={"format": "pt"}) if file.endswith(
                ".safetensors"
            ) else torch.save(state, out / file)
    (out / CARD).write_text(lora_card(base_name), encoding="utf-8")


LAYOUTS: dict[str, Callable[[Trained, Path, str], None]] = {
    "merged": _merged,
    "peft": _peft,
    "lora": _lora,
    "original": _original,
}
"""A layout's name to what writes it; the first is the default."""


def _no_adapter(trained: Trained, layout: str) -> ModelError:
    found = f"the trial trained weights of the language model in full (method {trained.settings.method!r}): no adapter holds them"
    return ModelError(found, where=f"--layout {layout}", fix="choose --layout merged or original")


def _write_adapter(trained: Trained, out: Path, inside: str, base_name: str) -> None:
    _write_json(
        out / ADAPTER_CONFIG,
        _told(trained.adapter_config(inside)) | {"base_model_name_or_path": base_name},
    )
    save_file(trained.adapter_state(inside), out / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def _told(config: LoraConfig) -> dict[str, Any]:
    """What any peft of the last years understands: its usual words, and the others only where they are not at their defaults."""
    said, plain = cast(Any, config).to_dict(), cast(Any, LoraConfig()).to_dict()
    kept = {
        name: value for name, value in said.items() if name in ADAPTER_WORDS or value != plain[name]
    }
    alpha = float(kept["lora_alpha"])
    whole = {
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "target_modules": sorted(kept["target_modules"]),
    }
    return {**kept, **whole, "inference_mode": True}


def _write_weights(trained: Trained, out: Path, rename: Callable[[str], str]) -> None:
    """All of the base's tensors, in files as the base's are."""
    files = sorted(set(trained.base.files.values()))
    more = {rename(name): tensor for name, tensor in trained.missing.items()}
    sizes = [
        rewrite(file, out / file.name, trained.change, rename, more if file == files[-1] else None)
        for file in files
    ]
    if (trained.base.folder / WEIGHTS_INDEX).is_file():
        where = {
            rename(name): file.name for name, file in trained.base.files.items()
        } | dict.fromkeys(more, files[-1].name)
        _write_json(
            out / WEIGHTS_INDEX,
            {"metadata": {"total_size": sum(sizes)}, "weight_map": dict(sorted(where.items()))},
        )


def _feature_extractor(folder: Path) -> Mapping[str, Any]:
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            found: dict[str, Any] = json.loads((folder / name).read_text())
            return cast(dict[str, Any], found.get("feature_extractor", found))
    return {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
