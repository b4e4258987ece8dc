"""What a sweep leaves, on a disk or in a store: the names of its files, and its record. Delivery reads sweeps with this alone; no ray."""

from __future__ import annotations

import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from vibesweep.config import Sweep
from vibesweep.errors import SweepError
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.record.states import COMPLETE, PRUNED, RUNNING, STOPPED

SCHEMA_VERSION = 1
SWEEPS, SHARDS, CORPORA = "sweeps", "shards", "corpora"
"""What lies in the folder that a sweep works in."""
RECORD, SCRATCH = "sweep.json", "ray"
READERS = 16  # records that `list` reads at the same time: a store takes its time for each


@dataclass
class TrialRecord:
    """One trial as it stands.

    Attributes:
        id: Tune's name of it, and its checkpoint's folder.
        number: Optuna's, from 0.
        swept: what the space suggested.
        settings: all of :class:`vibesweep.config.TrialSettings`.
        state: one of :mod:`vibesweep.sweep.record.states`.
        step: optimizer steps taken.
        rung: ASHA's rungs passed.
        loss_val: of the last report; ``None`` where it was not finite.
        loss_train: mean over the steps of the last report; ``None`` where it was not finite.
        best_loss_val: the smallest so far, which the checkpoint holds.
        best_step: where that was.
        steps_per_s: of the last report.
        trained_parameters: how many it trains, which are what its checkpoint holds; 0 before its first report.
        reason: why it diverged or failed.
        started_unix_s: when it was given to a lane.
        ended_unix_s: when it ended.
    """

    id: str
    number: int
    swept: dict[str, Any]
    settings: dict[str, Any]
    state: str = RUNNING
    step: int = 0
    rung: int = 0
    loss_val: float | None = None
    loss_train: float | None = None
    best_loss_val: float | None = None
    best_step: int = 0
    steps_per_s: float = 0.0
    trained_parameters: int = 0
    reason: str = ""
    started_unix_s: float = 0.0
    ended_unix_s: float | None = None


@dataclass
class SweepRecord:
    """The whole sweep as it stands.

    Attributes:
        name: the folder's.
        model: the base: a shipped one's name or an absolute folder.
        shards: address of the folder.
        shards_signature: of their manifest.
        sweep: the :class:`vibesweep.config.Sweep` but for its space, which lies beside as a file.
        lanes: how many trials train at the same time.
        versions: of what the result depends on.
        base_loss_val: validation loss of the untouched base.
        state: ``running``, ``done``, ``stopped`` or ``failed``.
        trials: in the order in which they began.
        started_unix_s: when the sweep began.
        ended_unix_s: when it ended.
        schema_version: of this record.
    """

    name: str
    model: str
    shards: str
    shards_signature: str
    sweep: dict[str, Any]
    lanes: int
    versions: dict[str, str]
    base_loss_val: float | None = None
    state: str = RUNNING
    trials: list[TrialRecord] = field(default_factory=list)
    started_unix_s: float = 0.0
    ended_unix_s: float | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the smallest validation loss, among those that trained soundly, running ones too."""
        sound = (COMPLETE, PRUNED, RUNNING, STOPPED)
        ranked = [
            trial
            for trial in self.trials
            if trial.best_loss_val is not None and trial.state in sound
        ]
        return min(ranked, key=lambda trial: trial.best_loss_val or math.inf, default=None)


class SweepFolder:
    """The owner of the file names of one sweep."""

    def __init__(self, address: StorageAddress) -> None:
        """Take the sweep's folder, on a disk or in a store; nothing is read yet."""
        self.place = StoragePath.of(address)
        self.record = self.place / RECORD
        self.reports = self.place / "trials.parquet"
        self.journal = self.place / "study.journal"
        self.space = self.place / "space.py"
        self.errors = self.place / "errors.log"
        self.tensorboard = self.place / "tensorboard"
        self.checkpoints = self.place / "checkpoints"
        self.best = self.place / "best"
        self.scratch = self.place / SCRATCH
        self.states = self.scratch / "states"

    def read(self) -> SweepRecord:
        """Read the record.

        Raises:
            SweepError: there is none, or it was written by another version.
            StorageError: the store cannot be reached.
        """
        if not self.record.is_file():
            raise SweepError(
                f"no sweep here: no {RECORD}",
                where=str(self.place),
                fix="`vibesweep list` names the sweeps",
            )
        try:
            found = json.loads(self.record.read_bytes())
            version = found["schema_version"]
            if version == SCHEMA_VERSION:
                return SweepRecord(
                    **{**found, "trials": [TrialRecord(**trial) for trial in found["trials"]]}
                )
        except (ValueError, KeyError, TypeError) as error:
            raise SweepError(
                f"the record cannot be read: {error}", where=str(self.record)
            ) from error
        raise SweepError(
            f"the record has schema version {version}, not {SCHEMA_VERSION}", where=str(self.record)
        )

    def write(self, record: SweepRecord) -> None:
        """Write the record in one move."""
        self.record.write_bytes(
            json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False).encode() + b"\n"
        )

    def best_checkpoint(self) -> tuple[SweepRecord, TrialRecord, StoragePath]:
        """Return the record, the best trial and its checkpoint's folder.

        Raises:
            SweepError: no trial has a checkpoint yet.
        """
        record = self.read()
        if record.best is None:
            fix = (
                "let it go on until a trial has been validated"
                if record.state == RUNNING
                else "look at the trials' reasons"
            )
            raise SweepError("no trial has a checkpoint", where=str(self.place), fix=fix)
        return record, record.best, self.checkpoints / record.best.id


def find_sweep(name: str, work: StorageAddress) -> SweepFolder:
    """Return the sweep of that name in the folder that sweeps work in, or the one in the folder of that path or URI."""
    by_address = SweepFolder(name)
    return (
        by_address
        if by_address.record.is_file()
        else SweepFolder(StoragePath.of(work) / SWEEPS / name)
    )


def list_sweeps(work: StorageAddress) -> list[SweepRecord]:
    """The records of all sweeps that worked in a folder, oldest first."""
    with ThreadPoolExecutor(READERS) as readers:
        found = [
            record
            for record in readers.map(_read_if_any, (StoragePath.of(work) / SWEEPS).folders())
            if record is not None
        ]
    return sorted(found, key=lambda record: record.started_unix_s)


def _read_if_any(place: StoragePath) -> SweepRecord | None:
    folder = SweepFolder(place)
    return folder.read() if folder.record.is_file() else None


def as_json(sweep: Sweep) -> dict[str, Any]:
    """Everything of a sweep but its space, which is code."""
    found = {f.name: getattr(sweep, f.name) for f in dataclasses.fields(sweep) if f.name != "space"}
    nested = {name: dataclasses.asdict(found[name]) for name in ("settings", "budget", "resources")}
    return {**found, **nested, "try_first": [dict(point) for point in sweep.try_first]}
