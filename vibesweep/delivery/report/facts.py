"""What a report is made of: all that a sweep's folder and its shards say at one moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from optuna.distributions import BaseDistribution

from vibesweep.config import Budget
from vibesweep.corpus.shards.manifest import Manifest, read_manifest
from vibesweep.errors import ShardsError, VibesweepError
from vibesweep.quality.quality_file import Quality, read_quality
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState, TrialRecord
from vibesweep.sweep.record.study import distributions_of
from vibesweep.sweep.record.table import ranked


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a sweep.

    Attributes:
        folder: the sweep's files.
        record: the sweep as it stands.
        reports: a row for each report of each trial, in the order in which they came.
        distributions: where each swept setting is drawn from; empty where the study is gone.
        manifest: what the shards hold, or why that cannot be said.
        quality: what was heard in the voices; ``None`` where nothing was measured.
        made_unix_s: when this was read.
    """

    folder: SweepFolder
    record: SweepRecord
    reports: pd.DataFrame
    distributions: Mapping[str, BaseDistribution]
    manifest: Manifest | VibesweepError
    quality: Quality | None
    made_unix_s: float

    @cached_property
    def budget(self) -> Budget:
        """How long a trial may train, and where the rungs lie."""
        return Budget(**self.record.sweep["budget"])

    @property
    def ran_throughout(self) -> bool:
        """Whether it ran from its start until now or its end; if not, nobody knows how long."""
        return not self.record.resumed and self.record.state != SweepState.INTERRUPTED

    @cached_property
    def validated(self) -> list[TrialRecord]:
        """The trials that have a loss, best first."""
        return [trial for trial in ranked(self.record) if trial.best_loss_val is not None]


def read_facts(folder: SweepFolder) -> Facts:
    """Read a sweep that runs or has ended.

    Raises:
        SweepError: there is none, or its record cannot be read.
        ModelError: what was heard in the voices cannot be read.
        StorageError: the store cannot be reached.
    """
    record, reports = folder.read_with_reports()
    return Facts(
        folder=folder,
        record=record,
        reports=reports,
        distributions=_distributions_in(folder.journal),
        manifest=_manifest_of(record),
        quality=read_quality(folder.quality),
        made_unix_s=time.time(),
    )


def _distributions_in(journal: StoragePath) -> dict[str, BaseDistribution]:
    if not journal.is_file():
        return {}
    with journal.fetched() as path:
        return distributions_of(path)


def _manifest_of(record: SweepRecord) -> Manifest | VibesweepError:
    try:
        manifest = read_manifest(record.shards)
    except VibesweepError as error:
        return error
    if manifest.signature != record.shards_signature:
        found = "the shards have been made anew since the sweep"
        return ShardsError(found, where=record.shards)
    return manifest
