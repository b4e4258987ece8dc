"""What a sweep needs before its folder is claimed: lanes, shards, and a budget in steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from vibesweep.cluster.nodes import check_hosts
from vibesweep.config import Sweep, TrialResources, TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import Aim, listening_line
from vibesweep.storage import StoragePath
from vibesweep.sweep.checks.corpus import is_demo
from vibesweep.sweep.checks.early import CheckedSweep, check_shards
from vibesweep.sweep.plan.disk_bound import disk_line
from vibesweep.sweep.plan.forecast import heard_line, training_clips, typical_settings
from vibesweep.sweep.prepare import shards_for
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.resume import check_same_budget


@dataclass(frozen=True)
class ReadySweep:
    """A sweep that can begin.

    Attributes:
        sweep: what is searched; its budget is in steps.
        model: the base.
        shards: address of the folder of shards.
        lanes: what each lane may take.
        typical: the settings by which the budget became steps.
    """

    sweep: Sweep
    model: ModelRef
    shards: str
    lanes: Sequence[TrialResources]
    typical: TrialSettings


def make_ready(
    sweep: Sweep,
    checked: CheckedSweep,
    lanes: Sequence[TrialResources],
    work: StoragePath,
    progress: Progress,
    resumed: SweepFolder | None,
) -> ReadySweep:
    """Make a sweep's shards, check them, and say what is about to happen.

    Args:
        sweep: what to search.
        checked: what was found out about it before Ray was up.
        lanes: what each lane may take.
        work: folder for shards and the demo corpus.
        progress: is told what takes time, and what will happen.
        resumed: the sweep that goes on; ``None`` for a new one.

    Raises:
        VibesweepError: the corpus, the base or a host is not what the sweep needs.
    """
    model = checked.model
    check_hosts(work, _read_by_all(sweep, model))
    if resumed is not None:
        shards = resumed.read().shards  # the corpus may have changed meanwhile
    else:
        shards = shards_for(sweep, model, work, progress.say)
    if checked.manifest is None:
        check_shards(sweep, model, checked.rehearsal, shards, progress.say)
    typical = typical_settings(sweep, checked.rehearsal)
    clips, speech_s = training_clips(shards)
    budget = sweep.budget.in_steps(clips, speech_s, typical)
    sweep = dataclasses.replace(sweep, budget=budget)
    if resumed is not None:
        check_same_budget(budget, resumed)
    at_once = sweep.trials_at_once(len(lanes))
    progress.say_each(
        heard_line(budget, clips, speech_s, typical),
        disk_line(sweep, at_once, model, checked.rehearsal.settings),
        listening_line(Aim.of(sweep), budget),
    )
    return ReadySweep(sweep, model, shards, lanes, typical)


def _read_by_all(sweep: Sweep, model: ModelRef) -> list[StoragePath]:
    """Return what every lane reads beside the shards, unless it comes with the package."""
    folders = [] if is_demo(sweep.corpus) else [StoragePath.of(sweep.corpus)]
    folder = model.family.folder(model.address)
    if folder is not None:
        folders.append(StoragePath.of(folder))
    return folders
