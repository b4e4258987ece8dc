"""What is said of shards before trials are ranked by them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny
from vibesweep.corpus.shards.manifest import (
    WARNINGS_FILE,
    Manifest,
    read_manifest,
    write_manifest,
)
from vibesweep.corpus.shards.remarks import FEWEST_VALIDATION_CLIPS, remarks, validation_remark
from vibesweep.corpus.shards.schema import FINDING_SCHEMA


@pytest.fixture
def manifest() -> Manifest:
    return replace(tiny.manifest(), speakers={"ann": 9, "ben": 2})


def with_val(manifest: Manifest, count: int) -> Manifest:
    return replace(manifest, clips={"train": 9, "val": count})


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "there are no validation clips"),
        (1, r"1 validation clip is no ranking.* in 50 % of the cases"),
        (4, r"4 validation clips are no ranking.* in 6 % of the cases"),
    ],
)
def test_few_validation_clips_are_no_ranking(manifest: Manifest, count: int, message: str) -> None:
    said = validation_remark(with_val(manifest, count))
    assert said is not None
    assert re.search(message, said)
    assert "--val-fraction" in said


def test_enough_validation_clips_are_no_word_worth(manifest: Manifest) -> None:
    assert validation_remark(with_val(manifest, FEWEST_VALIDATION_CLIPS)) is None
    assert 0.5**FEWEST_VALIDATION_CLIPS < 0.05 < 0.5 ** (FEWEST_VALIDATION_CLIPS - 1)


def test_people_who_speak_once_and_tags_that_cover_several_are_named(
    manifest: Manifest, tmp_path: Path
) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    found = replace(
        read_manifest(shards),
        speakers={"ann": 9, "ben": 1, "cy": 1, "di": 1, "ed": 1},
        warnings={"several_folders": 1, "duplicate_audio": 1},
    )
    write_manifest(shards, found)
    rows = [
        {"id": "a", "path": "a.wav", "reason": "several_folders", "detail": "ann in x (5), y (4)"},
        {"id": "b", "path": "b.wav", "reason": "duplicate_audio", "detail": "the same"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=FINDING_SCHEMA), shards / WARNINGS_FILE)
    lone, folders = remarks(shards)
    assert lone.startswith("4 people speak in a single clip (ben, cy, di, 1 more)")
    assert folders.startswith("one speaker tag covers recordings from different folders: ann in x")
    assert "give each a name" in folders
