"""What can be said of a sweep before Ray starts and its name is taken.

The checks themselves are in aim_checks.py, corpus_checks.py and settings_checks.py.

Nothing here imports Ray, and torch only where the space sets something that a model may refuse: a
mistake costs the user a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vibesweep.config import Sweep
from vibesweep.corpus.shards.manifest import Manifest
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.checks.aim import check_aim, check_heard
from vibesweep.sweep.checks.corpus import check_clips, check_corpus, check_fit
from vibesweep.sweep.checks.settings import (
    refusal_by_model,
    refusal_by_resources,
    refusal_here,
    refuse_unusable,
    space_remarks,
)
from vibesweep.sweep.record.claim import refuse_taken
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder
from vibesweep.sweep.resume import check_resumable
from vibesweep.sweep.search.space import Rehearsal, check_space


@dataclass(frozen=True)
class CheckedSweep:
    """What the checks have found out.

    Attributes:
        model: the base, by an address that other processes understand.
        rehearsal: what the space suggests.
        manifest: of the shards, where the corpus is a folder of shards.
    """

    model: ModelRef
    rehearsal: Rehearsal
    manifest: Manifest | None


def check_sweep(
    sweep: Sweep,
    name: str,
    work: StorageAddress,
    say: Say,
    *,
    resume: bool = False,
    space_file: Path | None = None,
) -> CheckedSweep:
    """Check all of a sweep that needs neither Ray nor weights.

    Args:
        sweep: what is to be run.
        name: the name that it is to have.
        work: the folder that it works in.
        say: told in a line what is odd, but no error.
        resume: whether the sweep of that name is to go on.
        space_file: where the sweep's space is from.

    Raises:
        SweepError: the name is taken, or the sweep of that name cannot go on.
        VibesweepError: the corpus, the base or the space is not what the sweep needs.
    """
    folder = SweepFolder(StoragePath.of(work) / SWEEPS / name)
    if resume:
        check_resumable(sweep, folder, space_file)
    else:
        refuse_taken(folder)
    check_aim(sweep)
    model = ModelRef.parse(sweep.model).located()
    rehearsal = check_space(sweep)
    manifest = check_corpus(sweep.corpus)
    if manifest is not None:
        check_shards(sweep, model, rehearsal, sweep.corpus, say)
    refuse_unusable(rehearsal, refusal_by_resources(sweep), say)
    refuse_unusable(rehearsal, refusal_by_model(model, rehearsal), say)
    for remark in space_remarks(sweep, rehearsal):
        say(remark)
    return CheckedSweep(model, rehearsal, manifest)


def check_shards(
    sweep: Sweep, model: ModelRef, rehearsal: Rehearsal, shards: str, say: Say
) -> None:
    """Check shards, whether the user names them or the sweep has just made them.

    Raises:
        CorpusError: trials are to be heard, and no held-out recording can be compared with.
        ModelError: the model cannot be read.
        ShardsError: they do not fit the model, or are too few clips.
    """
    check_fit(model, shards, say)
    check_clips(sweep, rehearsal, shards, say)
    check_heard(sweep, model, shards)


def check_this_machine(checked: CheckedSweep, say: Say) -> None:
    """Refuse, where this machine alone is to train, what it has not installed.

    Raises:
        VibesweepError: no trial could be trained here.
    """
    refuse_unusable(checked.rehearsal, refusal_here, say)
