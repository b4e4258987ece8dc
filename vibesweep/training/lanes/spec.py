"""What a lane is told when it is brought up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vibesweep.config import TrialResources
from vibesweep.storage import StoragePath


@dataclass(frozen=True)
class LaneSpec:
    """What a lane works on, and where it keeps what it makes.

    Attributes:
        name: the lane's, one of its sweep.
        model: a base's name or absolute folder.
        shards: address of the folder of Parquet shards.
        checkpoints: in which each trial's best checkpoint gets a folder of its own; the same for all hosts.
        states: in which each trial's state gets a folder of its own; the same for all hosts.
        scratch: absolute folder for Ray Train's own files, on the driver's host.
        max_steps: the budget's.
        resources: what the worker group holds.
    """

    name: str
    model: str
    shards: str
    checkpoints: StoragePath
    states: StoragePath
    scratch: Path
    max_steps: int
    resources: TrialResources = field(default_factory=TrialResources)
