"""What a sweep leaves on disk or in a store: the names of its files, and how they are read.

While a sweep runs, its log of events is its record; when it ends, ``sweep.json`` and
``trials.parquet`` are made of the log, which stays: a sweep is resumed from it. Delivery reads
sweeps through this file; it imports no ray.
"""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from vibesweep.errors import SweepError, VibesweepError
from vibesweep.quality.quality_file import QUALITY_FILE
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.os_errors import storage_error
from vibesweep.sweep.record.owner import Owner, Ownership
from vibesweep.sweep.record.record import (
    SCHEMA_VERSION,
    SweepRecord,
    TrialRecord,
    record_from_json,
)
from vibesweep.sweep.record.replay import Replay, replayed
from vibesweep.sweep.record.requests import Requests
from vibesweep.sweep.record.states import GOING, SweepState

if TYPE_CHECKING:
    import pandas as pd

SWEEPS, SHARDS, CORPORA = "sweeps", "shards", "corpora"
"""The folders inside the folder that a sweep works in."""
RECORD = "sweep.json"
EVENTS = "events.jsonl"
SCRATCH = "ray"
SAMPLE, SAMPLE_TEXT, BASE_SAMPLE = "sample.wav", "sample.txt", "base_sample.wav"
"""What is heard of the tuned model, what it says, and how its untouched base says it."""
NOT_IN_NAMES = "/\\?\x7f"
"""Characters of paths and of a store's address that a sweep's name cannot have."""
LONGEST_NAME_BYTES = 120
"""A file's name has at most 255 bytes; those of trials and lanes begin with the sweep's."""
SHOWN_OF_A_NAME = 140
READERS = 16
"""Records that `list` reads at the same time: a store takes its time for each."""


class SweepFolder:
    """The files of one sweep, on a disk or in a store. Nothing is read before it is asked for."""

    def __init__(self, address: StorageAddress) -> None:
        self.place = StoragePath.of(address)
        self.owner = self.place / "owner.lock"
        self.heartbeat = self.place / "heartbeat.json"
        self.ownership = Ownership(self.owner, self.heartbeat)
        self.asked = self.place / "asked"
        self.requests = Requests(self.asked)
        self.record = self.place / RECORD
        self.events = self.place / EVENTS
        self.reports = self.place / "trials.parquet"
        self.journal = self.place / "study.journal"
        self.space = self.place / "space.py"
        self.errors = self.place / "errors"
        self.tensorboard = self.place / "tensorboard"
        self.artifacts = self.place / "artifacts"
        self.checkpoints = self.place / "checkpoints"
        self.origin = self.place / "origin"
        self.best = self.place / "best"
        self.sample = self.best / SAMPLE
        self.states = self.place / "states"
        self.clones = self.place / "clones"
        self.rerun = self.place / "rerun"
        self.quality = self.place / QUALITY_FILE
        self.report = self.place / "report.html"
        self.scratch = self.place / SCRATCH

    def errors_of(self, what: str) -> StoragePath:
        """Return the file of a trial's tracebacks, by its id, or of the whole ``sweep``'s."""
        return self.errors / f"{what}.txt"

    def holds_sweep(self) -> bool:
        """Whether a sweep has begun or ended here.

        Raises:
            StorageError: the store cannot be reached.
        """
        return self.record.is_file() or self.events.is_file()

    def read(self) -> SweepRecord:
        """Read the record, of a sweep that runs, was interrupted or has ended.

        Raises:
            SweepError: there is none, or it was written by another version.
            StorageError: the store cannot be reached.
        """
        if self.record.is_file() or not self.events.is_file():
            return self._read_record()
        return self._standing(self.replay())

    def replay(self) -> Replay:
        """Replay the log of events.

        Raises:
            SweepError: it cannot be read.
        """
        try:
            return replayed(self.events.read_bytes())
        except OSError as error:
            raise _refused(self.events, error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(self.events, error) from error

    def read_with_reports(self) -> tuple[SweepRecord, pd.DataFrame]:
        """Read the record, and a row for each report of each trial, at the same moment.

        Raises:
            SweepError: there is none, or it was written by another version.
            StorageError: the store cannot be reached.
        """
        import pandas as pd

        if not self.record.is_file() and self.events.is_file():
            replay = self.replay()
            return self._standing(replay), pd.DataFrame(replay.rows())
        record = self._read_record()
        from vibesweep.storage.parquet import open_parquet

        if not self.reports.is_file():  # it has ended without a report
            return record, pd.DataFrame()
        return record, open_parquet(self.reports).read().to_pandas()

    def write(self, record: SweepRecord) -> None:
        """Write the record in one move.

        Raises:
            ValueError: a loss in it is not finite.
        """
        text = json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False)
        self.record.write_bytes(text.encode() + b"\n")

    def compact(self, replay: Replay) -> None:
        """Write the table of reports, then the record, of a sweep that has ended.

        From now on the record is what counts, and not the log, which takes longer to read.
        """
        if replay.reports:
            import pandas as pd

            with self.reports.drafted() as draft:
                pd.DataFrame(replay.rows()).to_parquet(draft)
        self.write(replay.record)

    def reopen(self) -> None:
        """Have the log count again, as a sweep goes on."""
        self.record.remove()
        self.reports.remove()

    def best_checkpoint(
        self, number: int | None = None
    ) -> tuple[SweepRecord, TrialRecord, StoragePath]:
        """Return the record, the best trial and its checkpoint's folder.

        Args:
            number: of another trial to return in place of the best.

        Raises:
            SweepError: no trial has a checkpoint yet, or not the one that is asked for.
        """
        record = self.read()
        best = record.best if number is None else self._trained(record, number)
        if best is not None:
            return record, best, self.checkpoints / best.id
        fix = "look at the trials' reasons"
        if record.state in GOING:
            fix = "let it go on until a trial has been validated"
        raise SweepError("no trial has a checkpoint", where=str(self.place), fix=fix)

    def _trained(self, record: SweepRecord, number: int) -> TrialRecord:
        trained = {}
        for trial in record.trials:
            if trial.best_loss_val is not None:
                trained[trial.number] = trial
        if number in trained:
            return trained[number]
        known = ", ".join(map(str, sorted(trained)))
        found = f"there is no checkpoint of a trial {number}"
        fix = f"choose among {known}" if known else "look at the trials' reasons"
        raise SweepError(found, where=str(self.place), fix=fix)

    def _standing(self, replay: Replay) -> SweepRecord:
        """Return the record that a log tells of; its sweep may have died without a word."""
        record = replay.record
        if record.state in GOING and self.ownership.owner() is Owner.GONE:
            record.state = SweepState.INTERRUPTED
        return record

    def _read_record(self) -> SweepRecord:
        if not self.record.is_file():
            fix = "`vibesweep list` names the sweeps"
            raise SweepError(f"no sweep here: no {RECORD}", where=str(self.place), fix=fix)
        try:
            found = parse_json(self.record.read_bytes())
            version = found["schema_version"]
            if version == SCHEMA_VERSION:
                return record_from_json(found)
        except OSError as error:
            raise _refused(self.record, error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(self.record, error) from error
        found = f"the record has schema version {version}, not {SCHEMA_VERSION}"
        fix = "read it with the vibesweep that wrote it"
        raise SweepError(found, where=str(self.record), fix=fix)


def _refused(file: StoragePath, error: OSError) -> VibesweepError:
    return storage_error(error, str(file)) or _unreadable(file, error)


def _unreadable(file: StoragePath, error: Exception) -> SweepError:
    fix = "put back a whole copy of it, or move the sweep's folder away"
    return SweepError(f"the record cannot be read: {error}", where=str(file), fix=fix)


def check_name(name: str) -> None:
    """Refuse a name that cannot be that of one folder, on a disk and in a store.

    Raises:
        SweepError: it is a path, is hidden, is too long, or has a character that addresses use.
    """
    fix = "choose a plain name with --name, such as first-try"
    bad = [character for character in name if character in NOT_IN_NAMES or ord(character) < 32]
    found = ""
    if not name.strip():
        found = "it is empty"
    elif bad:
        found = f"it has {bad[0]!r} in it"
    elif name.startswith("."):
        found = "it begins with a dot"
    elif len(os.fsencode(name)) > LONGEST_NAME_BYTES:
        found = f"it is longer than {LONGEST_NAME_BYTES} bytes"
    if found:
        where = f"--name {name[:SHOWN_OF_A_NAME]!r}"
        raise SweepError(f"{found}, so it cannot be a sweep's name", where=where, fix=fix)


def find_sweep(name: str, work: StorageAddress) -> SweepFolder:
    """Return the sweep in the folder of that path or URI, or of that name under ``work``."""
    by_address = SweepFolder(name)
    if by_address.holds_sweep():
        return by_address
    return SweepFolder(StoragePath.of(work) / SWEEPS / name)


class FoundSweeps(NamedTuple):
    """The sweeps that worked in a folder.

    Attributes:
        records: those that can be read, oldest first.
        unreadable: the name of each other one, and why it cannot be read.
    """

    records: list[SweepRecord]
    unreadable: dict[str, VibesweepError]


def list_sweeps(work: StorageAddress) -> FoundSweeps:
    """Read the records of all sweeps that worked in a folder; one that is broken hides no other."""
    places = (StoragePath.of(work) / SWEEPS).folders()
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(_read_if_any, places))
    records = [record for record in found if isinstance(record, SweepRecord)]
    records.sort(key=lambda record: record.started_unix_s)
    unreadable = {
        place.name: error
        for place, error in zip(places, found, strict=True)
        if isinstance(error, VibesweepError)
    }
    return FoundSweeps(records, unreadable)


def _read_if_any(place: StoragePath) -> SweepRecord | VibesweepError | None:
    """Return a sweep's record, or why it cannot be read; ``None`` where there is no sweep."""
    folder = SweepFolder(place)
    try:
        return folder.read() if folder.holds_sweep() else None
    except VibesweepError as error:
        return error
