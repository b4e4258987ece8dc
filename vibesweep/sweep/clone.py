"""A trial's clone: its weights and its steps, other settings, and a sweep of one trial for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vibesweep.config import Budget, TrialResources, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.models.adapters import for_trial
from vibesweep.models.registry import ModelRef
from vibesweep.models.speech_model import SpeechModel
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.search.fixed import OPTION
from vibesweep.sweep.search.space import settings_with
from vibesweep.training.parameters import trained_by_name
from vibesweep.training.state.checkpoint import saved_best

SPACE = '''"""A clone: a trial of another sweep goes on, with other settings."""

# Trial {number} of {sweep!r}, from its step {step} on; changed: {changes!r}
from vibesweep import Budget, Sweep, TrialResources, TrialSettings

sweep = Sweep(
    space={{}},
    corpus={corpus!r},
    model={model!r},
    settings={settings!r},
    budget={budget!r},
    trials=1,
    resources={resources!r},
    lanes=1,
    seed={seed!r},
    objective={objective!r},
    limits={limits!r},
    starts_from={starts_from!r},
)
'''
"""Whatever is from a record, which somebody else may have written, stands in it as a literal."""
FIX = "name a trial that has one: the best that have ended, and those that run"


@dataclass(frozen=True)
class Clone:
    """What a clone is made of.

    Attributes:
        name: what its sweep is called, unless somebody says otherwise.
        space: the text of a space file, whose sweep is the clone.
        step: how many steps its weights have behind them.
    """

    name: str
    space: str
    step: int

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """Write the space file, which is there until the block ends."""
        with TemporaryDirectory(prefix="vibesweep-") as scratch:
            file = Path(scratch) / "space.py"
            file.write_text(self.space, encoding="utf-8")
            yield file


def clone_of(
    folder: SweepFolder, named: str, changes: Mapping[str, Any], max_steps: int | None = None
) -> Clone:
    """Write the sweep of a trial's clone.

    Args:
        folder: the sweep of the trial, which may run.
        named: the trial's number or id.
        changes: settings that are to be others.
        max_steps: how many steps the whole trial is to have; those of the sweep unless given.

    Raises:
        SweepError: there is no such trial, it has no checkpoint, or nothing is left to train.
        SpaceError: the settings are none.
        ModelError: with these settings other parts would be trained than the checkpoint holds.
    """
    record = folder.read()
    trial = record.trial_named(named)
    checkpoint = folder.checkpoints / trial.id
    step = saved_best(checkpoint).step
    if not step:
        raise SweepError(f"trial {named} has no checkpoint", where=str(folder.place), fix=FIX)
    settings = settings_of_clone(folder, record, trial, changes)
    budget = _budget(record, step, max_steps, folder)
    text = _space(record, trial, step, changes, settings, budget, checkpoint.address)
    return Clone(f"{folder.place.name}_trial_{named}", text, step)


def settings_of_clone(
    folder: SweepFolder, record: SweepRecord, trial: TrialRecord, changes: Mapping[str, Any]
) -> TrialSettings:
    """Return a trial's settings with changes, which leave what it trains as it is.

    Raises:
        SpaceError: the settings are none.
        SweepError: they would train other parts.
        ModelError: the base does not support them.
    """
    before = TrialSettings(**trial.settings)
    settings = settings_with(before, changes, OPTION)
    model = ModelRef.parse(record.model)
    skeleton = model.family.skeleton(model.address)
    _check_same_parts(skeleton, before, settings, folder)
    return settings


def _check_same_parts(
    skeleton: SpeechModel, before: TrialSettings, now: TrialSettings, folder: SweepFolder
) -> None:
    if _shapes(skeleton, before) == _shapes(skeleton, now):
        return
    found = "with these settings a trial trains other parts than the one that is cloned"
    fix = "leave method, ranks and targets as they are; change rates, weights, data or dropout"
    raise SweepError(found, where=str(folder.place), fix=fix)


def _shapes(skeleton: SpeechModel, settings: TrialSettings) -> dict[str, tuple[int, ...]]:
    model = for_trial(skeleton, settings)
    trained = trained_by_name(model)
    return {name: tuple(part.shape) for name, part in trained.items()}


def _budget(record: SweepRecord, step: int, max_steps: int | None, folder: SweepFolder) -> Budget:
    budget = Budget(**record.sweep["budget"])
    if max_steps is not None:
        budget = replace(budget, max_steps=max_steps)
    if budget.last_step > step:
        return budget
    found = f"its weights have {step} steps behind them, and the whole trial has {budget.last_step}"
    raise SweepError(found, where=str(folder.place), fix="give more with --max-steps")


def _space(
    record: SweepRecord,
    trial: TrialRecord,
    step: int,
    changes: Mapping[str, Any],
    settings: TrialSettings,
    budget: Budget,
    starts_from: str,
) -> str:
    return SPACE.format(
        number=trial.number,
        sweep=record.name,
        step=step,
        changes=dict(changes),
        corpus=record.shards,
        model=record.model,
        settings=settings,
        budget=budget,
        resources=TrialResources(**record.sweep["resources"]),
        seed=record.sweep["seed"],
        objective=_objective(record),
        limits=record.sweep.get("limits", {}),
        starts_from=starts_from,
    )


def _objective(record: SweepRecord) -> str | tuple[str, ...]:
    found = record.sweep.get("objective", "loss_val")
    return found if isinstance(found, str) else tuple(found)
