"""The layouts of the two loaders that VibeVoice's community uses for adapters.

Both loaders log what they do not find and go on, so a name that one does not look for shows only as
speech that does not change. What each looks for, read in its source in November 2026:

- vibevoice-community's VibeVoice (``modular/lora_loading.py``): a folder ``lora`` in the one that
  it is given; in it an adapter of the language model, ``diffusion_head_full.bin``, and
  ``pytorch_model.bin`` in ``acoustic_connector`` and ``semantic_connector``. Its first version
  loads the adapter only where there is an ``adapter_model.bin``.
- ComfyUI's nodes (Enemyx-net/VibeVoice-ComfyUI, ``base_vibevoice.py``): the adapter in the folder
  itself, and ``model.safetensors`` or else ``pytorch_model.bin`` in ``diffusion_head``,
  ``acoustic_connector`` and ``semantic_connector``. They refuse a folder without an adapter.

In both, peft loads the adapter on the bare ``Qwen2Model``: its names go on after
``base_model.model.`` with ``layers.0.``, and it has no task type, since one of ``CAUSAL_LM`` asks
for methods that a bare model lacks. A module's tensors have the original repository's names.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import SAFETENSORS_METADATA, save_tensors
from vibesweep.models.vibevoice.checkpoint.original_names import to_original
from vibesweep.models.vibevoice.export.adapter_files import CARD, no_adapter, write_adapter
from vibesweep.models.vibevoice.export.cards import comfyui_card, lora_card
from vibesweep.models.vibevoice.export.trained import TrainedTensors

LORA_FOLDER = "lora"
LANGUAGE_MODEL = "model.language_model."
ADAPTER_IN_TORCH_FORMAT = "adapter_model.bin"


@dataclass(frozen=True)
class WholeModule:
    """A module that these loaders replace whole.

    Attributes:
        prefix: how its tensor names begin in transformers.
        original_prefix: the same in the original layout.
        lora_file: where vibevoice-community's VibeVoice looks for it.
        comfyui_files: where ComfyUI's nodes look, and for the small connectors also where programs
            look that read torch's format only (audio.cpp).
    """

    prefix: str
    original_prefix: str
    lora_file: str
    comfyui_files: tuple[str, ...]


WHOLE_MODULES = (
    WholeModule(
        "model.diffusion_head.",
        "model.prediction_head.",
        "diffusion_head_full.bin",
        ("diffusion_head/model.safetensors",),
    ),
    WholeModule(
        "model.multi_modal_projector.",
        "model.acoustic_connector.",
        "acoustic_connector/pytorch_model.bin",
        ("acoustic_connector/model.safetensors", "acoustic_connector/pytorch_model.bin"),
    ),
    WholeModule(
        "model.semantic_connector.",
        "model.semantic_connector.",
        "semantic_connector/pytorch_model.bin",
        ("semantic_connector/model.safetensors", "semantic_connector/pytorch_model.bin"),
    ),
)


def write_lora(trained: TrainedTensors, out: Path, base_name: str) -> None:
    """Write what vibevoice-community's VibeVoice reads."""
    modules = _modules(trained, "lora")
    folder = out / LORA_FOLDER
    folder.mkdir()
    if has_language_adapter(trained):
        write_adapter(trained, folder, LANGUAGE_MODEL, base_name)
        state = trained.adapter_state(LANGUAGE_MODEL)
        _save_for_torch(state, folder / ADAPTER_IN_TORCH_FORMAT)
    for module in modules:
        _write_module(trained, module, folder, (module.lora_file,))
    (out / CARD).write_text(lora_card(base_name), encoding="utf-8")


def write_comfyui(trained: TrainedTensors, out: Path, base_name: str) -> None:
    """Write what ComfyUI's nodes read."""
    modules = _modules(trained, "comfyui")
    if not has_language_adapter(trained):
        found = "the trial has no adapter of the language model, and these nodes load nothing else"
        fix = "choose --layout original, and copy it to ComfyUI as a model"
        raise ModelError(found, where="--layout comfyui", fix=fix)
    write_adapter(trained, out, LANGUAGE_MODEL, base_name)
    for module in modules:
        _write_module(trained, module, out, module.comfyui_files)
    (out / CARD).write_text(comfyui_card(base_name), encoding="utf-8")


def has_language_adapter(trained: TrainedTensors) -> bool:
    """Tell whether LoRA was trained in the language model."""
    return any(layer.startswith(LANGUAGE_MODEL) for layer in trained.adapters)


def changed_modules(trained: TrainedTensors) -> list[WholeModule]:
    """List the modules with a weight that the trial trained."""
    names = [*trained.full, *trained.adapters]
    return [module for module in WHOLE_MODULES if _any_in(names, module)]


def whole_state(trained: TrainedTensors, module: WholeModule) -> dict[str, Tensor]:
    """Return all of a module's tensors, adapters merged, by the names in the original's module."""
    state: dict[str, Tensor] = {}
    for name in trained.base.files:
        if name.startswith(module.prefix):
            original_name = to_original(name).removeprefix(module.original_prefix)
            state[original_name] = trained.merged(name).contiguous()
    return state


def _write_module(
    trained: TrainedTensors, module: WholeModule, folder: Path, files: Iterable[str]
) -> None:
    """Write a whole module into each of some files, in the format that its ending says."""
    state = whole_state(trained, module)
    for file in files:
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".safetensors":
            save_tensors(state, path, SAFETENSORS_METADATA)
        else:
            _save_for_torch(state, path)


def _save_for_torch(state: dict[str, Tensor], path: Path) -> None:
    """Write tensors in torch's own format, through memory: torch hides that a disk is full."""
    content = io.BytesIO()
    torch.save(state, content)
    path.write_bytes(content.getbuffer())


def _any_in(names: Iterable[str], module: WholeModule) -> bool:
    return any(name.startswith(module.prefix) for name in names)


def _modules(trained: TrainedTensors, layout: str) -> list[WholeModule]:
    """List the modules to write, or refuse what the layout has no place for."""
    modules = changed_modules(trained)
    prefixes = tuple(module.prefix for module in modules)
    if not all(name.startswith(prefixes) for name in trained.full):
        raise no_adapter(trained, layout)
    if trained.latent_rules:
        raise ModelError(
            f"the base {trained.base.folder} was saved without the scale of its latents, "
            "and this layout has no place for it",
            where=f"--layout {layout}",
            fix="choose --layout merged, original or peft",
        )
    return modules
