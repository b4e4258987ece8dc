"""The manifest: what it says comes back, and a folder that is not whole is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from vibesweep.corpus.shards.manifest import ShardFile, read_manifest, write_manifest
from vibesweep.errors import ShardsError


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


@pytest.mark.parametrize("name", ["../train.parquet", "/etc/passwd", "..\\train.parquet"])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    write_manifest(tmp_path, tiny.manifest(ShardFile(name, "train", 1, 1.0)))
    with pytest.raises(ShardsError, match="outside of its folder"):
        read_manifest(tmp_path)
