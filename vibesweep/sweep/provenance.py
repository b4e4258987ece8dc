"""The record of a sweep that begins: what it searches, with which versions, on which hosts."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version

from vibesweep.cluster.hardware import hosts_of_cluster
from vibesweep.config import Sweep
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.record.commit import commit_of
from vibesweep.sweep.record.record import SweepRecord, sweep_as_json
from vibesweep.version import PACKAGE, __version__

RECORDED_VERSIONS = ("ray", "torch", "transformers", "peft", "optuna", "numpy")


def new_record(sweep: Sweep, model: ModelRef, name: str, shards: str, lanes: int) -> SweepRecord:
    """Make the record of a sweep, as it starts on the Ray that runs.

    Args:
        sweep: what is searched, its budget in steps.
        model: the base.
        name: the sweep's name.
        shards: address of the folder of shards.
        lanes: how many lanes there will be.
    """
    return SweepRecord(
        name=name,
        model=str(model),
        shards=shards,
        shards_signature=read_manifest(shards).signature,
        sweep=sweep_as_json(sweep),
        lanes=lanes,
        versions=_versions(),
        hosts=hosts_of_cluster(),
        started_unix_s=time.time(),
    )


def _versions() -> dict[str, str]:
    # vibesweep may have come with a job, so that it is not installed
    versions = {"vibesweep": __version__, "python": platform.python_version()}
    for package in RECORDED_VERSIONS:
        versions[package] = version(package)
    commit = commit_of(PACKAGE)
    if commit is not None:
        versions["commit"] = commit
    return versions
