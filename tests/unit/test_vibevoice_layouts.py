"""Exports of a VibeVoice sweep's best trial, read by the libraries that they are meant for."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import VibeVoiceForConditionalGeneration

from tests import vibe
from tests.checkpoint import write_checkpoint
from tests.trained_trial import (
    BF16_ROUNDING,
    HEADS_IN_FULL,
    LORA,
    METHODS,
    leave_trial,
    read_tensors,
    write_record,
)
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.delivery.export import export
from vibesweep.delivery.sample import speak_sample
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.adapters import merged
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.checkpoint import Checkpoint, transformers_name
from vibesweep.models.vibevoice.checkpoint.original_config import is_original
from vibesweep.models.vibevoice.checkpoint.original_names import to_transformers
from vibesweep.models.vibevoice.export import LAYOUTS, TrainedTensors
from vibesweep.models.vibevoice.family import VibeVoiceFamily
from vibesweep.models.vibevoice.model import VibeVoiceModel
from vibesweep.sweep.record import SweepFolder
from vibesweep.training.state.checkpoint import fetched_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

EMBEDDINGS = "model.language_model.embed_tokens.weight"

# peft 0.21 asks each transformers model that it wraps for `is_gradient_checkpointing`
PEFT_ASKS_BY_AN_OLD_NAME = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def run_without_vibesweep(code: str, folder: Path) -> str:
    """Run code with a folder as its working directory, without vibesweep, and return its output."""
    guard = "import sys\nassert not any(name.startswith('vibesweep') for name in sys.modules)\n"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code + "\n" + guard],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def changed_by(model: nn.Module) -> set[str]:
    """Return the weights of the base that a trained model changes, by transformers' names."""
    names = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            inner = name.removeprefix("base_model.model.")
            names.add(re.sub(r"\.lora_\w+\.default\.weight$", ".weight", inner))
    return {transformers_name(name) for name in names}


def test_the_family_offers_the_layouts_of_the_table() -> None:
    assert VibeVoiceFamily.layouts == tuple(LAYOUTS)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", METHODS)
def test_merged_is_the_trained_model_in_the_bases_own_precision(
    tmp_path: Path, name: str, tied: bool
) -> None:
    shard_size = "400KB" if tied else ""
    sweep, model = leave_trial(tmp_path, METHODS[name], tied=tied, shard_size=shard_size)
    out = export(sweep, tmp_path / "out")
    base_files = {path.name for path in (tmp_path / "base").iterdir()}
    assert {path.name for path in out.iterdir()} == base_files | {"provenance.json"}
    base, found = read_tensors(tmp_path / "base"), read_tensors(out)
    assert found.keys() == base.keys()
    trained = {transformers_name(name): part for name, part in merged(model).named_parameters()}
    for name, value in found.items():
        assert value.dtype == base[name].dtype == torch.bfloat16
        wanted = trained.get(name, base[name])
        torch.testing.assert_close(value.float(), wanted.float(), rtol=BF16_ROUNDING, atol=1e-5)
    changed = {name for name in found if not torch.equal(found[name], base[name])}
    assert changed == changed_by(model)
    assert json.loads((out / "provenance.json").read_text())["trial"]["id"] == "t0"


def test_a_tied_output_that_is_stored_twice_stays_tied(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS["full"])
    weights = tmp_path / "base" / "model.safetensors"
    base = load_file(weights)
    save_file({**base, "lm_head.weight": base[EMBEDDINGS].clone()}, weights, {"format": "pt"})
    found = read_tensors(export(sweep, tmp_path / "out"))
    assert torch.equal(found["lm_head.weight"], found[EMBEDDINGS])
    assert not torch.equal(found[EMBEDDINGS], base[EMBEDDINGS])


def test_merged_speaks_with_transformers_alone(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard_size="400KB")
    code = """
import torch
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor
model = VibeVoiceForConditionalGeneration.from_pretrained(".")
processor = VibeVoiceProcessor.from_pretrained(".")
chat = [{"role": "0", "content": [{"type": "text", "text": "Good morning."}]}]
script = processor.apply_chat_template(chat, tokenize=False)
inputs = processor(text=[script], return_tensors="pt")
torch.manual_seed(0)
sound = model.generate(**inputs, min_new_tokens=4, max_new_tokens=4)[0]
print(sound.shape[-1], bool(sound.isfinite().all()))
"""
    samples, finite = run_without_vibesweep(code, export(sweep, tmp_path / "out")).split()
    assert int(samples) > 0
    assert int(samples) % 3_200 == 0
    assert finite == "True"


def states(model: Any) -> list[float]:
    """Return hidden states for four tokens, and the diffusion head's output for the last one.

    The test below runs this function's source in another process too.
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    whole.eval().float()
    with torch.no_grad():
        hidden = whole.model(input_ids=torch.arange(40, 44)[None]).last_hidden_state
        head = whole.model.diffusion_head(torch.ones(1, 64), torch.tensor([500.0]), hidden[:, -1])
    return [*hidden.flatten().tolist(), *head.flatten().tolist()]


def states_of(folder: Path) -> torch.Tensor:
    return torch.tensor(states(VibeVoiceForConditionalGeneration.from_pretrained(folder)))


@pytest.mark.parametrize("name", ["heads in full", "dora"])
def test_the_cards_own_code_loads_the_adapter_with_peft_alone(tmp_path: Path, name: str) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS[name], tied=False)
    adapter = export(sweep, tmp_path / "adapter", "peft")
    whole = export(sweep, tmp_path / "whole", "merged")
    assert (adapter / "trained.safetensors").exists() == (name == "heads in full")
    card = (adapter / "README.md").read_text()
    (card_code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    code = [
        card_code,
        "import torch",
        "from typing import Any",
        inspect.getsource(states),
        "print('STATES', states(model))",
    ]
    output = run_without_vibesweep("\n".join(code), adapter)
    adapted = torch.tensor(json.loads(output.split("STATES")[1]))
    wanted, base = states_of(whole), states_of(tmp_path / "base")
    # The adapter is the merged model but for the rounding of the merged weights
    assert (adapted - wanted).norm() < 0.1 * (base - wanted).norm()


@PEFT_ASKS_BY_AN_OLD_NAME
def test_peft_reads_every_tensor_of_the_adapter(tmp_path: Path) -> None:
    sweep, model = leave_trial(tmp_path, METHODS["dora"])
    out = export(sweep, tmp_path / "out", "peft")
    plain = VibeVoiceForConditionalGeneration.from_pretrained(tmp_path / "base")
    read = dict(PeftModel.from_pretrained(plain, str(out)).named_parameters())
    trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
    assert len(load_file(out / "adapter_model.safetensors")) == len(trained)
    for name, parameter in trained.items():
        peft_name = name.replace("base_model.model.", "base_model.model.model.", 1)
        assert torch.equal(read[peft_name], parameter)


def test_the_original_layout_is_merged_under_the_originals_names(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard_size="400KB")
    out = export(sweep, tmp_path / "out", "original")
    whole = read_tensors(export(sweep, tmp_path / "whole"))
    found = read_tensors(out)
    assert {to_transformers(name) for name in found} == whole.keys()
    for name, value in found.items():
        assert torch.equal(value, whole[to_transformers(name)])
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert index.keys() == found.keys()
    for name, file in index.items():
        assert name in load_file(out / file)
    assert is_original(json.loads((out / "config.json").read_text()))
    preprocessor = json.loads((out / "preprocessor_config.json").read_text())
    assert preprocessor["speech_tok_compress_ratio"] == 3_200


def test_the_latents_scale_that_the_base_lacks_is_handed_on(tmp_path: Path) -> None:
    base = Checkpoint.open(str(write_checkpoint(tmp_path / "base", scale=None)))
    sweep, _ = leave_trial(tmp_path / "trial", LORA)
    out = tmp_path / "out"
    out.mkdir()
    with fetched_checkpoint(sweep.checkpoints / "t0") as (file, settings):
        trained = TrainedTensors.read(base, file, settings, (0.25, -0.5))
        LAYOUTS["merged"](trained, out, "")
    model = VibeVoiceForConditionalGeneration.from_pretrained(out).model
    assert model.latent_scaling_factor.item() == 0.25
    assert model.latent_bias_factor.item() == -0.5


@pytest.mark.parametrize("stored", [True, False], ids=["as nan", "not at all"])
def test_an_adapter_of_such_a_base_brings_the_scale_along_or_is_refused(
    tmp_path: Path, stored: bool
) -> None:
    scale = (float("nan"), float("nan")) if stored else None
    base = Checkpoint.open(str(write_checkpoint(tmp_path / "base", scale=scale)))
    sweep, _ = leave_trial(tmp_path / "trial", LORA)
    out = tmp_path / "out"
    out.mkdir()
    with fetched_checkpoint(sweep.checkpoints / "t0") as (file, settings):
        trained = TrainedTensors.read(base, file, settings, (0.25, -0.5))
        LAYOUTS["peft"](trained, out, "")
        for layout in ("lora", "comfyui"):
            with pytest.raises(ModelError, match="without the scale of its latents"):
                LAYOUTS[layout](trained, out, "")
    full_weights = load_file(out / "trained.safetensors")
    assert full_weights["model.latent_scaling_factor"].item() == 0.25
    assert full_weights["model.latent_bias_factor"].item() == -0.5


def test_an_export_can_be_tuned_again(tmp_path: Path) -> None:
    sweep, model = leave_trial(tmp_path, LORA)
    exported = Checkpoint.open(str(export(sweep, tmp_path / "out")))
    again = VibeVoiceModel.from_checkpoint(exported)
    trained = dict(merged(model).named_parameters())
    for name, parameter in again.named_parameters():
        assert torch.allclose(parameter, trained[name], rtol=BF16_ROUNDING, atol=1e-5)
    assert exported.fingerprint == Checkpoint.open(str(tmp_path / "base")).fingerprint


@pytest.mark.parametrize(
    ("method", "layout", "found"),
    [
        ("full", "peft", "no adapter holds them"),
        ("freeze", "lora", "no adapter holds them"),
        ("lora", "gguf", "choose one of merged, peft"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(
    tmp_path: Path, method: str, layout: str, found: str
) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS[method])
    with pytest.raises(ModelError, match=f"(?i){found}"):
        export(sweep, tmp_path / "out", layout)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "sweep"}


def test_the_base_is_never_overwritten(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA)
    with pytest.raises(ModelError, match="is no bundle"):
        export(sweep, tmp_path / "base")
    assert Checkpoint.open(str(tmp_path / "base"))


def test_a_trial_of_another_base_is_refused(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS["full"], tied=False)
    record = sweep.read()
    record.model = str(write_checkpoint(tmp_path / "other"))
    sweep.write(record)
    with pytest.raises(ModelError, match=r"trained lm_head\.weight"):
        export(sweep, tmp_path / "out")


def open_context(model: Path, shards: Path) -> WorkerContext:
    return WorkerContext.open(ModelRef.parse(f"vibevoice:{model}"), shards, World())


def test_a_trials_export_is_as_good_as_the_trial_and_its_sample_is_spoken(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", tied=False, scale=None)
    shards = vibe.write_shards(tmp_path / "shards", base)
    settings = dataclasses.replace(HEADS_IN_FULL, learning_rate=1e-2, batch_clips=4)
    untouched = WorkerContext.open(ModelRef.parse(f"vibevoice:{base}"), shards, World())
    untouched_loss = untouched.validate(untouched.base)
    run = TrialRun(
        WorkerContext.open(ModelRef.parse(f"vibevoice:{base}"), shards, World()), settings, 4
    )
    loss = run.advance(4).loss_val
    sweep = SweepFolder(tmp_path / "sweep")
    run.save(sweep.checkpoints / "t0")
    signature = read_manifest(shards).signature
    write_record(sweep, base, shards, settings, loss=loss, signature=signature)
    context = WorkerContext.open(
        ModelRef.parse(str(export(sweep, tmp_path / "best"))), shards, World()
    )
    improvement = abs(untouched_loss - loss)
    assert context.validate(context.base) == pytest.approx(loss, abs=0.05 * improvement)
    seconds = soundfile.info(str(speak_sample(sweep, tmp_path / "best"))).duration
    assert 0 < seconds < 30
    write_record(sweep, base, shards, settings, loss=loss, signature="other")
    with pytest.raises(ShardsError, match="changed since the sweep"):
        export(sweep, tmp_path / "again")
