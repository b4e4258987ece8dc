"""Two workers of one trial, each a process, as a lane's are: DDP over gloo, no Ray."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.storage import Place
from vibesweep.training import seat
from vibesweep.training.lane_spec import LaneSpec
from vibesweep.training.loop import TrialRun
from vibesweep.training.mailbox import Command
from vibesweep.training.seat import Seat
from vibesweep.training.workbench import Workbench, World

STEPS = 3
SETTINGS = TrialSettings(learning_rate=3e-3, lora_rank=4, lora_dropout=0.0, batch_clips=8)
ACCUMULATED = dataclasses.replace(SETTINGS, micro_batch_positions=120)
"""A worker's four clips come as two micro-batches or more."""


def losses(bench: Workbench, settings: TrialSettings) -> list[float]:
    """Of a whole trial: steps, gradient norms, validation."""
    report = TrialRun(bench, settings, STEPS).advance(STEPS)
    return [*(part for record in report.curve for part in (record.loss, record.grad_norm)), report.loss_val]


def worker(rank: int, folder: Path) -> None:
    """One of two; writes down what it found."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    bench = Workbench.open(str(folder / "base"), folder / "shards", World(rank, 2))
    found = [losses(bench, SETTINGS), losses(bench, ACCUMULATED)]
    (folder / f"{rank}.json").write_text(json.dumps({"losses": found, "refused": refused(bench, rank, folder)}))
    torch.distributed.destroy_process_group()


def refused(bench: Workbench, rank: int, folder: Path) -> list[str]:
    """What a seat says of a trial whose state one of the two cannot read, and then of another trial."""
    seat.STATE_EVERY_S = 0.0
    kept = Place.of(folder)
    spec = LaneSpec("any", "", "", kept / "checkpoints", kept / "states", folder / "scratch", STEPS)
    Seat(spec, bench, rank).obey(Command("moved", SETTINGS, 1))
    torch.distributed.barrier()
    if rank == 1:
        TrialRun.restore = unreadable  # type: ignore[method-assign, assignment]
    own = Seat(spec, bench, rank)
    return [str(own.obey(Command(trial, SETTINGS, 2)).error) for trial in ("moved", "other")]


def unreadable(run: TrialRun, folder: object) -> None:
    raise ModelError("the trial's state cannot be read: timed out")


def test_two_workers_do_what_one_does_and_fail_together(tmp_path: Path) -> None:
    base, shards = tiny.write_base(tmp_path / "base"), tiny.write_shards(tmp_path / "shards")
    spawn(worker, args=(tmp_path,), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["losses"] == second["losses"]
    alone = losses(Workbench.open(str(base), shards, World()), SETTINGS)
    for found in first["losses"]:
        assert found == pytest.approx(alone, rel=1e-5)
    assert first["refused"] == second["refused"] == ["the trial's state cannot be read: timed out.", "None"]
