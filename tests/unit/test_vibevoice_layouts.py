"""What a VibeVoice sweep's best trial is exported as, read by the libraries that it is meant for."""

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
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

from tests import vibe
from tests.checkpoint import write_checkpoint
from vibesweep.config import Sweep, TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.delivery.export import export
from vibesweep.delivery.sample import speak_sample
from vibesweep.delivery.synthesize import synthesize
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.adapters import for_trial, merged
from vibesweep.models.bundle import load_bundle
from vibesweep.models.tensor_files import rewrite
from vibesweep.models.vibevoice.checkpoint import Checkpoint, transformers_name
from vibesweep.models.vibevoice.checkpoint.convert import convert
from vibesweep.models.vibevoice.checkpoint.original_config import is_original
from vibesweep.models.vibevoice.checkpoint.original_names import to_transformers
from vibesweep.models.vibevoice.export.layouts import LAYOUTS
from vibesweep.models.vibevoice.export.trained import TrainedTensors
from vibesweep.models.vibevoice.model import VibeVoiceModel
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.training.state.checkpoint import fetched_checkpoint, save_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

LORA = TrialSettings(method="lora", lora_rank=4, lora_alpha_ratio=2.0)
IN_FULL = dataclasses.replace(LORA, lora_head="full", lora_connectors="full")
METHODS = {
    "lora": LORA,
    "heads in full": IN_FULL,
    "dora": dataclasses.replace(LORA, lora_dora=True),
    "rslora": dataclasses.replace(
        LORA, lora_rslora=True, lora_alpha=3.0, lora_targets=r".*(q_proj|linear_\d|cond_proj)"
    ),
    "full": TrialSettings(method="full"),
    "freeze": TrialSettings(method="freeze", freeze_layers=1),
}
BF16_ROUNDING = 2**-8
"""Half of the last bit of a bfloat16, and as much for the rounding before it."""

# peft 0.21 asks each transformers model that it wraps for `is_gradient_checkpointing`
PEFT_ASKS_BY_AN_OLD_NAME = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def leave_trial(
    root: Path, settings: TrialSettings, *, tied: bool = True, shard: str = ""
) -> tuple[SweepFolder, nn.Module]:
    """What a sweep leaves whose one trial moved everything that its settings train; and the trained model."""
    base = write_checkpoint(root / "base", tied=tied)
    if shard:
        reshard(base, shard)
    torch.manual_seed(3)
    model = for_trial(load_bundle(str(base)).model, settings)
    with torch.no_grad():
        for part in model.parameters():
            if part.requires_grad:
                part.add_(0.05 * torch.randn_like(part))
    folder = SweepFolder(root / "sweep")
    save_checkpoint(model, settings, {"step": 3}, folder.checkpoints / "t0")
    record = SweepRecord(
        "sweep",
        f"vibevoice:{base}",
        str(root / "shards"),
        "",
        sweep_as_json(Sweep(space={}, trials=1)),
        1,
        {},
    )
    trial = TrialRecord(
        "t0", 0, {}, dataclasses.asdict(settings), TrialState.COMPLETE, best_loss_val=0.5
    )
    folder.write(dataclasses.replace(record, trials=[trial]))
    return folder, model


def reshard(base: Path, size: str) -> None:
    """Save the checkpoint again in files no larger than this."""
    model = VibeVoiceForConditionalGeneration.from_pretrained(base, dtype="auto")
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size=size)


def tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, in whatever files."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    return found


def run_without_vibesweep(code: str, folder: Path) -> str:
    """Run code in a process of its own, in a folder, where vibesweep is not to be had; what it prints."""
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


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", METHODS)
def test_merged_is_the_trained_model_in_the_bases_own_precision(
    tmp_path: Path, name: str, tied: bool
) -> None:
    sweep, model = leave_trial(tmp_path, METHODS[name], tied=tied, shard="400KB" if tied else "")
    base, out = tensors(tmp_path / "base"), export(sweep, tmp_path / "out")
    found = tensors(out)
    assert {path.name for path in (tmp_path / "base").iterdir()} | {"provenance.json"} == {
        path.name for path in out.iterdir()
    }
    assert found.keys() == base.keys()
    trained = {transformers_name(part): value for part, value in merged(model).named_parameters()}
    for part, value in found.items():
        assert value.dtype == base[part].dtype == torch.bfloat16
        wanted = trained[part] if part in trained else base[part]
        torch.testing.assert_close(value.float(), wanted.float(), rtol=BF16_ROUNDING, atol=1e-5)
    moved = {part for part in found if not torch.equal(found[part], base[part])}
    assert moved == changed_by(model)
    assert json.loads((out / "provenance.json").read_text())["trial"]["id"] == "t0"


def changed_by(model: nn.Module) -> set[str]:
    """The weights of the base that a trial changes, by transformers' names."""
    names = {
        re.sub(r"\.lora_\w+\.default\.weight$", ".weight", n)
        for n, part in model.named_parameters()
        if part.requires_grad
    }
    return {transformers_name(name.removeprefix("base_model.model.")) for name in names}


def test_a_tied_output_that_is_stored_twice_stays_tied(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    sweep, _ = leave_trial(tmp_path, METHODS["full"])
    held = load_file(tmp_path / "base" / "model.safetensors")
    embeddings = "model.language_model.embed_tokens.weight"
    save_file(
        {**held, "lm_head.weight": held[embeddings].clone()},
        tmp_path / "base" / "model.safetensors",
        {"format": "pt"},
    )
    found = tensors(export(sweep, tmp_path / "out"))
    assert torch.equal(found["lm_head.weight"], found[embeddings])
    assert not torch.equal(found[embeddings], held[embeddings])


def test_merged_speaks_with_transformers_alone(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard="400KB")
    code = """
import torch
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor
model, processor = VibeVoiceForConditionalGeneration.from_pretrained("."), VibeVoiceProcessor.from_pretrained(".")
chat = [{"role": "0", "content": [{"type": "text", "text": "Good morning."}]}]
script = processor.apply_chat_template(chat, tokenize=False)
torch.manual_seed(0)
sound = model.generate(**processor(text=[script], return_tensors="pt"), min_new_tokens=4, max_new_tokens=4)[0]
print(sound.shape[-1], bool(sound.isfinite().all()))
"""
    samples, finite = run_without_vibesweep(code, export(sweep, tmp_path / "out")).split()
    assert int(samples) > 0
    assert int(samples) % 3_200 == 0
    assert finite == "True"


def states(model: Any) -> list[float]:
    """The hidden states for four tokens, and the diffusion head's answer to the last. Its own source is run elsewhere too."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    whole.eval().float()
    with torch.no_grad():
        hidden = whole.model(input_ids=torch.arange(40, 44)[None]).last_hidden_state
        head = whole.model.diffusion_head(torch.ones(1, 64), torch.tensor([500.0]), hidden[:, -1])
    return [*hidden.flatten().tolist(), *head.flatten().tolist()]


@pytest.mark.parametrize("name", ["heads in full", "dora"])
def test_the_cards_own_code_loads_the_adapter_with_peft_alone(tmp_path: Path, name: str) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS[name], tied=False)
    adapter, whole = (
        export(sweep, tmp_path / "adapter", "peft"),
        export(sweep, tmp_path / "whole", "merged"),
    )
    assert (adapter / "trained.safetensors").exists() == (name == "heads in full")
    (code,) = re.findall(r"```python\n(.*?)```", (adapter / "README.md").read_text(), re.DOTALL)
    tell = f"import torch\nfrom typing import Any\n{inspect.getsource(states)}\nprint('STATES', states(model))"
    adapted = torch.tensor(
        json.loads(run_without_vibesweep(f"{code}\n{tell}", adapter).split("STATES")[1])
    )
    plain = (
        VibeVoiceForConditionalGeneration.from_pretrained(folder)
        for folder in (whole, tmp_path / "base")
    )
    wanted, base = (torch.tensor(states(model)) for model in plain)
    far = (base - wanted).norm()
    assert (adapted - wanted).norm() < 0.1 * far, (
        "the adapter is the merged model but for the rounding of the merged weights"
    )


@PEFT_ASKS_BY_AN_OLD_NAME
def test_peft_reads_every_tensor_of_the_adapter(tmp_path: Path) -> None:
    sweep, model = leave_trial(tmp_path, METHODS["dora"])
    out = export(sweep, tmp_path / "out", "peft")
    plain = VibeVoiceForConditionalGeneration.from_pretrained(tmp_path / "base")
    read = dict(PeftModel.from_pretrained(plain, str(out)).named_parameters())
    trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
    assert len(load_file(out / "adapter_model.safetensors")) == len(trained)
    assert all(
        torch.equal(read[name.replace("base_model.model.", "base_model.model.model.", 1)], part)
        for name, part in trained.items()
    )


@PEFT_ASKS_BY_AN_OLD_NAME
@pytest.mark.parametrize("name", ["lora", "heads in full"])
def test_the_lora_layout_is_what_the_community_loaders_look_for(tmp_path: Path, name: str) -> None:
    sweep, _ = leave_trial(tmp_path, METHODS[name])
    out, whole = export(sweep, tmp_path / "out", "lora"), tensors(export(sweep, tmp_path / "whole"))
    # The language model's adapter is one for that module alone
    language_model = VibeVoiceForConditionalGeneration.from_pretrained(
        tmp_path / "base", dtype=torch.float32
    ).model.language_model
    adapted = PeftModel.from_pretrained(language_model, str(out)).merge_and_unload()
    for part, value in adapted.named_parameters():
        torch.testing.assert_close(
            value, whole[f"model.language_model.{part}"].float(), rtol=BF16_ROUNDING, atol=1e-5
        )
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 8, None)
    assert "layers.0.self_attn.q_proj" in config["target_modules"]
    # The head whole, under the original's names, in both formats that loaders read
    head = torch.load(out / "diffusion_head" / "diffusion_head_full.bin", weights_only=True)
    assert all(
        torch.equal(value, head[part])
        for part, value in load_file(out / "diffusion_head" / "model.safetensors").items()
    )
    parts = {"prediction_head": head}
    if name == "heads in full":
        for connector in ("acoustic_connector", "semantic_connector"):
            parts[connector] = torch.load(out / connector / "pytorch_model.bin", weights_only=True)
            assert parts[connector].keys() == {
                f"{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("weight", "bias")
            } | {"norm.weight"}
    else:
        assert not (out / "acoustic_connector").exists()
    for module, state in parts.items():
        for part, value in state.items():
            assert torch.equal(value, whole[to_transformers(f"model.{module}.{part}")])


def test_the_original_layout_is_merged_under_the_originals_names(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard="400KB")
    out, whole = (
        export(sweep, tmp_path / "out", "original"),
        tensors(export(sweep, tmp_path / "whole")),
    )
    found = tensors(out)
    assert {to_transformers(name) for name in found} == whole.keys()
    for name, value in found.items():
        assert torch.equal(value, whole[to_transformers(name)])
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert index.keys() == found.keys()
    assert all(name in load_file(out / file) for name, file in index.items())
    assert is_original(json.loads((out / "config.json").read_text()))
    assert (
        json.loads((out / "preprocessor_config.json").read_text())["speech_tok_compress_ratio"]
        == 3_200
    )


def test_the_latents_scale_that_the_base_lacks_is_handed_on(tmp_path: Path) -> None:
    base = Checkpoint.open(str(write_checkpoint(tmp_path / "base", scale=None)))
    sweep, _ = leave_trial(tmp_path / "trial", LORA)
    (tmp_path / "out").mkdir()
    with fetched_checkpoint(sweep.checkpoints / "t0") as (file, settings):
        LAYOUTS["merged"](
            TrainedTensors.read(base, file, settings, (0.25, -0.5)), tmp_path / "out", ""
        )
    model = VibeVoiceForConditionalGeneration.from_pretrained(tmp_path / "out").model
    assert (model.latent_scaling_factor.item(), model.latent_bias_factor.item()) == (0.25, -0.5)


@pytest.mark.parametrize("stored", [True, False], ids=["as nan", "not at all"])
def test_an_adapter_of_such_a_base_brings_the_scale_along_or_is_refused(
    tmp_path: Path, stored: bool
) -> None:
    scale = (float("nan"), float("nan")) if stored else None
    base = Checkpoint.open(str(write_checkpoint(tmp_path / "base", scale=scale)))
    sweep, _ = leave_trial(tmp_path / "trial", LORA)
    (tmp_path / "out").mkdir()
    with fetched_checkpoint(sweep.checkpoints / "t0") as (file, settings):
        trained = TrainedTensors.read(base, file, settings, (0.25, -0.5))
        LAYOUTS["peft"](trained, tmp_path / "out", "")
        with pytest.raises(ModelError, match="without the scale of its latents"):
            LAYOUTS["lora"](trained, tmp_path / "out", "")
    beside = load_file(tmp_path / "out" / "trained.safetensors")
    assert beside["model.latent_scaling_factor"].item() == 0.25
    assert beside["model.latent_bias_factor"].item() == -0.5


def test_what_is_exported_can_be_tuned_again(tmp_path: Path) -> None:
    sweep, model = leave_trial(tmp_path, LORA)
    again = load_bundle(str(export(sweep, tmp_path / "out"))).model
    assert isinstance(again, VibeVoiceModel)
    trained = dict(merged(model).named_parameters())
    assert all(
        torch.allclose(part, trained[name], rtol=BF16_ROUNDING, atol=1e-5)
        for name, part in again.named_parameters()
    )
    assert (
        Checkpoint.open(str(tmp_path / "out")).fingerprint
        == Checkpoint.open(str(tmp_path / "base")).fingerprint
    )


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


def test_an_original_checkpoint_is_converted_to_the_bit_and_speaks(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA, shard="400KB")
    original, whole = (
        export(sweep, tmp_path / "original", "original"),
        export(sweep, tmp_path / "whole"),
    )
    with pytest.raises(ModelError, match=r"vibesweep convert .*original NEW_FOLDER"):
        Checkpoint.open(str(original))
    converted = convert(str(original), tmp_path / "new" / "ours")
    found, wanted = tensors(converted.folder), tensors(whole)
    assert found.keys() == wanted.keys()
    assert all(
        torch.equal(value, wanted[name]) and value.dtype == wanted[name].dtype
        for name, value in found.items()
    )
    chat: Any = [
        {"role": "0", "content": [{"type": "text", "text": "One."}, {"type": "audio"}]},
        {"role": "1", "content": [{"type": "audio"}, {"type": "text", "text": "Two."}]},
        {"role": "0", "content": [{"type": "text", "text": "Three."}]},
    ]
    for messages in (chat, chat[2:]):
        ours, theirs = (
            VibeVoiceProcessor.from_pretrained(folder) for folder in (converted.folder, whole)
        )
        assert ours.apply_chat_template(messages, tokenize=False) == theirs.apply_chat_template(
            messages, tokenize=False
        )
        assert ours.feature_extractor.to_dict() == theirs.feature_extractor.to_dict()
    said = [
        synthesize(str(folder), "Good morning.", tmp_path / f"{name}.wav")
        for name, folder in (("a", converted.folder), ("b", whole))
    ]
    assert said[0] == said[1]
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_what_cannot_be_converted_is_named(tmp_path: Path) -> None:
    sweep, _ = leave_trial(tmp_path, LORA)
    original = export(sweep, tmp_path / "original", "original")
    with pytest.raises(ModelError, match="is no checkpoint of the original"):
        convert(str(tmp_path / "base"), tmp_path / "new")
    with pytest.raises(ModelError, match="there already"):
        convert(str(original), tmp_path / "base")
    with pytest.raises(ModelError, match="the tokenizer cannot be read"):
        convert(str(original), tmp_path / "new", tokenizer=str(tmp_path / "nowhere"))
    rewrite(
        original / "model.safetensors",
        original / "odd.safetensors",
        rename=lambda name: f"odd.{name}",
    )
    (original / "odd.safetensors").rename(original / "model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor odd\."):
        convert(str(original), tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "sweep", "original"}


def test_a_trials_export_is_as_good_as_the_trial_and_its_sample_is_spoken(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", tied=False, scale=None)
    shards = vibe.write_shards(tmp_path / "shards", base)
    settings = dataclasses.replace(IN_FULL, learning_rate=1e-2, batch_clips=4)
    run = TrialRun(WorkerContext.open(f"vibevoice:{base}", shards, World()), settings, 4)
    loss = run.advance(4).loss_val
    sweep = SweepFolder(tmp_path / "sweep")
    run.save(sweep.checkpoints / "t0")
    signature = read_manifest(shards).signature
    record = SweepRecord(
        "sweep",
        f"vibevoice:{base}",
        str(shards),
        signature,
        sweep_as_json(Sweep(space={}, trials=1)),
        1,
        {},
    )
    trial = TrialRecord(
        "t0", 0, {}, dataclasses.asdict(settings), TrialState.COMPLETE, best_loss_val=loss
    )
    sweep.write(dataclasses.replace(record, trials=[trial]))
    context = WorkerContext.open(str(export(sweep, tmp_path / "best")), shards, World())
    untouched = WorkerContext.open(str(base), shards, World()).validate(
        load_bundle(str(base)).model
    )
    assert context.validate(context.base) == pytest.approx(loss, abs=0.05 * abs(untouched - loss))
    seconds = soundfile.info(str(speak_sample(sweep, tmp_path / "best"))).duration
    assert 0 < seconds < 30
    sweep.write(dataclasses.replace(record, trials=[trial], shards_signature="other"))
    with pytest.raises(ShardsError, match="changed since the sweep"):
        export(sweep, tmp_path / "again")
