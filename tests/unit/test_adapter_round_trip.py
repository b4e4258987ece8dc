"""Base and adapter together are the merged export: for each way to train, in each family."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import VibeVoiceForConditionalGeneration

from tests import tiny
from tests.checkpoint import write_checkpoint
from tests.trained_trial import LORA, METHODS, read_tensors
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial
from vibesweep.models.family import TunedTrial
from vibesweep.models.registry import ModelRef
from vibesweep.training.state.checkpoint import fetched_checkpoint, save_checkpoint

WAYS = METHODS | {
    "head in full": dataclasses.replace(LORA, lora_head="full"),
    "connectors in full": dataclasses.replace(LORA, lora_connectors="full"),
    "head frozen": dataclasses.replace(LORA, lora_head="frozen"),
    "all linear layers": dataclasses.replace(LORA, lora_targets=".*"),
    "dora and head in full": dataclasses.replace(LORA, lora_dora=True, lora_head="full"),
}
BASES = ("mel", "vibevoice")

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelRef]:
    """Write a base of each family in float32, so that merging rounds nothing away."""
    root = tmp_path_factory.mktemp("bases")
    mel = tiny.write_base(root / "mel")
    vibevoice = write_checkpoint(root / "vibevoice", tied=False)
    weights = vibevoice / "model.safetensors"
    in_full = {name: tensor.float() for name, tensor in load_file(weights).items()}
    save_file(in_full, weights, {"format": "pt"})
    tiny.write_shards(root / "shards", 10)
    return {"mel": ModelRef.parse(str(mel)), "vibevoice": ModelRef.parse(f"vibevoice:{vibevoice}")}


def export(base: ModelRef, settings: TrialSettings, root: Path, layout: str) -> Path:
    """Change all that a trial trains, and export it."""
    torch.manual_seed(3)
    model = for_trial(base.load(), settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    save_checkpoint(model, settings, {"step": 3}, root / "trial")
    out = root / layout
    out.mkdir()
    shards = Path(base.address).parent / "shards"
    with fetched_checkpoint(root / "trial") as (weights, _):
        trial = TunedTrial(base.address, weights, settings, str(shards), "tiny")
        base.family.export(trial, out, layout)
    return out


def adapted(base: nn.Module, adapter: Path) -> dict[str, Tensor]:
    """Load an adapter as any user of peft would, and merge it."""
    plain: Any = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    tensors: dict[str, Tensor] = plain.state_dict()
    return tensors


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", BASES)
def test_base_and_adapter_are_the_merged_model(
    bases: dict[str, ModelRef], tmp_path: Path, family: str, way: str
) -> None:
    base, settings = bases[family], WAYS[way]
    has_adapter = settings.method == "lora"
    if family == "mel":
        out = export(base, settings, tmp_path, "bundle")
        adapter = out / "adapter"
        assert adapter.exists() == has_adapter
        plain: nn.Module = base.load()
    else:
        out = export(base, settings, tmp_path, "merged")
        if not has_adapter:
            with pytest.raises(ModelError, match="no adapter holds them"):
                export(base, settings, tmp_path, "peft")
            return
        adapter = export(base, settings, tmp_path, "peft")
        plain = VibeVoiceForConditionalGeneration.from_pretrained(base.address, dtype=torch.float32)
        in_full = adapter / "trained.safetensors"
        if in_full.exists():
            assert not plain.load_state_dict(load_file(in_full), strict=False).unexpected_keys
    if not has_adapter:
        return
    merged = read_tensors(out) if family == "vibevoice" else load_file(out / "model.safetensors")
    untouched = plain.state_dict()
    assert any(not torch.equal(tensor, untouched[name]) for name, tensor in merged.items())
    found = adapted(plain, adapter)
    for name, tensor in merged.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-5, msg=name)
