"""The record of a sweep and its trials, as it is written to ``sweep.json``. It imports no ray."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from vibesweep.config import Sweep
from vibesweep.errors import SweepError
from vibesweep.quality.aim import Aim
from vibesweep.storage.names import is_plain_name
from vibesweep.sweep.record.states import FINISHED, SweepState, TrialState

SCHEMA_VERSION = 1

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, NoneType),
    "float": (int, float),
    "float | None": (int, float, NoneType),
    "dict[str, Any]": (dict,),
    "list[dict[str, Any]]": (list,),
    "dict[str, str]": (dict,),
    "dict[str, float]": (dict,),
}
"""What a field of a record may hold, by its annotation; states and trials are made apart."""


@dataclass
class TrialRecord:
    """One trial as it stands.

    Attributes:
        id: the trial's name in the sweep, and that of the folders of its checkpoint and curves.
        number: the trial's number in Optuna, from 0.
        swept: what the space suggested, by name.
        settings: all of :class:`vibesweep.config.TrialSettings`.
        state: where it stands.
        step: optimizer steps taken.
        rung: how many of ASHA's rungs it has passed.
        loss_val: validation loss of the last report; ``None`` if that was not finite.
        loss_train: mean training loss over the steps of the last report; ``None`` if not finite.
        best_loss_val: validation loss of the best report so far, whose weights the checkpoint
            holds: the smallest, unless the sweep ranks trials by what is heard.
        best_step: step of ``best_loss_val``.
        best_heard: what was measured in the speech of those weights, by name.
        steps_per_s: optimizer steps per second over the last report.
        trained_parameters: number of parameters that it trains; 0 before its first report.
        step_ms: milliseconds of a step of usual size, 0 before its first report.
        peak_memory_mb: the most memory in MB that its lane held while it trained; 0 where that is
            not known.
        tokens: of the rows that were computed for it.
        row_tokens: the same with what these rows were filled up with.
        reason: why it diverged or failed.
        lane: name of the lane that trained it last; empty before its first report.
        device: what that lane computes on: ``cpu`` or the GPU's name.
        first_step_unix_s: Unix time at which its first step was done; 0 before that is known.
        started_unix_s: Unix time at which it was given to a lane.
        ended_unix_s: Unix time at which it ended.
        cloned_from: number of the trial that it goes on from, where it is a clone.
        cloned_at_step: the step at which it does.
        origin: name of the folder of what it began with; empty for one that is no clone.
    """

    id: str
    number: int
    swept: dict[str, Any]
    settings: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    step: int = 0
    rung: int = 0
    loss_val: float | None = None
    loss_train: float | None = None
    best_loss_val: float | None = None
    best_step: int = 0
    best_heard: dict[str, float] = field(default_factory=dict)
    steps_per_s: float = 0.0
    trained_parameters: int = 0
    step_ms: float = 0.0
    peak_memory_mb: float = 0.0
    tokens: int = 0
    row_tokens: int = 0
    reason: str = ""
    lane: str = ""
    device: str = ""
    first_step_unix_s: float = 0.0
    started_unix_s: float = 0.0
    ended_unix_s: float | None = None
    cloned_from: int | None = None
    cloned_at_step: int = 0
    origin: str = ""


@dataclass
class SweepRecord:
    """A whole sweep as it stands.

    Attributes:
        name: name of the sweep and its folder.
        model: the base: the name of one that comes with vibesweep, or an absolute folder.
        shards: address of the folder of shards.
        shards_signature: signature of their manifest.
        sweep: the :class:`vibesweep.config.Sweep` without its space, which lies beside as a file.
        lanes: how many lanes train at the same time.
        versions: versions of the packages that the result depends on, of Python and, where
            vibesweep runs from a git checkout, its commit.
        hosts: the hosts that were up when it started, or was resumed: name, CPUs, GPUs, memory.
        base_loss_val: validation loss of the untouched base.
        plan: what it is expected to take (:class:`vibesweep.sweep.record.plan.SweepPlan`); empty
            before a lane has measured its pace.
        state: where it stands.
        trials: the trials so far, in the order in which they started.
        started_unix_s: Unix time at which the sweep started.
        ended_unix_s: Unix time at which it ended.
        repeats: the best trials' runs with other seeds: ``number``, ``seed`` and ``best_loss_val``.
        clones: the clones that were asked for while it ran, begun ones included: the values of
            :class:`vibesweep.sweep.record.events.CloneAsked`.
        reached: which end of its allowance was reached, in words; empty where none was.
        resumed: whether another process went on with it, so that for a time it did not run.
        chosen: number of the trial that was chosen by ear over those of smaller losses.
        schema_version: version of this record's layout.
    """

    name: str
    model: str
    shards: str
    shards_signature: str
    sweep: dict[str, Any]
    lanes: int
    versions: dict[str, str]
    hosts: list[dict[str, Any]] = field(default_factory=list)
    base_loss_val: float | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    state: SweepState = SweepState.RUNNING
    trials: list[TrialRecord] = field(default_factory=list)
    started_unix_s: float = 0.0
    ended_unix_s: float | None = None
    repeats: list[dict[str, Any]] = field(default_factory=list)
    clones: list[dict[str, Any]] = field(default_factory=list)
    reached: str = ""
    resumed: bool = False
    chosen: int | None = None
    schema_version: int = SCHEMA_VERSION

    @functools.cached_property
    def aim(self) -> Aim:
        """What its trials are ranked by."""
        return Aim.recorded(self.sweep)

    def score(self, trial: TrialRecord) -> float:
        """Return what a trial is ranked by; smaller is better, ``inf`` before there is any."""
        loss = trial.best_loss_val
        return math.inf if loss is None else self.aim.score(loss, trial.best_heard)

    @property
    def best(self) -> TrialRecord | None:
        """The trial of the best score, however it ended; running ones included.

        Unless the sweep ranks trials by what is heard, that is the smallest validation loss. One
        that was chosen by ear at the end comes before it.

        A trial's best loss is reported once its checkpoint is written, so what happened to the
        trial later does not touch it.
        """
        best = None
        smallest = math.inf
        for trial in self.trials:
            score = self.score(trial)
            if trial.number == self.chosen:
                return trial
            if score < smallest:
                best = trial
                smallest = score
        return best

    @property
    def base_wins(self) -> bool:
        """Whether trials are ranked by their loss, and none has a smaller one than the base."""
        best = self.best
        if not self.aim.by_loss:
            return False
        if best is None or best.best_loss_val is None or self.base_loss_val is None:
            return False
        return self.base_loss_val <= best.best_loss_val

    def trial_named(self, named: str) -> TrialRecord:
        """Return the trial of this number or id.

        Raises:
            SweepError: there is none.
        """
        for trial in self.trials:
            if named in (str(trial.number), trial.id):
                return trial
        numbers = ", ".join(str(trial.number) for trial in self.trials) or "none"
        fix = f"the trials so far: {numbers}"
        raise SweepError(f"there is no trial {named}", where=self.name, fix=fix)

    @property
    def trials_wanted(self) -> int:
        """How many trials there will be: the search's own, and clones."""
        wanted: int = self.sweep["trials"]
        return wanted + len(self.clones)

    @property
    def own_trials(self) -> list[TrialRecord]:
        """The trials that the search has suggested: all but clones."""
        return [trial for trial in self.trials if trial.cloned_from is None]

    @property
    def clones_to_come(self) -> list[dict[str, Any]]:
        """The clones that no lane has had yet."""
        begun = {trial.origin for trial in self.trials}
        return [clone for clone in self.clones if clone["origin"] not in begun]

    @property
    def trials_left(self) -> int:
        """How many trials have not started, or are to go on."""
        return self.trials_wanted - sum(trial.state in FINISHED for trial in self.trials)


def record_from_json(found: dict[str, Any]) -> SweepRecord:
    """Make a record of what ``sweep.json`` holds.

    Raises:
        KeyError, TypeError, ValueError: it is not a record of this version.
    """
    fields = dict(found)
    state = SweepState(fields.pop("state"))
    trials = [_trial_from_json(trial) for trial in fields.pop("trials")]
    record = SweepRecord(state=state, trials=trials, **fields)
    check_types(record)
    if not isinstance(record.sweep["trials"], int):
        raise TypeError("the number of trials is no number")
    return record


def _trial_from_json(found: dict[str, Any]) -> TrialRecord:
    fields = dict(found)
    state = TrialState(fields.pop("state"))
    trial = TrialRecord(state=state, **fields)
    check_types(trial)
    return trial


def check_types(record: SweepRecord | TrialRecord) -> None:
    """Refuse a value of another type than its field's: whoever shows the record counts on it.

    Raises:
        TypeError: there is one.
        ValueError: a trial's id leads out of the sweep's folder.
    """
    kind: Any = type(record)
    for name, words, kinds in _typed_fields(kind):
        value = getattr(record, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}, not {words}")
    if isinstance(record, TrialRecord) and not is_plain_name(record.id):
        raise ValueError(f"a trial's id, the name of its folders, is {record.id!r}")
    if isinstance(record, TrialRecord) and record.origin and not is_plain_name(record.origin):
        raise ValueError(f"the name of a clone's folder is {record.origin!r}")


@functools.cache
def _typed_fields(kind: Any) -> list[tuple[str, str, tuple[type, ...]]]:
    """Return the name, the type in words and the classes of each field that is checked."""
    found = []
    for attribute in dataclasses.fields(kind):
        words = str(attribute.type)
        if words in JSON_TYPES:
            found.append((attribute.name, words, JSON_TYPES[words]))
    return found


def sweep_as_json(sweep: Sweep) -> dict[str, Any]:
    """Return everything of a sweep except its space, which is code."""
    return {
        "corpus": sweep.corpus,
        "model": sweep.model,
        "settings": dataclasses.asdict(sweep.settings),
        "budget": dataclasses.asdict(sweep.budget),
        "trials": sweep.trials,
        "try_first": [dict(point) for point in sweep.try_first],
        "guesses": {name: dataclasses.asdict(guess) for name, guess in sweep.guesses.items()},
        "fixed": dict(sweep.fixed),
        "repeat_best": sweep.repeat_best,
        "resources": dataclasses.asdict(sweep.resources),
        "lanes": sweep.lanes,
        "trials_per_lane": sweep.trials_per_lane,
        "seed": sweep.seed,
        "objective": _objective_as_json(sweep.objective),
        "limits": dict(sweep.limits),
        "max_failed_fraction": sweep.max_failed_fraction,
        "step_timeout_s": sweep.step_timeout_s,
        "keep_checkpoints": sweep.keep_checkpoints,
        "starts_from": sweep.starts_from,
    }


def _objective_as_json(objective: str | Sequence[str]) -> str | list[str]:
    return objective if isinstance(objective, str) else list(objective)
