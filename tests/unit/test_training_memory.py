"""What fits a device: a line through two measured passes, and a process's share of the memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training.memory import (
    CPU_TOKENS,
    SMALL_PROBE_TOKENS,
    MemoryModel,
    available_bytes,
    memory_key,
)
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

GB = 1e9


@pytest.mark.parametrize(
    ("free_gb", "tokens"),
    [(10.0, 65_536), (11.0, 65_536), (40.0, 262_144), (0.001, SMALL_PROBE_TOKENS)],
)
def test_tokens_leave_headroom_and_are_a_power_of_two(free_gb: float, tokens: int) -> None:
    memory = MemoryModel(fixed_bytes=0.1 * GB, bytes_per_token=100_000.0)
    assert memory.tokens_that_fit(free_gb * GB) == tokens
    taken = memory.fixed_bytes + memory.bytes_per_token * tokens
    assert free_gb < 1 or taken <= 0.8 * free_gb * GB


def test_a_kind_of_trial_is_measured_once_whatever_its_rates() -> None:
    plain = TrialSettings()
    alike = TrialSettings(learning_rate=1e-2, lora_rank=64, seed=3, batch_clips=2)
    assert memory_key(plain) == memory_key(alike)
    others = [
        TrialSettings(method="full"),
        TrialSettings(precision="bf16"),
        TrialSettings(lora_dropout=0.0),
        TrialSettings(lora_connectors="full"),
    ]
    assert len({memory_key(settings) for settings in (plain, *others)}) == 5


def test_on_a_cpu_micro_batches_have_a_fixed_size_unless_it_is_set(tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base")
    shards = tiny.write_shards(tmp_path / "shards")
    context = WorkerContext.open(ModelRef.parse(str(base)), shards, World())
    assert context.micro_batch_tokens(context.base, TrialSettings()) == CPU_TOKENS
    assert context.micro_batch_tokens(context.base, TrialSettings(micro_batch_tokens=7)) == 7


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "share", "expected"),
    [
        (70, 5, 3, 1.0, 72),  # alone: what is free, and what torch holds unused
        (70, 5, 3, 0.5, 37),  # the first of two: its half, whatever is still free
        (33, 5, 3, 0.5, 35),  # the other has taken its half, and a CUDA context besides
        (30, 45, 40, 0.5, 0),  # all of its half is in use
        (10, 5, 3, 0.5, 12),  # a stranger is on the device
    ],
)
def test_a_process_goes_by_its_share_of_a_device(
    free: int, reserved: int, allocated: int, share: float, expected: int
) -> None:
    assert available_bytes(free, 80, reserved, allocated, share) == expected
