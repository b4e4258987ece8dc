"""The manifest: what it says comes back, and a folder that is not whole is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests import tiny
from vibesweep.corpus.preprocess.shard_folder import ShardFolder
from vibesweep.corpus.shards.manifest import (
    ShardFile,
    check_signature,
    read_manifest,
    write_manifest,
)
from vibesweep.errors import ShardsError
from vibesweep.storage import StoragePath


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    written = tiny.manifest(ShardFile("train-0.parquet", "train", 2, 150))
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "no manifest"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"schema_version": 1}', "version 1"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    tmp_path: Path, text: str | None, found: str
) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ShardsError, match=found):
        read_manifest(tmp_path)


def test_shards_that_were_made_anew_since_a_sweep_began_are_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, tiny.manifest())
    check_signature(tmp_path, "tiny")
    write_manifest(tmp_path, dataclasses.replace(tiny.manifest(), signature="grown"))
    with pytest.raises(ShardsError, match="have changed since the sweep began"):
        check_signature(tmp_path, "tiny")


def test_each_state_of_a_corpus_has_shards_of_its_own_and_knows_the_others(tmp_path: Path) -> None:
    place = StoragePath.of(tmp_path / "shards") / "talks-0a1b2c3d"
    assert ShardFolder.of_signature(place, "a" * 64).kin == ()
    for name in ("talks-0a1b2c3d", f"talks-0a1b2c3d-{'a' * 12}", f"talks-ffffffff-{'a' * 12}"):
        (tmp_path / "shards" / name).mkdir(parents=True)
    folder = ShardFolder.of_signature(place, "b" * 64)
    assert folder.place.name == f"talks-0a1b2c3d-{'b' * 12}"
    assert [kin.name for kin in folder.kin] == ["talks-0a1b2c3d", f"talks-0a1b2c3d-{'a' * 12}"]


@pytest.mark.parametrize("name", ["../train.parquet", "/etc/passwd", "..\\train.parquet"])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    write_manifest(tmp_path, tiny.manifest(ShardFile(name, "train", 1, 1.0)))
    with pytest.raises(ShardsError, match="outside of its folder"):
        read_manifest(tmp_path)
