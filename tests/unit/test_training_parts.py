"""Batches, learning rates and parameter groups."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vibesweep.training.batches import endless_steps, epoch_steps, micro_batches, share
from vibesweep.training.optim import parameter_groups
from vibesweep.training.schedules import cosine_with_warmup

LENGTHS = np.random.default_rng(0).integers(20, 400, 103).tolist()


def test_every_clip_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    first, second = epoch_steps(LENGTHS, 8, 0, 0), epoch_steps(LENGTHS, 8, 0, 1)
    for steps in (first, second):
        assert sorted(itertools.chain.from_iterable(steps)) == list(range(103))
        assert all(8 <= len(step) <= 9 for step in steps)
    assert first != second
    assert first == epoch_steps(LENGTHS, 8, 0, 0)
    assert first != epoch_steps(LENGTHS, 8, 1, 0)


def test_steps_hold_clips_of_like_length() -> None:
    def padding(steps: list[list[int]]) -> float:
        padded = sum(max(LENGTHS[i] for i in step) * len(step) for step in steps)
        return 1.0 - float(sum(LENGTHS) / padded)

    shuffled = [list(range(103))[i : i + 8] for i in range(0, 103, 8)]
    assert padding(epoch_steps(LENGTHS, 8, 0, 0)) < 0.5 * padding(shuffled)


def test_fewer_clips_than_a_batch_are_one_step() -> None:
    assert sorted(epoch_steps([5, 6, 7], 8, 0, 0)[0]) == [0, 1, 2]


def test_steps_go_on_into_the_next_epoch() -> None:
    steps = list(itertools.islice(endless_steps(LENGTHS, 50, 0), 5))
    assert [epoch for epoch, _ in steps] == [0, 0, 1, 1, 2]


def test_workers_and_micro_batches_share_a_step_out_without_loss() -> None:
    step = list(range(11))
    parts = [micro for rank in range(3) for micro in micro_batches(share(step, rank, 3), 2)]
    assert sorted(itertools.chain.from_iterable(parts)) == step
    assert micro_batches([1, 2], 5) == [[1], [2]]


def test_the_rate_climbs_then_falls_to_nothing() -> None:
    shares = [cosine_with_warmup(step, 100, 0.1) for step in range(101)]
    assert shares[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert shares[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(shares[10:]))
    assert shares[100] == pytest.approx(0)


def test_norms_and_biases_do_not_decay() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2, bias=False))
    model[2].weight.requires_grad_(False)
    decayed, kept = parameter_groups(model, 0.1)
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 3
    assert kept["weight_decay"] == 0.0
