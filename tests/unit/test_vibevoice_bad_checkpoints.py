"""Checkpoints that cannot be used are named before any lane comes up, and before a corpus is heard."""

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
from vibesweep.models.bundle import encoder_of
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.sweep.prepare import check_fit


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, beside shards with its features."""
    folder = write_checkpoint(tmp_path_factory.mktemp("good") / "checkpoint")
    vibe.write_shards(folder.parent / "shards", folder)
    return folder


def configured(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        found = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**found, **changes}))

    return change


def with_tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return changed


def cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def with_fewer_words(folder: Path) -> None:
    """Embeddings for fewer tokens than the tokenizer has, the padding one among them."""
    found = json.loads((folder / "config.json").read_text())
    size = found["text_config"]["vocab_size"] = found["audio_bos_token_id"]
    (folder / "config.json").write_text(json.dumps(found))
    name = "model.language_model.embed_tokens.weight"
    with_tensors(lambda tensors: tensors.update({name: tensors[name][:size].clone()}))(folder)


NORM = "model.language_model.norm.weight"
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no VibeVoice": (configured(model_type="qwen2"), "no VibeVoice checkpoint"),
    "no configuration": (
        lambda folder: (folder / "config.json").unlink(),
        "no VibeVoice checkpoint",
    ),
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "its weights cannot be read",
    ),
    "cut weights": (cut, "its weights cannot be read"),
    "missing tensors": (
        with_tensors(lambda tensors: tensors.pop(NORM)),
        rf"1 of its \d+ tensors are missing: {NORM}",
    ),
    "other shapes": (
        with_tensors(lambda tensors: tensors.update({NORM: tensors[NORM][:8].clone()})),
        rf"{NORM} is of shape \[8\]",
    ),
    "special ids": (configured(audio_token_id=5), "the tokenizer's special ids differ"),
    "a small vocabulary": (with_fewer_words, "beyond the model's vocabulary of"),
    # transformers then makes an empty one
    "no tokenizer": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "the tokenizer's special ids differ",
    ),
    "a spoiled tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        "its tokenizer cannot be read",
    ),
    "no template": (
        lambda folder: (folder / "chat_template.jinja").unlink(),
        "it has no chat template",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_is_one_line_that_names_the_folder(good: Path, tmp_path: Path, name: str) -> None:
    spoil, found = BROKEN[name]
    folder = tmp_path / "checkpoint"
    shutil.copytree(good, folder)
    spoil(folder)
    for look in (
        lambda: check_fit(f"vibevoice:{folder}", str(good.parent / "shards"), print),
        lambda: encoder_of(f"vibevoice:{folder}"),
    ):
        with pytest.raises(ModelError, match=found) as told:
            look()
        assert "\n" not in str(told.value)
        assert str(folder) in str(told.value)
        assert told.value.fix


def test_the_good_one_passes(good: Path) -> None:
    check_fit(f"vibevoice:{good}", str(good.parent / "shards"), print)
    assert encoder_of(f"vibevoice:{good}") is not None


def test_a_hub_id_without_its_scheme_is_told_how_to_write_it() -> None:
    with pytest.raises(ModelError, match="vibevoice:OWNER/NAME"):
        encoder_of("vibevoice/VibeVoice-1.5B-hf")


def test_what_other_versions_of_transformers_write_does_not_change_the_encoders_fingerprint(
    good: Path, tmp_path: Path
) -> None:
    shutil.copytree(good, tmp_path / "other")
    found = json.loads((good / "config.json").read_text())
    found["audio_config"] |= {"problem_type": "speech", "chunk_size_feed_forward": 3}
    configured(audio_config=found["audio_config"])(tmp_path / "other")
    assert (
        Checkpoint.open(str(tmp_path / "other")).fingerprint
        == Checkpoint.open(str(good)).fingerprint
    )
    configured(audio_config=found["audio_config"] | {"rms_norm_eps": 1e-4})(tmp_path / "other")
    assert (
        Checkpoint.open(str(tmp_path / "other")).fingerprint
        != Checkpoint.open(str(good)).fingerprint
    )
