"""What a lane is given when it is brought up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vibesweep.config import STEP_TIMEOUT_S, TrialResources, TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import Aim
from vibesweep.storage import StoragePath


@dataclass(frozen=True)
class LaneSpec:
    """What a lane works on, and where it writes.

    Attributes:
        name: name of the lane, unique in its sweep.
        model: the base, by a name that every host understands.
        shards: address of the folder of Parquet shards.
        shards_signature: signature of their manifest when the sweep began; the lane takes no
            others.
        checkpoints: folder of one folder a trial, for its best checkpoint; the same for all hosts.
        states: folder of one folder a trial, for its full state; the same for all hosts.
        clones: folder of one folder a clone, with what it begins with; the same for all hosts.
        scratch: absolute folder for Ray Train's own files, on the driver's host.
        max_steps: optimizer steps of a trial's whole budget.
        step_timeout_s: how long a worker may go without finishing a step.
        typical: settings by which the lane's pace is measured.
        resources: what the lane's worker group holds.
        rehearsed: settings such as the space suggests, by which it is found how many trials have
            room at the same time.
        aim: what trials are ranked by.
        heard_steps: steps at which they are heard.
        origin: folder of a checkpoint that every trial begins with, where there is one.
    """

    name: str
    model: ModelRef
    shards: str
    shards_signature: str
    checkpoints: StoragePath
    states: StoragePath
    clones: StoragePath
    scratch: Path
    max_steps: int
    step_timeout_s: float = STEP_TIMEOUT_S
    typical: TrialSettings = field(default_factory=TrialSettings)
    resources: TrialResources = field(default_factory=TrialResources)
    rehearsed: tuple[TrialSettings, ...] = ()
    aim: Aim = field(default_factory=Aim)
    heard_steps: tuple[int, ...] = ()
    origin: StoragePath | None = None
