"""The plan of steps: every clip once an epoch, with like lengths together.

It is the same whoever reads it and wherever it is begun.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests import corpora
from vibesweep.training.data.arrays import Floats
from vibesweep.training.data.batches import deal
from vibesweep.training.data.index import Index
from vibesweep.training.data.step_plan import WINDOW_GROUPS, StepPlan


def spoken(clips: int, seed: int = 0) -> Floats:
    """Draw durations of 1 to 60 s."""
    return np.random.default_rng(seed).uniform(1, 60, clips)


SMALL = corpora.index_of(spoken(103))
LARGE = corpora.index_of(spoken(3_000), files=6)
PLANS = {
    "small": StepPlan(SMALL, 0, 8),
    "one clip": StepPlan(SMALL, 0, 1),
    "seconds": StepPlan(SMALL, 0, batch_seconds=100.0),
    "fewer seconds than a clip": StepPlan(SMALL, 0, batch_seconds=1.5),
    "more than there is": StepPlan(SMALL, 0, 1_000),
    "windows": StepPlan(LARGE, 0, 8),
    "windows by seconds": StepPlan(LARGE, 0, batch_seconds=120.0),
    "large steps": StepPlan(LARGE, 0, 64),
}


def epoch_of(plan: StepPlan, epoch: int) -> list[list[int]]:
    first = epoch * plan.epoch_steps
    steps = list(itertools.islice(plan.steps(first), plan.epoch_steps))
    assert [number for number, _, _ in steps] == list(range(first, first + plan.epoch_steps))
    assert {found for _, found, _ in steps} == {epoch}
    return [clips.tolist() for _, _, clips in steps]


@pytest.mark.parametrize("name", PLANS)
def test_every_clip_comes_once_an_epoch_in_an_order_of_its_own(name: str) -> None:
    plan = PLANS[name]
    first, second = epoch_of(plan, 0), epoch_of(plan, 1)
    for steps in (first, second):
        assert sorted(itertools.chain.from_iterable(steps)) == list(range(len(plan.index)))
        assert all(steps)
    assert first != second
    assert first == epoch_of(StepPlan(plan.index, 0, plan.batch_clips, plan.batch_seconds), 0)
    assert first != epoch_of(StepPlan(plan.index, 1, plan.batch_clips, plan.batch_seconds), 0)


@pytest.mark.parametrize(
    ("index", "batch_clips"), [(SMALL, 8), (SMALL, 16), (LARGE, 8), (LARGE, 32)]
)
def test_steps_hold_what_was_asked_for(index: Index, batch_clips: int) -> None:
    sizes = [len(step) for step in epoch_of(StepPlan(index, 0, batch_clips), 0)]
    assert np.mean(sizes) >= batch_clips
    assert min(sizes) >= batch_clips - 1
    assert max(sizes) <= batch_clips * 1.1 + 1


def test_steps_by_seconds_hold_like_amounts_of_speech() -> None:
    found = [
        LARGE.seconds[step].sum() for step in epoch_of(StepPlan(LARGE, 0, batch_seconds=600.0), 0)
    ]
    assert np.mean(found) == pytest.approx(600.0, rel=0.02)
    assert min(found) > 520
    assert max(found) < 680


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_may_be_begun_at_any_step(name: str) -> None:
    plan = PLANS[name]
    whole = [
        (number, epoch, clips.tolist())
        for number, epoch, clips in itertools.islice(plan.steps(0), 2 * plan.epoch_steps + 3)
    ]
    for first in (
        1,
        plan.epoch_steps // 2,
        plan.epoch_steps - 1,
        plan.epoch_steps,
        plan.epoch_steps + 1,
    ):
        rest = [
            (number, epoch, clips.tolist())
            for number, epoch, clips in itertools.islice(plan.steps(first), len(whole) - first)
        ]
        assert rest == whole[first:]


@pytest.mark.parametrize("name", PLANS)
def test_windows_read_each_row_group_once_an_epoch(name: str) -> None:
    plan = PLANS[name]
    windows = list(itertools.takewhile(lambda window: window.epoch < 2, plan.windows(0)))
    for epoch in (0, 1):
        groups = [window.groups for window in windows if window.epoch == epoch]
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(plan.index.groups)))
        assert len(groups) == 1 or min(map(len, groups)) >= WINDOW_GROUPS
    for window in windows:
        held = {clip for group in window.groups for clip in plan.index.clips_of(group).tolist()}
        assert {clip for step in window.steps for clip in step.tolist()} == held
    assert len(windows) > 4 or plan.index is SMALL or plan.batch_clips == 64


def test_window_numbers_are_those_of_the_windows_that_hold_the_steps() -> None:
    plan = PLANS["windows"]
    windows = list(itertools.takewhile(lambda window: window.epoch < 3, plan.windows(0)))
    spans = [(window.first_step, window.first_step + len(window.steps)) for window in windows]
    for first, past in (
        (0, 1),
        (spans[0][1] - 1, spans[0][1] + 1),
        (spans[0][1], spans[2][1]),
        (5, 2 * plan.epoch_steps + 1),
    ):
        found = [plan.window(*place).first_step for place in plan.window_numbers(first, past)]
        assert found == [begins for begins, ends in spans if ends > first and begins < past]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_share_a_step_out_evenly_and_without_loss(workers: int) -> None:
    for step in map(np.array, epoch_of(PLANS["windows"], 0)[:40]):
        parts = [deal(step, LARGE.lengths, rank, workers) for rank in range(workers)]
        dealt = np.concatenate(parts)
        assert sorted(dealt.tolist()) == sorted(step.tolist())
        filled = [int(LARGE.lengths[own_clips].sum()) for own_clips in parts]
        assert max(filled) - min(filled) <= LARGE.lengths[step].max()


def test_of_more_workers_than_clips_some_have_none() -> None:
    step = np.array([4, 9])
    parts = [deal(step, SMALL.lengths, rank, 4) for rank in range(4)]
    found = [own_clips.tolist() for own_clips in parts]
    assert sorted(found[:2]) == [[4], [9]]
    assert found[2:] == [[], []]
