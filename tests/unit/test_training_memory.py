"""What fits a device: a line through two measured passes, read from the right side."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.training.memory import CPU_TOKENS, PROBES, MemoryModel, key_of, room
from vibesweep.training.worker_context import WorkerContext, World

GB = 1e9


@pytest.mark.parametrize(
    ("free_gb", "positions"), [(10.0, 65_536), (11.0, 65_536), (40.0, 262_144), (0.001, PROBES[0])]
)
def test_positions_leave_headroom_and_are_a_power_of_two(free_gb: float, positions: int) -> None:
    appetite = MemoryModel(fixed=0.1 * GB, slope=100_000.0)
    assert appetite.positions(free_gb * GB) == positions
    assert free_gb < 1 or appetite.fixed + appetite.slope * positions <= 0.8 * free_gb * GB


def test_a_method_is_measured_once_whatever_its_rates() -> None:
    plain = TrialSettings()
    assert key_of(plain) == key_of(
        TrialSettings(learning_rate=1e-2, lora_rank=64, seed=3, batch_clips=2)
    )
    others = [
        {"method": "full"},
        {"precision": "bf16"},
        {"lora_dropout": 0.0},
        {"lora_connectors": "full"},
    ]
    assert len({key_of(plain), *(key_of(TrialSettings(**changes)) for changes in others)}) == 5  # type: ignore[arg-type]


def test_on_a_cpu_a_constant_unless_it_is_set(tmp_path: Path) -> None:
    context = WorkerContext.open(
        str(tiny.write_base(tmp_path / "base")), tiny.write_shards(tmp_path / "shards"), World()
    )
    assert context.positions(context.base, TrialSettings(), nullcontext()) == CPU_TOKENS
    assert context.positions(context.base, TrialSettings(micro_batch_tokens=7), nullcontext()) == 7


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "share", "expected"),
    [
        (70, 5, 3, 1.0, 72),  # alone: what is free, and what torch holds unused
        (70, 5, 3, 0.5, 37),  # the first of two: its half, whatever is still free
        (33, 5, 3, 0.5, 35),  # the other has taken what is its own, and a context beside it
        (30, 45, 40, 0.5, 0),  # what it has of its half is in use
        (10, 5, 3, 0.5, 12),  # somebody else is on the device
    ],
)
def test_a_process_goes_by_its_share_of_a_device(
    free: int, reserved: int, allocated: int, share: float, expected: int
) -> None:
    assert room(free, 80, reserved, allocated, share) == expected
