"""Packed trials on a GPU: each is the trial alone, whoever sits beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.threads import run_in_threads
from vibesweep.config import TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

SETTINGS = TrialSettings(
    learning_rate=1e-3,
    lora_rank=4,
    lora_dropout=0.0,
    lora_head="full",
    batch_clips=4,
    precision="bf16",
)
NEIGHBOURS = [
    dataclasses.replace(SETTINGS, lora_rank=9, learning_rate=3e-3, seed=7),
    dataclasses.replace(SETTINGS, learning_rate=1e38, seed=3),
    dataclasses.replace(SETTINGS, lora_dropout=0.1, seed=4),
    dataclasses.replace(SETTINGS, optimizer="lion", learning_rate=1e-4, seed=5),
]
STEPS = 12


def curve(context: WorkerContext, settings: TrialSettings) -> list[float]:
    """Train with a validation on the way; return all losses."""
    run = TrialRun(context, settings, STEPS)
    found = []
    for step in (STEPS // 2, STEPS):
        report = run.advance(step)
        found += [*(record.loss for record in report.curve), report.loss_val]
    run.close()
    return found


def test_a_packed_trial_is_the_trial_alone(tmp_path: Path) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    base = tiny.write_base(tmp_path / "base")
    model = ModelRef.parse(str(base))
    alone = curve(WorkerContext.open(model, shards, World(device="cuda:0")), SETTINGS)
    context = dataclasses.replace(
        WorkerContext.open(model, shards, World(device="cuda:0")), trials=3
    )
    found: list[list[float]] = []
    waiting = list(NEIGHBOURS)

    def watched() -> None:
        found.append(curve(context, SETTINGS))

    def beside() -> None:
        while waiting:
            curve(context, waiting.pop(0))

    run_in_threads(context, [beside, watched, beside], 300.0)
    values = torch.cat([seat.flat.matrices for pack in context.packs for seat in pack.seats])
    assert values.isfinite().any()
    assert found[0] == pytest.approx(alone, rel=0.01)
