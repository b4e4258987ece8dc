"""Trials of earlier sweeps that inform a search from its beginning."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import SpaceError
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.points import PointTrial
from vibesweep.sweep.search.sampler import PRICE
from vibesweep.sweep.search.space import suggest

if TYPE_CHECKING:
    import pandas as pd

FROM = "from"
"""Optuna's user attribute that names the sweep and the trial which a trial was taken from."""
STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.PRUNED,
}
"""What the search is told of; other ends say nothing about the settings."""


@dataclass(frozen=True)
class WarmStart:
    """What earlier sweeps have to say.

    Attributes:
        trials: for Optuna's study.
        said: in a line for each sweep, how many of its trials are taken, and why not the others.
    """

    trials: tuple[FrozenTrial, ...] = ()
    said: tuple[str, ...] = ()


def warm_start(
    sweep: Sweep, folders: Sequence[SweepFolder], model: str, shards_signature: str
) -> WarmStart:
    """Take the trials of earlier sweeps that this sweep's space could have suggested.

    Args:
        sweep: whose space it is.
        folders: of the earlier sweeps.
        model: the base, as the record names it: losses of another are not comparable.
        shards_signature: of what is trained on; the same holds for it.

    Raises:
        SweepError: there is no such sweep, or its record cannot be read.
        StorageError: the store cannot be reached.
    """
    trials: list[FrozenTrial] = []
    said = []
    for folder in folders:
        record, reports = folder.read_with_reports()
        why_not: Counter[str] = Counter()
        taken = 0
        for trial in record.trials:
            found = _taken(sweep, record, trial, reports, model, shards_signature)
            if isinstance(found, str):
                why_not[found] += 1
                continue
            taken += 1
            trials.append(found)
        said.append(_line(record, taken, why_not))
    return WarmStart(tuple(trials), tuple(said))


def _taken(
    sweep: Sweep,
    record: SweepRecord,
    trial: TrialRecord,
    reports: pd.DataFrame,
    model: str,
    shards_signature: str,
) -> FrozenTrial | str:
    """Return a trial for the study, or why it is none."""
    aim = Aim.of(sweep)
    why_not = _why_not(record, trial, model, shards_signature) or _why_not_ranked(trial, aim)
    if why_not:
        return why_not
    asked = _asked(sweep, trial)
    if asked is None:
        return "with settings that this space does not suggest"
    with quiet_optuna():
        return create_trial(
            state=STATES[trial.state],
            values=_values(trial, aim),
            params=asked.params,
            distributions=asked.distributions,
            intermediate_values=_losses(trial, reports) if aim.by_loss else {},
            user_attrs=_attributes(record, trial, aim),
        )


def _why_not(record: SweepRecord, trial: TrialRecord, model: str, shards_signature: str) -> str:
    """Say why a trial's loss cannot be compared; empty where it can."""
    if record.model != model:
        return "of another base"
    if record.shards_signature != shards_signature:
        return "on other shards"
    return "" if trial.cloned_from is None else "of clones"


def _why_not_ranked(trial: TrialRecord, aim: Aim) -> str:
    """Say why a trial cannot be ranked by what the search looks for; empty where it can."""
    if trial.state not in STATES:
        return str(trial.state)
    complete = trial.state == TrialState.COMPLETE
    if complete and trial.best_loss_val is None:
        return "without a loss"
    heard = complete and trial.best_heard
    return "" if aim.by_loss or heard else "not heard to their end"


def _values(trial: TrialRecord, aim: Aim) -> list[float] | None:
    """Return a complete trial's values in the study, one for each objective."""
    loss = trial.best_loss_val
    if trial.state != TrialState.COMPLETE or loss is None:
        return None
    value = aim.value(loss, trial.best_heard)
    return [value, aim.price(vars(trial))] if aim.second else [value]


def _attributes(record: SweepRecord, trial: TrialRecord, aim: Aim) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        FROM: f"{record.name}/{trial.id}",
        "outcome": trial.state.value,
    }
    price = aim.price(vars(trial))
    if aim.second and math.isfinite(price):
        attributes[PRICE] = price
    return attributes


def _asked(sweep: Sweep, trial: TrialRecord) -> optuna.trial.FixedTrial | None:
    """Have the space suggest a trial's settings; ``None`` where it does not.

    All settings have to be the trial's, its seed aside, or its loss says nothing about them.
    """
    asked = PointTrial(trial.settings, trial.id)
    try:
        _, settings = suggest(sweep, asked)
        own = TrialSettings(**trial.settings)
    except (SpaceError, TypeError):
        return None
    same = dataclasses.replace(settings, seed=own.seed) == own
    return asked if same else None


def _losses(trial: TrialRecord, reports: pd.DataFrame) -> dict[int, float]:
    """Return a trial's finite losses by step."""
    if reports.empty:
        return {}
    own: Any = reports[reports["trial"] == trial.id]
    pairs = zip(own["step"], own["loss_val"], strict=True)
    return {int(step): float(loss) for step, loss in pairs if math.isfinite(loss)}


def _line(record: SweepRecord, taken: int, why_not: Counter[str]) -> str:
    total = len(record.trials)
    line = f"{taken} of {total} trials of {record.name} inform the search"
    reasons = [f"{count} {reason}" for reason, count in why_not.most_common()]
    if reasons:
        line += f"; left out: {', '.join(reasons)}"
    return line
