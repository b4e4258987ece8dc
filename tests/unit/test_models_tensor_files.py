"""Safetensors files written again with tensors changed, renamed and added."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import copy_companions, rewrite, save_tensors


def raw_bytes(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def test_tensors_are_changed_renamed_and_added(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"a": torch.randn(3, 5).bfloat16(), "b": torch.randn(7), "c": torch.tensor(2.0)}
    save_file(tensors, tmp_path / "in.safetensors", metadata={"format": "pt", "by": "us"})
    added = {"d": torch.tensor(0.5, dtype=torch.bfloat16)}

    def double_b(name: str, tensor: Tensor) -> Tensor | None:
        return tensor.double() * 2 if name == "b" else None

    size = rewrite(
        tmp_path / "in.safetensors",
        tmp_path / "out.safetensors",
        double_b,
        lambda name: f"x.{name}",
        added,
    )
    found = load_file(tmp_path / "out.safetensors")
    wanted = {"x.a": tensors["a"], "x.b": tensors["b"] * 2, "x.c": tensors["c"], **added}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
    assert size == sum(value.nbytes for value in wanted.values())
    with safe_open(tmp_path / "out.safetensors", framework="pt") as stored:
        assert stored.metadata() == {"format": "pt", "by": "us"}


def test_tensors_that_stay_keep_every_bit_of_every_type(tmp_path: Path) -> None:
    nan_payloads = torch.tensor([0x7F800001, -1, 0x7FC00000 - 2**32], dtype=torch.int64)
    floats = nan_payloads.to(torch.int32).view(torch.float32)
    tensors = {
        "float32": floats,
        "bfloat16": floats.view(torch.bfloat16).clone(),
        "float8": torch.arange(7, dtype=torch.uint8).view(torch.float8_e4m3fn),
        "int64": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(1.5),
    }
    save_file(tensors, tmp_path / "in.safetensors")
    rewrite(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert raw_bytes(found[name]) == raw_bytes(tensor)
    with safe_open(tmp_path / "out.safetensors", framework="pt") as stored:
        assert not stored.metadata()


def test_a_saved_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").touch()
    save_tensors({"a": torch.zeros(3)}, tmp_path / "saved.safetensors", {"format": "pt"})
    rewrite(tmp_path / "saved.safetensors", tmp_path / "rewritten.safetensors")
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 3
    assert len(set(modes.values())) == 1


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "in.safetensors")
    with pytest.raises(ModelError, match=r"a is \[3\] and was trained as \[4\]"):
        rewrite(
            tmp_path / "in.safetensors",
            tmp_path / "out.safetensors",
            lambda name, tensor: torch.zeros(4),
        )


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3_000)}, tmp_path / "in.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "in.safetensors").read_bytes()[:-8])
    with pytest.raises(ModelError, match="cannot be copied"):
        rewrite(tmp_path / "torn.safetensors", tmp_path / "out.safetensors")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "in.safetensors")
    with pytest.raises(ModelError, match="cannot be copied"):
        rewrite(tmp_path / "in.safetensors", tmp_path / "nowhere" / "out.safetensors")


def test_companions_are_copied_without_weights_and_index(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    target.mkdir()
    (source / "folder.json").mkdir()
    for name in ("config.json", "chat_template.jinja", "merges.txt", "tokenizer.model"):
        (source / name).write_text(name)
    for name in ("model.safetensors", "model.safetensors.index.json", "README.md"):
        (source / name).write_text(name)
    copy_companions(source, target)
    copied = {path.name for path in target.iterdir()}
    assert copied == {"config.json", "chat_template.jinja", "merges.txt", "tokenizer.model"}
