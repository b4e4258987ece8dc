"""What happens in a sweep, one JSON line for each event, and how such lines are written and read.

Every line stands for itself: it has the version of this layout, the name of its event and all of
the event's values. JSON has no infinity and no NaN, so losses that are not finite are written as
the words ``inf`` and ``nan``.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vibesweep.storage.json_text import parse_json
from vibesweep.storage.names import is_plain_name
from vibesweep.sweep.record.states import SweepState, TrialState

EVENT_VERSION = 1


@dataclass(frozen=True)
class SweepStarted:
    """The sweep has started; ``record`` is its :class:`SweepRecord` as JSON, without any trial."""

    record: dict[str, Any]


@dataclass(frozen=True)
class SweepResumed:
    """Another process goes on with the sweep: to so many trials, on so many lanes.

    Where there is a budget it may be longer: complete trials go on to its end.
    """

    trials: int
    lanes: int
    versions: dict[str, str]
    hosts: list[dict[str, Any]] = field(default_factory=list)
    budget: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepPaused:
    """The sweep is paused, by the user or by a disk that is nearly full, or goes on."""

    paused: bool


@dataclass(frozen=True)
class BaseValidated:
    """A lane is up, and has validated the untouched base."""

    base_loss_val: float


@dataclass(frozen=True)
class SweepPlanned:
    """A lane has measured its pace, and ``plan`` is what the sweep is expected to take.

    The fields are those of :class:`vibesweep.sweep.record.plan.SweepPlan`.
    """

    plan: dict[str, Any]


@dataclass(frozen=True)
class CloneAsked:
    """The user wants a trial to go on as a further one, with other settings; a lane will have it.

    Attributes:
        origin: name of the folder of what it begins with, a copy of what its trial had.
        parent: number of the trial that is cloned.
        step: steps behind it there.
        swept: its values of what the space suggests.
        settings: all of its settings.
    """

    origin: str
    parent: int
    step: int
    swept: dict[str, Any]
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        """Refuse a name that leads out of the sweep's folder.

        Raises:
            ValueError: it does.
        """
        if not is_plain_name(self.origin):
            raise ValueError(f"the name of a clone's folder is {self.origin!r}")


@dataclass(frozen=True)
class TrialStarted:
    """A trial has been given to a lane. The fields are those of :class:`TrialRecord`."""

    trial: str
    number: int
    swept: dict[str, Any]
    settings: dict[str, Any]
    started_unix_s: float
    cloned_from: int | None = None
    cloned_at_step: int = 0
    origin: str = ""


@dataclass(frozen=True)
class TrialResumed:
    """A trial that was cut short has been given to a lane again."""

    trial: str


@dataclass(frozen=True)
class TrialReported:
    """A trial has been validated, or has ended early.

    Attributes:
        trial: the trial's id.
        number: the trial's number.
        state: ``running``, or how the trial ends with this report.
        reason: why it diverged.
        step: optimizer steps taken.
        rung: how many of ASHA's rungs it has passed.
        loss_val: validation loss; ``inf`` if it diverged.
        loss_train: mean training loss since the last report; NaN without a step.
        best_loss_val: validation loss of the best report so far; ``inf`` before there is one.
        best_step: step of ``best_loss_val``.
        learning_rate_now: learning rate of the last step.
        grad_norm: gradient norm of the last step.
        steps_per_s: optimizer steps per second since the last report.
        trained_parameters: number of parameters that the trial trains.
        reported_unix_s: Unix time of the report.
        lane: name of the lane that trained the steps of this report.
        device: ``cpu`` or the name of the lane's GPU.
        first_step_unix_s: Unix time at which the trial's first step was done on that lane.
        step_ms: milliseconds of a step of usual size.
        peak_memory_mb: the most memory in MB that the lane held in training; 0 if not known.
        tokens: of the rows since the last report.
        row_tokens: the same with what these rows were filled up with.
        heard: what was measured in its speech, by name; nothing where it was not heard.
        best_heard: the same of ``best_step``.
        heard_s: seconds that this took.
    """

    trial: str
    number: int
    state: TrialState
    reason: str
    step: int
    rung: int
    loss_val: float
    loss_train: float
    best_loss_val: float
    best_step: int
    learning_rate_now: float | None
    grad_norm: float | None
    steps_per_s: float
    trained_parameters: int
    reported_unix_s: float
    lane: str = ""
    device: str = ""
    first_step_unix_s: float = 0.0
    step_ms: float = 0.0
    peak_memory_mb: float = 0.0
    tokens: int = 0
    row_tokens: int = 0
    heard: dict[str, float] = field(default_factory=dict)
    best_heard: dict[str, float] = field(default_factory=dict)
    heard_s: float = 0.0


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended, in this state and for this reason."""

    trial: str
    state: TrialState
    reason: str
    ended_unix_s: float


@dataclass(frozen=True)
class BestRepeated:
    """One of the best trials was run again with another seed, to this best validation loss."""

    number: int
    seed: int
    best_loss_val: float


@dataclass(frozen=True)
class SweepEnded:
    """The sweep has ended, in this state; ``reached`` which end of its allowance."""

    state: SweepState
    ended_unix_s: float
    reached: str = ""


TrialEvent = TrialStarted | TrialResumed | TrialReported | TrialEnded
Event = (
    SweepStarted
    | SweepResumed
    | SweepPaused
    | BaseValidated
    | SweepPlanned
    | BestRepeated
    | CloneAsked
    | SweepEnded
    | TrialEvent
)

KINDS: dict[str, type[Event]] = {
    "sweep_started": SweepStarted,
    "sweep_resumed": SweepResumed,
    "sweep_paused": SweepPaused,
    "base_validated": BaseValidated,
    "sweep_planned": SweepPlanned,
    "clone_asked": CloneAsked,
    "trial_started": TrialStarted,
    "trial_resumed": TrialResumed,
    "trial_reported": TrialReported,
    "trial_ended": TrialEnded,
    "best_repeated": BestRepeated,
    "sweep_ended": SweepEnded,
}
NAMES = {kind: name for name, kind in KINDS.items()}
NEED_NOT_BE_FINITE = frozenset(
    (
        "base_loss_val",
        "loss_val",
        "loss_train",
        "best_loss_val",
        "learning_rate_now",
        "grad_norm",
        "steps_per_s",
    )
)
"""Numbers that may be infinite or NaN, by their fields' names."""


def line_of(event: Event) -> bytes:
    """Write an event as one line.

    Raises:
        ValueError: a number that must be finite is not.
    """
    name = NAMES[type(event)]
    line: dict[str, Any] = {"version": EVENT_VERSION, "event": name}
    for part in dataclasses.fields(event):
        value = getattr(event, part.name)
        if part.name in NEED_NOT_BE_FINITE:
            value = _finite_or_word(value)
        line[part.name] = value
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def events_in(content: bytes) -> Iterator[Event]:
    """Read the events of a log; a last line without its end is one that is still being written.

    Raises:
        KeyError, TypeError, ValueError: a line is not an event of this version.
    """
    *lines, _unfinished = content.split(b"\n")
    for line in lines:
        yield _event_of(line)


def _event_of(line: bytes) -> Event:
    values = parse_json(line)
    version = values.pop("version")
    if version != EVENT_VERSION:
        raise ValueError(f"an event has version {version}, not {EVENT_VERSION}")
    kind = KINDS[values.pop("event")]
    for name in NEED_NOT_BE_FINITE & values.keys():
        number = values[name]
        if number is not None:
            values[name] = float(number)
    if "state" in values:
        states = SweepState if kind is SweepEnded else TrialState
        values["state"] = states(values["state"])
    return kind(**values)


def _finite_or_word(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return str(value)
