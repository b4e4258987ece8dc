"""What is held out, encoded together and written to which file: the same in any order."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from vibesweep.config import CorpusSettings
from vibesweep.corpus.preprocess import plan
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.plan import ClipEntry, duplicates, parts_of, plan_shards
from vibesweep.corpus.preprocess.splits import assign_splits
from vibesweep.corpus.preprocess.tasks import remark_on_gpus
from vibesweep.corpus.recordings import Recording
from vibesweep.errors import CorpusError

IDS = [f"clip_{i}" for i in range(40)]
BYTES_PER_PATCH = 1_600


def clip(
    name: str, *people: str, samples: str = "", recording: str = "", patches: int = 60
) -> ClipEntry:
    number = int("".join(filter(str.isdigit, name)) or 0)
    return ClipEntry(
        name,
        recording or name,
        f"{name}.wav",
        samples or name,
        patches,
        people or ("p",),
        f"part-{number % 3}",
        number,
    )


CLIPS = [clip(name) for name in IDS]


def val(clips: list[ClipEntry], settings: CorpusSettings | None = None) -> list[str]:
    return sorted(
        name
        for name, split in assign_splits(clips, settings or CorpusSettings()).items()
        if split == "val"
    )


def test_a_split_does_not_depend_on_the_order() -> None:
    shuffled = random.Random(0).sample(CLIPS, len(CLIPS))
    assert val(CLIPS) == val(shuffled) == ["clip_12", "clip_15", "clip_21", "clip_23"]
    assert val(CLIPS, CorpusSettings(seed=2)) != val(CLIPS)


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(40, 0.1, 4), (40, 0.26, 10), (40, 0, 1), (2, 0.01, 1), (2, 1, 1), (1, 0.5, 0)],
)
def test_the_share_is_kept_exactly(count: int, fraction: float, held_out: int) -> None:
    assert len(val(CLIPS[:count], CorpusSettings(val_fraction=fraction))) == held_out


def test_a_new_recording_moves_few_others() -> None:
    before, after = set(val(CLIPS)), set(val([*CLIPS, clip("one more")]))
    assert len(before ^ after) <= 2


def test_the_same_samples_are_never_on_both_sides() -> None:
    for twin in IDS:
        splits = assign_splits([*CLIPS, clip("twin", samples=twin)], CorpusSettings())
        assert splits["twin"] == splits[twin]
        assert set(splits.values()) == {"train", "val"}
    assert duplicates([*CLIPS, clip("twin", samples="clip_3")]) == {"twin": "clip_3"}


def test_clips_of_one_recording_stay_together() -> None:
    cut = [clip(f"long#{i:03d}", recording="long") for i in range(3)]
    assert set(assign_splits([*CLIPS, *cut], CorpusSettings())) == {*IDS, "long"}


def test_by_speaker_no_person_is_on_both_sides() -> None:
    clips = [
        clip(
            f"c{i}",
            f"person {i % 10}",
            f"person {(i + 1) % 10}" if i % 10 in (2, 5) else f"person {i % 10}",
        )
        for i in range(60)
    ]
    for seed in range(20):
        splits = assign_splits(
            clips, CorpusSettings(split_by="speaker", val_fraction=0.3, seed=seed)
        )
        sides = {(person, splits[c.recording]) for c in clips for person in c.people}
        assert len(sides) == 10, "each person on one side"
        assert 2 <= sum(side == "val" for _, side in sides) <= 4


def test_people_who_all_speak_with_each_other_cannot_be_split() -> None:
    clips = [clip(f"c{i}", "host", f"guest {i}") for i in range(5)]
    with pytest.raises(CorpusError, match="all 6 people are one group"):
        assign_splits(clips, CorpusSettings(split_by="speaker"))


def test_a_list_of_ids_is_held_out() -> None:
    assert val(CLIPS, CorpusSettings(val_ids=("clip_3", "clip_7"))) == ["clip_3", "clip_7"]
    people = [clip(f"c{i}", f"person {i % 4}") for i in range(8)]
    assert val(people, CorpusSettings(split_by="speaker", val_ids=("person 1",))) == ["c1", "c5"]


def test_a_list_of_ids_is_checked() -> None:
    with pytest.raises(CorpusError, match="no recordings nobody"):
        assign_splits(CLIPS, CorpusSettings(val_ids=("nobody", "clip_1")))
    assert (
        assign_splits(CLIPS, CorpusSettings(val_ids=("broken", "clip_1")), left_out=["broken"])[
            "clip_1"
        ]
        == "val"
    )
    with pytest.raises(CorpusError, match="nothing is left for training"):
        assign_splits(CLIPS[:2], CorpusSettings(val_ids=("clip_0", "clip_1")))


def test_parts_hold_each_recording_once_and_about_equal_speech() -> None:
    rng = random.Random(1)
    planned = [
        Planned(Recording(f"r{i}", "a", duration_s=rng.uniform(1, 30)), f"f{i}")
        for i in range(2_000)
    ]
    parts = parts_of(planned)
    assert Counter(item.fingerprint for part in parts for item in part.recordings) == Counter(
        item.fingerprint for item in planned
    )
    assert [part.name for part in parts_of(planned[::-1])] == [part.name for part in parts], (
        "in any order"
    )
    assert len({part.name for part in parts}) == len(parts)
    seconds = [sum(item.recording.duration_s or 0.0 for item in part.recordings) for part in parts]
    assert max(seconds) <= plan.PART_S + 30
    small = parts_of(planned[:100])
    assert plan.PARTS_AIMED_AT - 1 <= len(small) <= plan.PARTS_AIMED_AT + 1


def test_shards_hold_each_clip_once_in_files_of_like_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_BYTES", 600 * 160 * 5)
    splits = assign_splits(CLIPS, CorpusSettings())
    plans = plan_shards(CLIPS, splits, BYTES_PER_PATCH, "0123456789ab")
    rows = [(file, row) for item in plans for file, rows in item.sources for row in rows]
    assert Counter(rows) == Counter((entry.file, entry.row) for entry in CLIPS)
    assert [item.name for item in plans][:2] == [
        "train-0123456789ab-00000.parquet",
        "train-0123456789ab-00001.parquet",
    ]
    assert [item.split for item in plans] == ["train"] * 8 + ["val"]
    assert {sum(len(rows) for _, rows in item.sources) for item in plans} <= {4, 5}
    assert plan_shards(CLIPS[::-1], splits, BYTES_PER_PATCH, "0123456789ab") == plans, (
        "in any order"
    )


@pytest.mark.parametrize(
    ("wants", "gpus", "may_come", "said"),
    [
        (False, 0.0, False, None),
        (True, 2.0, False, None),
        (True, 0.0, True, "wait for one"),
        (True, 0.0, False, "run on CPUs"),
    ],
)
def test_an_encoder_without_the_gpu_that_it_wants_is_told(
    wants: bool, gpus: float, may_come: bool, said: str | None
) -> None:
    encoder: Any = SimpleNamespace(wants_gpu=wants, name="vibevoice:base")
    found = remark_on_gpus(encoder, {"CPU": 2.0, "GPU": gpus}, gpus_may_come=may_come)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert said in found
