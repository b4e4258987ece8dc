"""Unusable VibeVoice checkpoints are named before any lane comes up or any clip is encoded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests import vibe
from tests.checkpoint import write_checkpoint
from vibesweep.errors import ModelError
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.checkpoint.convert import convert
from vibesweep.models.vibevoice.checkpoint.original_config import original_config
from vibesweep.sweep.checks.corpus import check_fit

Spoil = Callable[[Path], object]

DEEP = '{"a":' * 5_000 + "1" + "}" * 5_000

NORM = "model.language_model.norm.weight"
EMBEDDINGS = "model.language_model.embed_tokens.weight"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a usable checkpoint, and shards with its features beside it."""
    folder = write_checkpoint(tmp_path_factory.mktemp("good") / "checkpoint")
    vibe.write_shards(folder.parent / "shards", folder)
    return folder


def set_in_config(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return spoil


def set_in_text_config(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        set_in_config(text_config=config["text_config"] | changes)(folder)

    return spoil


def remove(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def overwrite(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content)


def remove_tensor(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        del tensors[name]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return spoil


def keep_rows(name: str, rows: int) -> Spoil:
    """Shorten a tensor of the weights."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors[name] = tensors[name][:rows].clone()
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return spoil


def cut_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def shrink_vocabulary(folder: Path) -> None:
    """Cut the vocabulary below the ids of the audio tokens that the tokenizer knows."""
    config = json.loads((folder / "config.json").read_text())
    size = config["audio_bos_token_id"]
    config["text_config"]["vocab_size"] = size
    (folder / "config.json").write_text(json.dumps(config))
    keep_rows(EMBEDDINGS, size)(folder)


BROKEN: dict[str, tuple[Spoil, str]] = {
    "no VibeVoice": (set_in_config(model_type="qwen2"), "no VibeVoice checkpoint"),
    "no configuration": (remove("config.json"), "no VibeVoice checkpoint"),
    "no weights": (remove("model.safetensors"), "its weights cannot be read"),
    "cut weights": (cut_weights, "its weights cannot be read"),
    "missing tensors": (remove_tensor(NORM), rf"1 of its \d+ tensors are missing: {NORM}"),
    "other shapes": (keep_rows(NORM, 8), rf"{NORM} is of shape \[8\]"),
    "special ids": (set_in_config(audio_token_id=5), "the tokenizer's special ids differ"),
    "a small vocabulary": (shrink_vocabulary, "beyond the model's vocabulary of"),
    # transformers makes an empty tokenizer then
    "no tokenizer": (remove("tokenizer.json"), "the tokenizer's special ids differ"),
    "a spoiled tokenizer": (overwrite("tokenizer.json", "{"), "its tokenizer cannot be read"),
    "no template": (remove("chat_template.jinja"), "it has no chat template"),
    "a deep configuration": (overwrite("config.json", DEEP), "nested too deeply"),
    "a deep tokenizer": (overwrite("tokenizer.json", DEEP), "its tokenizer cannot be read"),
    "an absurd size": (set_in_text_config(hidden_size=2**40), "hidden_size is"),
    "a size below one": (set_in_text_config(hidden_size=-5), "no model can be made by its"),
    "a huge size": (set_in_text_config(hidden_size=2**20), "is of shape"),
    "endless layers": (set_in_text_config(num_hidden_layers=10**6), "num_hidden_layers is"),
    "a word for a size": (set_in_text_config(hidden_size="x"), "hidden_size"),
    "a list for a part": (set_in_config(audio_config=[1]), "audio_config"),
}


def check_for_training(model: str, shards: Path) -> None:
    check_fit(ModelRef("vibevoice", model), str(shards), print)


def check_for_preprocessing(model: str) -> None:
    reference = ModelRef("vibevoice", model)
    assert reference.family.clip_encoder(reference.address) is not None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_checkpoint_is_told_in_one_line_with_its_folder(
    good: Path, tmp_path: Path, name: str
) -> None:
    spoil, found = BROKEN[name]
    folder = tmp_path / "checkpoint"
    shutil.copytree(good, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=found) as in_training:
        check_for_training(str(folder), good.parent / "shards")
    with pytest.raises(ModelError, match=found) as in_preprocessing:
        check_for_preprocessing(str(folder))
    for error in (in_training.value, in_preprocessing.value):
        assert "\n" not in str(error)
        assert str(folder) in str(error)
        assert error.fix


def test_the_good_checkpoint_passes(good: Path) -> None:
    check_for_training(str(good), good.parent / "shards")
    check_for_preprocessing(str(good))


def test_a_hub_id_without_its_scheme_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(ModelError, match="vibevoice:OWNER/NAME"):
        ModelRef.parse("vibevoice/VibeVoice-1.5B-hf")


def test_keys_of_other_transformers_versions_do_not_change_the_encoders_fingerprint(
    good: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(good, other)
    fingerprint = Checkpoint.open(str(good)).fingerprint
    audio = json.loads((good / "config.json").read_text())["audio_config"]
    audio |= {"problem_type": "speech", "chunk_size_feed_forward": 3}
    set_in_config(audio_config=audio)(other)
    assert Checkpoint.open(str(other)).fingerprint == fingerprint
    set_in_config(audio_config={**audio, "rms_norm_eps": 1e-4})(other)
    assert Checkpoint.open(str(other)).fingerprint != fingerprint


def test_code_that_a_checkpoint_names_is_not_run(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(good, folder)
    mark = tmp_path / "pwned"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\nclass T: pass\n")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {"auto_map": {"AutoTokenizer": ["evil.T", None]}, "tokenizer_class": "T"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    auto_map = {"AutoConfig": "evil.T", "AutoModel": "evil.T"}
    # A name with a slash is a kernel of the hub, whose code transformers would run
    set_in_config(auto_map=auto_map, attn_implementation="attacker/kernel")(folder)
    set_in_text_config(auto_map=auto_map, attn_implementation="attacker/kernel")(folder)
    check_for_training(str(folder), good.parent / "shards")
    check_for_preprocessing(str(folder))
    ModelRef("vibevoice", str(folder)).family.load(str(folder))
    assert not mark.exists()


OUTSIDE = ("../victim.safetensors", "/tmp/victim.safetensors", "a/b.safetensors", "..", "", 5)


@pytest.mark.parametrize("name", [*OUTSIDE, "..\\victim.safetensors", "config.json"])
def test_an_index_that_names_a_file_elsewhere_is_refused_and_that_file_is_left_alone(
    good: Path, tmp_path: Path, name: object
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(good, folder)
    victim = tmp_path / "victim.safetensors"
    shutil.copyfile(good / "model.safetensors", victim)
    if name == OUTSIDE[1]:
        name = str(victim)
    before = victim.read_bytes()
    index = {"weight_map": dict.fromkeys(load_file(victim), name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="is no plain"):
        Checkpoint.open(str(folder))
    config = original_config(json.loads((good / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is no plain"):
        convert(str(folder), tmp_path / "converted", str(good))
    assert victim.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "victim.safetensors"}
