"""The small columns of a split say of each clip what encoding it would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import corpora, tiny
from vibesweep.corpus.shards.manifest import read_clips
from vibesweep.errors import ShardsError
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.mel.model import MelModel
from vibesweep.storage import StoragePath
from vibesweep.training.data import index as index_module
from vibesweep.training.data.index import read_index, read_wanted_clips, voice_groups


@pytest.fixture(scope="module")
def base() -> MelModel:
    return tiny.model()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.write_many_shards(tmp_path_factory.mktemp("index") / "shards", 60)


def test_an_index_agrees_with_the_encoded_clips(shards: Path, base: MelModel) -> None:
    index = read_index(shards, base)
    rows = list(read_clips(shards, "train"))
    clips = [base.encode(row) for row in rows]
    assert list(index.ids) == [clip.id for clip in clips]
    assert index.patches.tolist() == [clip.patches for clip in clips]
    assert index.lengths.tolist() == [clip.length for clip in clips]
    assert list(index.people) == [clip.people for clip in clips]
    assert index.seconds.tolist() == [row.duration_s for row in rows]
    patches = [clips[number].patches for number in index.clips_of(1)]
    assert index.normalizer(index.clips_of(1)) == LossNormalizer.of(patches)


def test_row_groups_follow_each_other(shards: Path, base: MelModel) -> None:
    index = read_index(shards, base)
    assert len(index) == 48
    first_groups = [(group.file, group.number) for group in index.groups[:4]]
    assert first_groups == [(f"train-0000{n // 3}.parquet", n % 3) for n in range(4)]
    numbers = [index.clips_of(group) for group in range(len(index.groups))]
    assert np.concatenate(numbers).tolist() == list(range(48))


def test_wanted_clips_are_read_from_their_row_groups(shards: Path, base: MelModel) -> None:
    index = read_index(shards, base)
    wanted = np.array([3, 20, 21, 47])
    every_group = np.arange(len(index.groups))
    found = list(read_wanted_clips(index, StoragePath.of(shards), every_group, wanted))
    assert [number for number, _ in found] == wanted.tolist()
    assert [row.id for _, row in found] == [index.ids[number] for number in wanted]


def test_voice_prompts_come_from_as_many_people_as_possible(
    shards: Path, base: MelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = read_index(shards, base)
    assert voice_groups(index).tolist() == list(range(len(index.groups)))
    monkeypatch.setattr(index_module, "VOICE_GROUPS", 3)
    chosen = voice_groups(index)
    assert len(chosen) == 3
    people = {
        person
        for group in chosen
        for clip in index.clips_of(group)
        for person in index.people[clip]
    }
    assert people == {"p0", "p1", "p2", "q0", "q1"}


def test_the_other_split_and_other_kinds_of_address(shards: Path, base: MelModel) -> None:
    assert len(read_index(StoragePath.of(shards), base, "val")) == 12
    assert len(read_index(str(shards), base, "val").without_names()) == 12


def test_an_empty_split_is_named(tmp_path: Path, base: MelModel) -> None:
    with pytest.raises(ShardsError, match="val split is empty"):
        read_index(tiny.write_shards(tmp_path / "shards", 4), base, "val")
