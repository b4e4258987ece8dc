"""Trains one trial of a sweep again, on a lane like its own, and compares what it reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray

from vibesweep.cluster.autoscaler import current_cluster
from vibesweep.cluster.lane_capacity import plan_lanes
from vibesweep.cluster.session import running_ray
from vibesweep.config import Budget, Report, Sweep, TrialResources, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.tuning import quiet_tune
from vibesweep.training.lanes.lane import Lanes, running_dispatcher
from vibesweep.training.lanes.messages import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec

LEAVE_S = 20.0
"""How long the lane may take to end before it is killed."""


@dataclass(frozen=True)
class Compared:
    """A report of a trial that was trained again.

    Attributes:
        step: optimizer steps taken.
        loss_val: its validation loss now.
        loss_then: the one that the sweep recorded.
        device: what it was trained on now.
    """

    step: int
    loss_val: float
    loss_then: float
    device: str

    @property
    def same(self) -> bool:
        """Whether both losses are equal to the bit."""
        return self.loss_val == self.loss_then

    def __str__(self) -> str:
        """Say in one line how the losses compare."""
        found = f"step {self.step:4d} loss {self.loss_val:.6f}"
        if self.same:
            return f"{found}, as then"
        return (
            f"{found}, then {self.loss_then:.6f}: {abs(self.loss_val - self.loss_then):.2g} apart"
        )


def rerun(folder: SweepFolder, named: str, say: Say) -> list[Compared]:
    """Train a trial again, as far as it reported, and compare its losses.

    Args:
        folder: the sweep's folder, in which nothing is changed.
        named: the trial's number or id.
        say: told of each report.

    Raises:
        SweepError: there is no such trial, or it has no report.
        VibesweepError: its shards or its base are not what they were, or no lane has room.
    """
    record, reports = folder.read_with_reports()
    trial = record.trial_named(named)
    then: dict[int, float] = {}
    for row in reports.to_dict("records"):
        if row["trial"] == trial.id:
            then[int(row["step"])] = float(row["loss_val"])
    if not then:
        raise SweepError(f"trial {named} has no report", where=str(folder.place))
    compared = []
    with _lane_for(folder, record, trial) as dispatcher:
        for report in _reports(dispatcher, record, trial):
            if report.step not in then:
                break
            again = Compared(report.step, report.loss_val, then.pop(report.step), report.device)
            compared.append(again)
            say(str(again))
            if not then:
                break
    return compared


def _reports(dispatcher: Any, record: SweepRecord, trial: TrialRecord) -> Iterator[Report]:
    """Have the lane train to report after report, until the trial ends by itself."""
    settings = TrialSettings(**trial.settings)
    steps = Budget(**record.sweep["budget"]).report_steps
    for step in [step for step in steps if step > trial.cloned_at_step]:
        command = Command(trial.id, settings, (step,), trial.origin)
        answer: Answer = ray.get(dispatcher.advance.remote(command))
        if answer.report is None:
            assert answer.error is not None
            raise answer.error
        yield answer.report


@contextmanager
def _lane_for(folder: SweepFolder, record: SweepRecord, trial: TrialRecord) -> Iterator[Any]:
    """Bring up one lane with what the trial's had; yield the dispatcher that commands it."""
    settings = TrialSettings(**trial.settings)
    resources = TrialResources(**record.sweep["resources"])
    budget = Budget(**record.sweep["budget"])
    one_lane = Sweep({}, resources=resources, lanes=1, trials=1)
    folder.rerun.remove()
    with TemporaryDirectory(prefix="vibesweep-rerun-") as scratch, quiet_tune():
        with running_ray(dashboard=True):
            (own,) = plan_lanes(one_lane, current_cluster())
            spec = LaneSpec(
                name=f"{record.name}-rerun",
                model=ModelRef.parse(record.model),
                shards=record.shards,
                shards_signature=record.shards_signature,
                checkpoints=_created(folder.rerun) / "checkpoints",
                states=folder.rerun / "states",
                clones=folder.clones,
                scratch=Path(scratch),
                max_steps=budget.last_step,
                typical=settings,
                resources=own,
                origin=None if record.sweep.get("starts_from") is None else folder.origin,
            )
            try:
                with running_dispatcher(1, spec.name) as dispatcher:
                    lanes = Lanes(dispatcher, [spec])
                    lanes.start()
                    try:
                        yield dispatcher
                    finally:
                        lanes.stop(LEAVE_S)
            finally:
                folder.rerun.remove()


def _created(place: StoragePath) -> StoragePath:
    """Return a folder, made where it is on this machine; a store makes its own."""
    if place.local is not None:
        place.local.mkdir(parents=True, exist_ok=True)
    return place
