"""What reaches a worker's loop: the plan's steps for any number of workers, and no clip twice."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from tests import corpora, tiny
from vibesweep.corpus.shards.manifest import read_clips
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.training.data.feed import MemoryFeed, Step, endless_steps
from vibesweep.training.data.index import Index, read_index
from vibesweep.training.data.step_plan import StepPlan

Split = tuple[Index, list[EncodedClip]]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    shards = corpora.write_many_shards(tmp_path_factory.mktemp("feed") / "shards", 60)
    base = tiny.model()
    clips = [base.encode(clip) for clip in read_clips(shards, "train")]
    return read_index(shards, base), clips


def test_a_step_is_the_plan_s_and_its_normalizer_is_that_of_all_its_clips(split: Split) -> None:
    index, clips = split
    plan = StepPlan(index, 0, 5)
    steps = MemoryFeed(index, clips).steps(plan, 0, 20)
    for step, planned in zip(steps, islice(plan.steps(0), 20), strict=True):
        number, epoch, numbers = planned
        assert (step.number, step.epoch) == (number, epoch)
        assert step.clips.tolist() == numbers.tolist()
        ids = [index.ids[clip] for clip in numbers]
        assert sorted(clip.id for clip in step.own_clips) == sorted(ids)
        assert step.normalizer == LossNormalizer.of([clips[clip].patches for clip in numbers])


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_clip_comes_once_an_epoch_over_the_workers(split: Split, size: int) -> None:
    index, clips = split
    plan = StepPlan(index, 3, 5)
    feeds = [MemoryFeed(index, clips, rank, size) for rank in range(size)]
    steps_by_rank = [list(feed.steps(plan, 0, plan.epoch_steps)) for feed in feeds]
    counted = []
    for at_once in zip(*steps_by_rank, strict=True):
        assert all(np.array_equal(step.clips, at_once[0].clips) for step in at_once)
        for step in at_once:
            counted += [clip.id for clip in step.own_clips]
    assert sorted(counted) == sorted(index.ids)
    own_counts = [len(step.own_clips) for steps in steps_by_rank for step in steps]
    assert (min(own_counts) == 0) == (size == 7), "a step has five clips, or fewer at the end"


def test_a_feed_may_begin_at_any_step_and_ends_where_it_is_told(split: Split) -> None:
    index, clips = split
    plan, feed = StepPlan(index, 0, 5), MemoryFeed(index, clips)
    whole = list(feed.steps(plan, 0, 25))
    rest = list(feed.steps(plan, 13, 25))
    assert [step.number for step in whole] == list(range(25))
    assert_same(rest, whole[13:])


@pytest.mark.parametrize("first", [0, 3, 10, 12])
def test_steps_go_on_beyond_the_budget(split: Split, first: int) -> None:
    index, clips = split
    plan, feed = StepPlan(index, 0, 5), MemoryFeed(index, clips)
    whole = list(feed.steps(plan, 0, 25))
    endless = endless_steps(feed, plan, first, 10)
    assert_same(list(islice(endless, 25 - first)), whole[first:])


def assert_same(found: list[Step], expected: list[Step]) -> None:
    for step, other in zip(found, expected, strict=True):
        assert step.number == other.number
        assert np.array_equal(step.clips, other.clips)
        for clip, twin in zip(step.own_clips, other.own_clips, strict=True):
            assert torch.equal(clip.latents, twin.latents)
