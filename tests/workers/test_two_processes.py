"""Two workers of one trial, each a process, as a lane's are: over gloo, no Ray."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training import seat
from vibesweep.training.lanes import trial_runner as runner
from vibesweep.training.lanes.messages import Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.trial_runner import TrialRunner
from vibesweep.training.state.full_state import saved_step
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

STEPS = 3
SETTINGS = TrialSettings(learning_rate=3e-3, lora_rank=4, lora_dropout=0.0, batch_clips=8)
ACCUMULATED = dataclasses.replace(SETTINGS, micro_batch_tokens=120)
"""Each worker's four clips come as two micro-batches or more."""


DROPPED = dataclasses.replace(SETTINGS, lora_dropout=0.2)
"""Its dropout is drawn from each process's own random numbers."""


def losses(context: WorkerContext, settings: TrialSettings) -> list[float]:
    """Train a whole trial; list its losses, gradient norms and validation loss."""
    report = TrialRun(context, settings, STEPS).advance(STEPS)
    step_losses = [record.loss for record in report.curve]
    grad_norms = [record.grad_norm for record in report.curve]
    return [*step_losses, *grad_norms, report.loss_val]


def worker(rank: int, folder: Path) -> None:
    """Run as one of two workers and write down what it found."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    context = WorkerContext.open(
        ModelRef.parse(str(folder / "base")), folder / "shards", World(rank, 2)
    )
    trials = (DROPPED, SETTINGS, ACCUMULATED, DROPPED)
    dropped, *plain, again = (losses(context, settings) for settings in trials)
    found = {
        "dropped": [dropped, again],
        "losses": plain,
        "left": left(context, rank, lane_spec(folder)),
        "refused": refused(context, rank, folder),
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def lane_spec(folder: Path) -> LaneSpec:
    """Say where a lane of these workers would write."""
    kept = StoragePath.of(folder)
    return LaneSpec(
        name="lane",
        model=ModelRef("mel", "unused: the context is open"),
        shards="unused",
        shards_signature="unused",
        checkpoints=kept / "checkpoints",
        states=kept / "states",
        clones=kept / "clones",
        scratch=folder / "scratch",
        max_steps=STEPS,
    )


def left(context: WorkerContext, rank: int, spec: LaneSpec) -> tuple[bool, int]:
    """Tell whether a trial left because one worker's host is about to go, and the state's step."""
    told = dataclasses.replace(context, must_leave=lambda: rank == 1)
    answer = TrialRunner(spec, told, rank).run(Command("left", SETTINGS, (STEPS,)))
    return answer.leaving, saved_step(spec.states / "left")


def refused(context: WorkerContext, rank: int, folder: Path) -> list[str]:
    """List a runner's errors for a trial whose state one worker cannot read, and for another."""
    runner.STATE_EVERY_S = 0.0
    runner.STATE_SHARE = math.inf
    spec = lane_spec(folder)
    lost = TrialRunner(spec, context, rank)
    for step in (1, 2):  # the state is saved when the report after it is asked for
        lost.run(Command("moved", SETTINGS, (step,)))
    torch.distributed.barrier()
    if rank == 1:
        TrialRun.restore = unreadable  # type: ignore[method-assign, assignment]
    own = TrialRunner(spec, context, rank)
    errors = [str(own.run(Command(trial, SETTINGS, (2,))).error) for trial in ("moved", "other")]
    if rank == 1:
        vars(seat)["configure_model"] = no_bf16_here
    errors.append(str(own.run(Command("on one device only", SETTINGS, (2,))).error))
    return errors


def unreadable(run: TrialRun, folder: object) -> None:
    raise ModelError("the trial's state cannot be read: timed out")


def no_bf16_here(model: object, settings: object) -> None:
    raise ModelError("cuda:1 does not compute in bf16")


def test_two_workers_do_what_one_does_and_fail_together(tmp_path: Path) -> None:
    base, shards = tiny.write_base(tmp_path / "base"), tiny.write_shards(tmp_path / "shards")
    spawn(worker, args=(tmp_path,), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["losses"] == second["losses"]
    alone = losses(WorkerContext.open(ModelRef.parse(str(base)), shards, World()), SETTINGS)
    for found in first["losses"]:
        assert found == pytest.approx(alone, rel=1e-5)
    # A trial that is trained again, after whatever others, is the same to the bit
    once, again = first["dropped"]
    assert once == again
    assert once != pytest.approx(alone, rel=1e-5)
    # What one worker is told holds for both, and neither ends before the state is there
    assert first["left"] == second["left"] == [True, 1]
    assert first["refused"] == second["refused"]
    assert first["refused"] == [
        "the trial's state cannot be read: timed out.",
        "None",
        "cuda:1 does not compute in bf16.",
    ]
