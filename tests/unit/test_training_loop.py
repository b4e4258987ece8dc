"""The training loop alone: a model and a list of batches, in one process."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.models.losses import Losses, LossNormalizer
from vibesweep.training.loop import StepBatches, TrainingLoop
from vibesweep.training.workers import World

SETTINGS = TrialSettings(optimizer="sgd", learning_rate=0.1, schedule="constant", grad_clip_norm=9)
STEPS = 6


class Line(nn.Module):
    """Fits one number to the batch's targets; each target is a clip of one patch."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Tensor) -> Losses:
        return Losses((self.value - batch).square().sum(), torch.zeros(()))


def steps_of(*steps: list[Tensor]) -> list[StepBatches]:
    """Make steps of these micro-batches."""
    made = []
    for batches in steps:
        patches = [1] * sum(len(batch) for batch in batches)
        made.append(StepBatches(batches, LossNormalizer.of(patches)))
    return made


def loop_over(model: Line, settings: TrialSettings = SETTINGS) -> TrainingLoop:
    return TrainingLoop(model, settings, STEPS, World())


def test_a_list_of_batches_trains_a_model() -> None:
    model = Line()
    targets = torch.tensor([1.0, 3.0])
    records, diverged = loop_over(model).train(iter(steps_of(*[[targets]] * STEPS)), STEPS)
    assert diverged is None
    assert [record.step for record in records] == list(range(1, STEPS + 1))
    assert [record.learning_rate for record in records] == [0.1] * STEPS
    assert records[0].loss == 5.0  # (1 + 9) / 2
    assert records[0].grad_norm == 4.0  # 2 * (1 + 3) / 2
    assert records[-1].loss < records[0].loss


def test_micro_batches_make_the_step_that_their_whole_batch_makes() -> None:
    targets = torch.tensor([1.0, 3.0, 4.0, -2.0])
    whole, parts = Line(), Line()
    expected, _ = loop_over(whole).train(iter(steps_of(*[[targets]] * STEPS)), STEPS)
    micro_batches = [targets[:1], targets[1:]]
    found, _ = loop_over(parts).train(iter(steps_of(*[micro_batches] * STEPS)), STEPS)
    assert [record.loss for record in found] == pytest.approx([record.loss for record in expected])
    assert parts.value.item() == pytest.approx(whole.value.item())


def test_a_worker_without_a_clip_adds_nothing() -> None:
    model = Line()
    (step,) = steps_of([torch.tensor([5.0])])
    without = dataclasses.replace(step, batches=())
    records, _ = loop_over(model).train(iter([without]), 1)
    assert (records[0].loss, records[0].grad_norm) == (0.0, 0.0)
    assert model.value.item() == 0.0


def test_no_more_steps_are_asked_for_than_are_taken() -> None:
    asked: list[int] = []

    def endless() -> Iterator[StepBatches]:
        while True:
            asked.append(len(asked))
            yield from steps_of([torch.ones(2)])

    loop, steps = loop_over(Line()), endless()
    loop.train(steps, 2)
    assert loop.step == 2 == len(asked)
    loop.train(steps, 2)
    assert loop.step == 2 == len(asked)
    loop.train(steps, 3)
    assert loop.step == 3 == len(asked)


def test_a_step_that_diverged_is_recorded_and_not_taken() -> None:
    model = Line()
    steps = steps_of([torch.ones(2)], [torch.tensor([math.inf])], [torch.ones(2)])
    records, diverged = loop_over(model).train(iter(steps), 3)
    assert [record.step for record in records] == [1, 2]
    assert diverged is not None
    assert "in step 2" in diverged
    assert math.isfinite(model.value.item())


def test_the_state_brings_back_optimizer_schedule_average_and_guard() -> None:
    settings = dataclasses.replace(SETTINGS, schedule="cosine", ema_decay=0.9)
    steps = steps_of(*[[torch.tensor([float(number)])] for number in range(STEPS)])
    model = Line()
    loop = loop_over(model, settings)
    loop.train(iter(steps), 3)
    copy = Line()
    resumed = loop_over(copy, settings)
    copy.load_state_dict(model.state_dict())
    resumed.load_state_dict(deepcopy(loop.state_dict()))  # a file would not share momentum
    resumed.step = loop.step
    assert resumed.train(iter(steps[3:]), STEPS) == loop.train(iter(steps[3:]), STEPS)
    assert torch.equal(copy.value, model.value)
