"""Trials on a GPU have the losses that they have on a CPU, and can be resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from tests.gpu.bases import DEVICE, LARGE, context_on_gpu, free_unused_memory
from vibesweep.config import Report, TrialSettings
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

STEPS = 6
SETTINGS = TrialSettings(learning_rate=3e-3, batch_clips=4, lora_dropout=0.0)
"""Without dropout, which a CPU draws differently."""
CASES: list[dict[str, Any]] = [
    {},
    {"method": "full", "learning_rate": 1e-3},
    {"lora_dora": True},
    {"lora_head": "full"},
    {"ema_decay": 0.9},
    {"gradient_checkpointing": True},
    {"precision": "bf16"},
    {"precision": "bf16", "gradient_checkpointing": True, "method": "full", "learning_rate": 1e-3},
    {"optimizer": "lion", "learning_rate": 1e-3},
    {"optimizer": "adafactor", "learning_rate": 1e-2},
    {"optimizer": "muon", "learning_rate": 1e-2},
    {"optimizer": "sgd", "learning_rate": 0.1},
    {"optimizer": "schedule_free_adamw", "schedule": "constant"},
    {"optimizer": "prodigy", "learning_rate": 1.0},
    {"compile": True},
    {"compile": True, "precision": "bf16"},
]
LOOSE = {"float32": 1e-3, "bf16": 5e-3}
"""Relative differences; on a CPU a bf16 trial is 4e-4 away from its float32 losses."""
MB = 1e6
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context_on_gpu(tmp_path_factory.mktemp("context"), tiny.SHAPE)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context_on_gpu(tmp_path_factory.mktemp("context"), LARGE)


def losses(*reports: Report) -> list[float]:
    """List every step's loss, then the last validation loss."""
    return [record.loss for report in reports for record in report.curve] + [reports[-1].loss_val]


def furthest(found: list[float], expected: list[float]) -> float:
    """Return the largest relative difference of any loss."""
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_a_trial_on_a_gpu_has_a_cpus_losses_and_can_be_resumed(
    on_cpu: WorkerContext,
    on_gpu: WorkerContext,
    changes: dict[str, Any],
    tmp_path: Path,
    record_property: Record,
) -> None:
    settings = dataclasses.replace(SETTINGS, **changes)
    plain = dataclasses.replace(settings, precision="float32", compile=False)
    expected = losses(TrialRun(on_cpu, plain, STEPS).advance(STEPS))
    run = TrialRun(on_gpu, settings, STEPS)
    untouched = run.validate()
    first = run.advance(STEPS // 2)
    run.save_state(tmp_path / "state")
    last = run.advance(STEPS)
    found = losses(first, last)
    resumed = TrialRun(on_gpu, settings, STEPS)
    resumed.restore(tmp_path / "state")
    away = furthest(found, expected)
    again = furthest(losses(resumed.advance(STEPS)), losses(last))
    print(
        f"\n{changes}: from the CPU {away:.1e}, resumed {again:.1e};"
        f" validation {untouched:.5f} to {last.loss_val:.5f}"
    )
    figures = {"found": found, "expected": expected, "away": away, "again": again}
    record_property("losses", {**figures, "untouched": untouched})
    assert first.diverged is None
    assert last.diverged is None
    assert last.loss_val < untouched
    assert away < LOOSE[settings.precision]
    assert again < 1e-4
    assert settings.precision == "float32" or away > 1e-6, "it did compute in bf16"


def test_dropout_goes_on_where_a_resumed_trial_left_it(
    on_gpu: WorkerContext, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, lora_dropout=0.2, attention_dropout=0.2, ema_decay=0.9)
    run = TrialRun(on_gpu, settings, STEPS)
    run.advance(STEPS // 2)
    run.save_state(tmp_path / "state")
    expected = losses(run.advance(STEPS))
    resumed = TrialRun(on_gpu, settings, STEPS)
    no_dropout = dataclasses.replace(SETTINGS, ema_decay=0.9)
    without = losses(TrialRun(on_gpu, no_dropout, STEPS).advance(STEPS))
    resumed.restore(tmp_path / "state")
    assert furthest(losses(resumed.advance(STEPS)), expected) < 1e-4
    assert furthest(without[STEPS // 2 :], expected) > 1e-5, "dropout does something"


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_8_bit_states_follow_adamw(on_gpu: WorkerContext, tmp_path: Path) -> None:
    usual = losses(TrialRun(on_gpu, SETTINGS, STEPS).advance(STEPS))
    settings = dataclasses.replace(SETTINGS, optimizer="adamw_8bit")
    run = TrialRun(on_gpu, settings, STEPS)
    first = run.advance(STEPS // 2)
    run.save_state(tmp_path / "state")
    last = run.advance(STEPS)
    assert furthest(losses(first, last), usual) < 3e-2
    resumed = TrialRun(on_gpu, settings, STEPS)
    resumed.restore(tmp_path / "state")
    assert furthest(losses(resumed.advance(STEPS)), losses(last)) < 1e-4


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient_checkpointing": True},
        {"precision": "bf16"},
        {"precision": "bf16", "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_a_larger_base_loses_little_by_what_saves_time_or_memory(
    large: WorkerContext, changes: dict[str, Any], record_property: Record
) -> None:
    plain = dataclasses.replace(SETTINGS, learning_rate=3e-4, batch_clips=24)
    untouched = large.validate(large.base)
    settings = dataclasses.replace(plain, **changes)
    usual, usual_peak = trained(large, plain)
    found, peak = trained(large, settings)
    away = furthest(losses(found), losses(usual))
    print(
        f"\n{changes}: {away:.1e} away,"
        f" {found.steps_per_s:.1f} for {usual.steps_per_s:.1f} steps/s,"
        f" {peak:.0f} for {usual_peak:.0f} MB"
    )
    figures = {"found": losses(found), "usual": losses(usual), "away": away}
    record_property("losses", {**figures, "peaks": [peak, usual_peak]})
    assert away < LOOSE[settings.precision]
    assert found.loss_val < untouched
    assert peak < usual_peak


def trained(context: WorkerContext, settings: TrialSettings) -> tuple[Report, float]:
    """Return the last steps' report, and the most megabytes that were taken beside the base.

    A graph's memory shows when it is captured, in the first steps.
    """
    context.seats.clear()
    free_unused_memory()
    held_mb = torch.cuda.memory_allocated(DEVICE) / MB
    run = TrialRun(context, settings, STEPS)
    run.advance(2)
    report = run.advance(STEPS)
    run.close()
    context.seats.clear()
    return report, report.peak_memory_mb - held_mb
