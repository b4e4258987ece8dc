"""The plan of steps: every clip once an epoch, like lengths together, whoever reads it and wherever it is begun."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests import corpora
from vibesweep.models.family import Ints
from vibesweep.training.data.batches import WINDOW_GROUPS, StepPlan, deal, epoch_steps, pack
from vibesweep.training.data.index import Floats, Index

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speech"
MOST_PADDING = 0.15
MICRO_BATCH_TOKENS = 4_096


def spoken(clips: int, seed: int = 0) -> Floats:
    """1 to 60 s."""
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


def test_the_places_of_some_steps_are_the_windows_that_hold_them() -> None:
    plan = PLANS["windows"]
    windows = list(itertools.takewhile(lambda window: window.epoch < 3, plan.windows(0)))
    spans = [(window.first_step, window.first_step + len(window.steps)) for window in windows]
    for first, past in (
        (0, 1),
        (spans[0][1] - 1, spans[0][1] + 1),
        (spans[0][1], spans[2][1]),
        (5, 2 * plan.epoch_steps + 1),
    ):
        found = [plan.window(*place).first_step for place in plan.places(first, past)]
        assert found == [begins for begins, ends in spans if ends > first and begins < past]


def padding(index: Index, parts: Sequence[Ints]) -> float:
    padded = sum(int(index.lengths[part].max()) * len(part) for part in parts)
    return padded / sum(int(index.lengths[part].sum()) for part in parts) - 1


def real_speech() -> Index:
    """The clips of the shared data, by the samples that their files declare."""
    import soundfile

    lengths = [
        info.frames / info.samplerate
        for info in map(soundfile.info, sorted((SPEECH / "audio").glob("*.flac")))
    ]
    return corpora.index_of(np.array(lengths))


@pytest.mark.parametrize(
    "batch",
    [{"batch_clips": 8}, {"batch_clips": 16}, {"batch_clips": 32}, {"batch_seconds": 120.0}],
)
@pytest.mark.parametrize(
    "corpus", ["real speech", "1 to 60 s, 300 clips", "1 to 60 s, 3,000 clips"]
)
def test_padding_stays_under_15_percent(corpus: str, batch: dict[str, float]) -> None:
    if corpus == "real speech" and not SPEECH.is_dir():
        pytest.skip(f"{SPEECH} is not there")
    index = {
        "1 to 60 s, 300 clips": corpora.index_of(spoken(300)),
        "1 to 60 s, 3,000 clips": LARGE,
    }.get(corpus) or real_speech()
    plan = StepPlan(index, 0, **batch)  # type: ignore[arg-type]
    steps = [np.array(step) for epoch in (0, 1) for step in epoch_of(plan, epoch)]
    for workers in (1, 2):
        dealt = [
            deal(step, index.lengths, rank, workers) for step in steps for rank in range(workers)
        ]
        shares = [mine for mine, counts in dealt if counts]
        micro = [part for mine in shares for part in pack(mine, index.lengths, MICRO_BATCH_TOKENS)]
        assert padding(index, shares) < MOST_PADDING
        assert padding(index, micro) <= padding(index, shares)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_share_a_step_out_evenly_and_without_loss(workers: int) -> None:
    for step in map(np.array, epoch_of(PLANS["windows"], 0)[:40]):
        parts = [deal(step, LARGE.lengths, rank, workers) for rank in range(workers)]
        assert sorted(np.concatenate([mine for mine, _ in parts]).tolist()) == sorted(step.tolist())
        filled = [int(LARGE.lengths[mine].sum()) for mine, _ in parts]
        assert max(filled) - min(filled) <= LARGE.lengths[step].max()
        assert {counts for _, counts in parts} == {1.0}


def test_a_worker_without_a_clip_borrows_the_shortest_and_counts_nothing() -> None:
    step = np.array([4, 9])
    parts = [deal(step, SMALL.lengths, rank, 4) for rank in range(4)]
    assert sorted(int(mine[0]) for mine, counts in parts if counts) == [4, 9]
    shortest = min((4, 9), key=lambda clip: int(SMALL.lengths[clip]))
    assert [(mine.tolist(), counts) for mine, counts in parts[2:]] == [([shortest], 0.0)] * 2


def test_micro_batches_keep_to_their_positions() -> None:
    step = np.arange(40)
    parts = pack(step, SMALL.lengths, 2_000)
    assert sorted(np.concatenate(parts).tolist()) == step.tolist()
    assert all(int(SMALL.lengths[part].max()) * len(part) <= 2_000 for part in parts)
    assert len(parts) < 20
    assert [len(part) for part in pack(step, SMALL.lengths, 1)] == [1] * 40


def test_clips_at_hand_are_dealt_without_an_index() -> None:
    steps = epoch_steps(SMALL.lengths.tolist(), 8, 0, 0)
    assert sorted(itertools.chain.from_iterable(steps)) == list(range(103))
    assert all(8 <= len(step) <= 9 for step in steps)
    assert sorted(epoch_steps([5, 6, 7], 8, 0, 0)[0]) == [0, 1, 2]
