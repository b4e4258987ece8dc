"""The best trial of a VibeVoice sweep, written in the layouts that others load.

========  =======================================================================================
merged    a folder that plain transformers loads, as it loads the base
peft      a LoRA adapter for plain peft on plain transformers, and weights trained in full beside it
lora      a folder ``lora``, as vibevoice-community's VibeVoice reads it
comfyui   what ComfyUI's VibeVoice nodes read
original  merged, under the original repository's names
========  =======================================================================================

No model is built: tensors come from the base's files and from the trial's checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from vibesweep.models.tensor_files import (
    SAFETENSORS_METADATA,
    copy_companions,
    rewrite,
    save_tensors,
)
from vibesweep.models.vibevoice.checkpoint import CONFIG, WEIGHTS_INDEX
from vibesweep.models.vibevoice.checkpoint.original_config import (
    original_config,
    original_preprocessor,
)
from vibesweep.models.vibevoice.checkpoint.original_names import to_original
from vibesweep.models.vibevoice.export.adapter_files import (
    CARD,
    no_adapter,
    write_adapter,
    write_json,
)
from vibesweep.models.vibevoice.export.cards import peft_card
from vibesweep.models.vibevoice.export.community import write_comfyui, write_lora
from vibesweep.models.vibevoice.export.trained import TrainedTensors
from vibesweep.storage.json_text import parse_json

FULL_WEIGHTS = "trained.safetensors"
TRANSFORMERS_ONLY = ("generation_config.json", "processor_config.json")


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
    settings = base.config.to_dict()
    config = original_config(settings)
    write_json(out / CONFIG, config)
    extractor = _feature_extractor(base.folder)
    hidden_size = base.config.text_config.hidden_size
    preprocessor = original_preprocessor(extractor, hidden_size)
    write_json(out / "preprocessor_config.json", preprocessor)


def _write_peft(trained: TrainedTensors, out: Path, base_name: str) -> None:
    if not trained.adapters:
        raise no_adapter(trained, "peft")
    write_adapter(trained, out, "", base_name)
    full_weights = {name: trained.merged(name) for name in trained.full}
    full_weights.update(trained.latent_rules)
    if full_weights:
        save_tensors(full_weights, out / FULL_WEIGHTS, SAFETENSORS_METADATA)
    card = peft_card(base_name, has_full_weights=bool(full_weights))
    (out / CARD).write_text(card, encoding="utf-8")


LAYOUTS: dict[str, Callable[[TrainedTensors, Path, str], None]] = {
    "merged": _write_merged,
    "peft": _write_peft,
    "lora": write_lora,
    "comfyui": write_comfyui,
    "original": _write_original,
}
"""The function that writes each layout; the first one is the default."""


def _write_weights(trained: TrainedTensors, out: Path, rename: Callable[[str], str] = str) -> None:
    """Write the trained model's tensors in files that are split as the base's are.

    Tensors that the base lacks go into the last file.
    """
    files = sorted(set(trained.base.files.values()))
    added = {rename(name): tensor for name, tensor in trained.missing_in_base.items()}
    total_bytes = 0
    for file in files:
        added_here = added if file == files[-1] else None
        target = out / file.name
        total_bytes += rewrite(file, target, trained.change, rename, added_here)
    if (trained.base.folder / WEIGHTS_INDEX).is_file():
        weight_map = {rename(name): file.name for name, file in trained.base.files.items()}
        weight_map.update(dict.fromkeys(added, files[-1].name))
        index = {
            "metadata": {"total_size": total_bytes},
            "weight_map": dict(sorted(weight_map.items())),
        }
        write_json(out / WEIGHTS_INDEX, index)


def _feature_extractor(folder: Path) -> Mapping[str, Any]:
    """Return the settings of the base's feature extractor, from whichever file holds them."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = folder / name
        if path.is_file():
            settings: dict[str, Any] = parse_json(path.read_text())
            return cast(dict[str, Any], settings.get("feature_extractor", settings))
    return {}
