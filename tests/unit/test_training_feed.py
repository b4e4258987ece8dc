"""What reaches a worker's loop: the plan's steps, whatever the number of workers, and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import corpora, tiny
from vibesweep.corpus.shards.manifest import read_rows
from vibesweep.models.family import EncodedClip, LossNormalizer
from vibesweep.models.mel.model import MelModel
from vibesweep.training.data.batches import StepPlan
from vibesweep.training.data.feed import MemoryFeed, Step
from vibesweep.training.data.index import Index, read_index

TOKENS = 120


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, list[EncodedClip]]:
    shards = corpora.write_many_shards(tmp_path_factory.mktemp("feed") / "shards", 60)
    base = tiny.model()
    return read_index(shards, MelModel), [base.encode(row) for row in read_rows(shards, "train")]


def examples_of(step: Step) -> list[EncodedClip]:
    return [example for part in step.micro_batches for example in part]


def test_a_step_is_the_plans_and_its_sizes_are_those_of_all_its_clips(
    split: tuple[Index, list[EncodedClip]],
) -> None:
    index, clips = split
    plan = StepPlan(index, 0, 5)
    for step, (number, epoch, planned) in zip(
        MemoryFeed(index, clips).steps(plan, 0, 20, TOKENS), plan.steps(0), strict=False
    ):
        assert (step.number, step.epoch, step.clips.tolist()) == (number, epoch, planned.tolist())
        assert sorted(example.id for example in examples_of(step)) == sorted(
            index.ids[clip] for clip in planned
        )
        assert step.sizes == LossNormalizer.of([clips[clip].patches for clip in planned])
        assert all(
            max(e.length for e in part) * len(part) <= TOKENS or len(part) == 1
            for part in step.micro_batches
        )


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_clip_comes_once_an_epoch_over_the_workers(
    split: tuple[Index, list[EncodedClip]], size: int
) -> None:
    index, clips = split
    plan = StepPlan(index, 3, 5)
    feeds = [MemoryFeed(index, clips, rank, size) for rank in range(size)]
    steps = [list(feed.steps(plan, 0, plan.epoch_steps, TOKENS)) for feed in feeds]
    assert all(
        [step.clips.tolist() for step in one] == [step.clips.tolist() for step in steps[0]]
        for one in steps
    )
    counted = [
        example.id for one in steps for step in one if step.counts for example in examples_of(step)
    ]
    assert sorted(counted) == sorted(index.ids)
    assert all(step.micro_batches[0] for one in steps for step in one), (
        "no worker is ever without a clip"
    )
    assert any(not step.counts for one in steps for step in one) == (size == 7)


def test_a_feed_may_be_begun_at_any_step_and_ends_where_it_is_told(
    split: tuple[Index, list[EncodedClip]],
) -> None:
    index, clips = split
    plan, feed = StepPlan(index, 0, 5), MemoryFeed(index, clips)
    whole = list(feed.steps(plan, 0, 25, TOKENS))
    rest = list(feed.steps(plan, 13, 25, TOKENS))
    assert [step.number for step in whole] == list(range(25))
    for late, step in zip(rest, whole[13:], strict=True):
        assert late.number == step.number
        assert np.array_equal(late.clips, step.clips)
        assert all(
            torch.equal(a.latents, b.latents)
            for a, b in zip(examples_of(late), examples_of(step), strict=True)
        )
