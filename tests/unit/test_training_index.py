"""The small columns of a split say of each clip what encoding it would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import corpora, tiny
from vibesweep.corpus.shards.manifest import read_rows
from vibesweep.errors import ShardsError
from vibesweep.models.family import LossNormalizer
from vibesweep.models.mel.model import MelModel
from vibesweep.storage import StoragePath
from vibesweep.training.data.index import read_index


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.write_many_shards(tmp_path_factory.mktemp("index") / "shards", 60)


def test_an_index_agrees_with_the_encoded_clips(shards: Path) -> None:
    index, base = read_index(shards, MelModel), tiny.model()
    clips = [base.encode(row) for row in read_rows(shards, "train")]
    assert list(index.ids) == [clip.id for clip in clips]
    assert index.patches.tolist() == [clip.patches for clip in clips]
    assert index.lengths.tolist() == [clip.length for clip in clips]
    assert list(index.people) == [clip.people for clip in clips]
    assert index.seconds.tolist() == [row.duration_s for row in read_rows(shards, "train")]
    assert index.sizes(index.clips_of(1)) == LossNormalizer.of(
        [clips[number].patches for number in index.clips_of(1)]
    )


def test_row_groups_follow_each_other(shards: Path) -> None:
    index = read_index(shards, MelModel)
    assert len(index) == 48
    assert [(group.file, group.number) for group in index.groups[:4]] == [
        (f"train-0000{n // 3}.parquet", n % 3) for n in range(4)
    ]
    assert [
        number for group in range(len(index.groups)) for number in index.clips_of(group)
    ] == list(range(48))


def test_the_other_split_and_other_kinds_of_address(shards: Path) -> None:
    assert len(read_index(StoragePath.of(shards), MelModel, "val")) == 12
    assert len(read_index(str(shards), MelModel, "val").lean()) == 12


def test_an_empty_split_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="val split is empty"):
        read_index(tiny.write_shards(tmp_path / "shards", 4), MelModel, "val")
