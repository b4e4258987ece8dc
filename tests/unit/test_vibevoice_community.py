"""The layouts of the community's two loaders, read as those read them, but strictly.

The loaders log what is missing or unexpected and go on. Here both are errors.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import VibeVoiceForConditionalGeneration

from tests.trained_trial import BF16_ROUNDING, METHODS, leave_trial, read_tensors
from vibesweep.config import TrialSettings
from vibesweep.delivery.export import export, speech_change_of
from vibesweep.errors import ModelError
from vibesweep.models.vibevoice.checkpoint.original_names import to_original, to_transformers
from vibesweep.models.vibevoice.export import LAYOUTS

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

MODULES = ("prediction_head", "acoustic_connector", "semantic_connector")


class OriginalModel:
    """A base as the original repository's code holds it.

    The language model is a bare ``Qwen2Model``; of the other modules there are the tensors, by the
    original's names.
    """

    def __init__(self, folder: Path) -> None:
        whole: Any = VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.language_model = whole.model.language_model
        original = {to_original(name): tensor for name, tensor in read_tensors(folder).items()}
        self.modules: dict[str, dict[str, Tensor]] = {}
        for module in MODULES:
            prefix = f"model.{module}."
            named = {
                name.removeprefix(prefix): tensor
                for name, tensor in original.items()
                if name.startswith(prefix)
            }
            self.modules[module] = named

    def load_adapter(self, folder: Path) -> None:
        names = set(load_file(folder / "adapter_model.safetensors"))
        adapted: Any = PeftModel.from_pretrained(self.language_model, str(folder))
        used = {
            name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")
            for name, _ in adapted.named_parameters()
            if "lora_" in name
        }
        assert names == used, "peft leaves out what it does not find, and warns at most"
        self.language_model = adapted.merge_and_unload()

    def load_module(self, module: str, state: Mapping[str, Tensor]) -> None:
        own = self.modules[module]
        assert state.keys() == own.keys()
        assert all(state[name].shape == own[name].shape for name in own)
        self.modules[module] = dict(state)

    def tensors(self) -> dict[str, Tensor]:
        """Return what was loaded, by transformers' names."""
        found = {
            f"model.language_model.{name}": tensor
            for name, tensor in self.language_model.state_dict().items()
        }
        for module, state in self.modules.items():
            for name, tensor in state.items():
                found[to_transformers(f"model.{module}.{name}")] = tensor
        return found


def load_as_vibevoice_community(model: OriginalModel, folder: Path, first: bool = False) -> None:
    """Load ``lora``; the loader's first version looks for one more file."""
    root = folder / "lora" if (folder / "lora").exists() else folder
    weights = "adapter_model.bin" if first else "adapter_model.safetensors"
    if (root / "adapter_config.json").exists() and (root / weights).exists():
        model.load_adapter(root)
    assert not (root / "diffusion_head" / "adapter_config.json").exists()
    files = {
        "prediction_head": root / "diffusion_head_full.bin",
        "acoustic_connector": root / "acoustic_connector" / "pytorch_model.bin",
        "semantic_connector": root / "semantic_connector" / "pytorch_model.bin",
    }
    for module, file in files.items():
        if file.exists():
            model.load_module(module, torch.load(file, weights_only=True))


def load_as_the_first_vibevoice_community(model: OriginalModel, folder: Path) -> None:
    load_as_vibevoice_community(model, folder, first=True)


def load_as_comfyui(model: OriginalModel, folder: Path) -> None:
    assert (folder / "adapter_config.json").exists(), "the node refuses a folder without it"
    model.load_adapter(folder)
    folders = {"prediction_head": "diffusion_head"}
    for module in MODULES:
        part = folder / folders.get(module, module)
        if (part / "model.safetensors").exists():
            model.load_module(module, load_file(part / "model.safetensors"))
        elif part.exists():
            model.load_module(module, torch.load(part / "pytorch_model.bin", weights_only=True))


LOADERS: dict[str, tuple[str, Callable[[OriginalModel, Path], None]]] = {
    "vibevoice-community": ("lora", load_as_vibevoice_community),
    "vibevoice-community, first version": ("lora", load_as_the_first_vibevoice_community),
    "ComfyUI": ("comfyui", load_as_comfyui),
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A trial, which the loaders only read, in each layout that they load."""

    base: Path
    layouts: dict[str, Path]
    merged: dict[str, Tensor]


@pytest.fixture(scope="module", params=["lora", "heads in full", "dora", "rslora"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    sweep, _ = leave_trial(folder, METHODS[request.param])
    names = {layout for layout, _ in LOADERS.values()}
    layouts = {name: export(sweep, folder / name, name) for name in names}
    return Exported(folder / "base", layouts, read_tensors(export(sweep, folder / "whole")))


@pytest.mark.parametrize("loader", LOADERS)
def test_each_loader_finds_all_that_was_trained(exported: Exported, loader: str) -> None:
    layout, load = LOADERS[loader]
    out = exported.layouts[layout]
    model = OriginalModel(exported.base)
    before = copy.deepcopy(model.tensors())
    load(model, out)
    found = model.tensors()
    for name, tensor in found.items():
        wanted = exported.merged[name].float()
        torch.testing.assert_close(tensor.float(), wanted, rtol=BF16_ROUNDING, atol=1e-5)
    changed = {name for name in found if not torch.equal(found[name], before[name])}
    language_model = {name for name in changed if name.startswith("model.language_model.")}
    assert language_model
    readme = (out / "README.md").read_text()
    assert str(exported.base) in readme


@pytest.mark.parametrize(("layout", "folder"), [("lora", "lora"), ("comfyui", "")])
def test_the_adapter_has_no_task_type_and_names_layers_of_the_bare_model(
    tmp_path: Path, layout: str, folder: str
) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS["lora"])
    adapter = export(sweep, tmp_path / "out", layout) / folder
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 8, None)
    assert "layers.0.self_attn.q_proj" in config["target_modules"]
    names = load_file(adapter / "adapter_model.safetensors")
    assert all(name.startswith("base_model.model.layers.") for name in names)


def test_a_trial_of_the_connectors_alone_is_no_adapter_for_comfyui(tmp_path: Path) -> None:
    settings = TrialSettings(lora_rank=4, lora_targets=r"multi_modal_projector\.linear_\d")
    sweep, _ = leave_trial(tmp_path, settings)
    with pytest.raises(ModelError, match="no adapter of the language model"):
        export(sweep, tmp_path / "out", "comfyui")
    model = OriginalModel(tmp_path / "base")
    load_as_vibevoice_community(model, export(sweep, tmp_path / "out", "lora"))
    whole = read_tensors(export(sweep, tmp_path / "whole"))
    for name, tensor in model.modules["acoustic_connector"].items():
        assert torch.equal(tensor, whole[to_transformers(f"model.acoustic_connector.{name}")])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_changes_the_speech_as_much(tmp_path: Path, layout: str) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS["heads in full"])
    change = speech_change_of(export(sweep, tmp_path / "out", layout))
    assert change.share == pytest.approx(0.74, abs=0.15)
    assert change.remark == ""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_an_adapter_without_effect_is_said_to_have_none(
    tmp_path: Path, layout: str, dora: bool
) -> None:
    settings = dataclasses.replace(METHODS["lora"], lora_dora=dora)
    sweep, _ = leave_trial(tmp_path, settings, change=0.0)
    change = speech_change_of(export(sweep, tmp_path / "out", layout))
    assert change.share == pytest.approx(0.0, abs=1e-3)
    assert "is as it was at its start" in change.remark


def test_a_change_that_merging_rounds_away_is_told_with_a_layout_that_keeps_it(
    tmp_path: Path,
) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS["lora"], change=1e-5)
    change = speech_change_of(export(sweep, tmp_path / "out"))
    assert change.share == pytest.approx(0.0, abs=1e-3)
    assert "too small for the base's bfloat16" in change.remark
    assert "--layout peft" in change.remark
