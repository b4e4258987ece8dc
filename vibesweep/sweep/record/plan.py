"""What a sweep was expected to take, and what it took: figures beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.states import ENDED
from vibesweep.sweep.record.table import format_seconds

SECONDS_AN_HOUR = 3_600
MS = 1_000


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is expected to take.

    Attributes:
        trials: how many there are.
        lanes: worker groups that train at the same time.
        unit: ``GPU`` or ``CPU``: what hours are counted of.
        devices: how many of these a lane holds.
        marks: the steps at which ASHA decides, and the last one.
        reaching: trials that come to each of them, in the mean.
        steps: optimizer steps of all trials.
        step_s: seconds of a step; ``None`` where nobody knows.
        validation_s: seconds of a validation.
        measured: whether both were measured.
        wall_s: seconds from the first trial's start to the last one's end.
        whole_trial_s: seconds of a trial that goes to the end.
        made_unix_s: when this was worked out.
        likely_steps: least and most steps of nine such sweeps in ten, as far as losses decide;
            nothing where that is not known.
        likely_wall_s: the same of ``wall_s``.
    """

    trials: int
    lanes: int
    unit: str
    devices: float
    marks: Sequence[int]
    reaching: Sequence[float]
    steps: float
    step_s: float | None
    validation_s: float
    measured: bool
    wall_s: float | None
    whole_trial_s: float | None
    made_unix_s: float
    likely_steps: Sequence[float] = ()
    likely_wall_s: Sequence[float] = ()

    @property
    def device_hours(self) -> float | None:
        """Hours of devices that the lanes hold."""
        if self.wall_s is None:
            return None
        held = self.lanes * self.devices
        return held * self.wall_s / SECONDS_AN_HOUR

    @property
    def full_hours(self) -> float | None:
        """Hours of devices that all trials take if none is stopped early."""
        if self.whole_trial_s is None:
            return None
        trained_s = self.trials * self.whole_trial_s
        return self.devices * trained_s / SECONDS_AN_HOUR

    @property
    def full_steps(self) -> int:
        """Steps of all trials if none is stopped early."""
        return self.trials * self.marks[-1]


def format_hours(hours: float) -> str:
    """Write hours in two digits, or whole from a hundred on."""
    if hours >= 100:
        return f"{hours:.0f}"
    return f"{hours:.2g}"


def likely(expected: str, ends: Sequence[str]) -> str:
    """Write what is expected, and between what it is likely to lie, where that is known."""
    if len(set(ends)) < 2:
        return expected
    return f"{expected} ({' to '.join(ends)})"


def likely_time(plan: SweepPlan, wall_s: float) -> str:
    """Write how long a sweep is expected to take, and between what that is likely to lie."""
    ends = [format_seconds(seconds) for seconds in plan.likely_wall_s]
    return likely(format_seconds(wall_s), ends)


def plan_of(record: SweepRecord) -> SweepPlan | None:
    """Return the plan that a sweep's lanes made; ``None`` where they could measure no step."""
    if not record.plan:
        return None
    return SweepPlan(**record.plan)


def comparison(record: SweepRecord) -> Table | None:
    """Set the plan of a sweep that has ended beside its outcome."""
    plan = plan_of(record)
    if plan is None or record.ended_unix_s is None or record.resumed:
        return None
    table = Table(title="plan and outcome", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("")
    table.add_column("plan", justify="right")
    table.add_column("outcome", justify="right")
    for row in _rows(plan, record):
        table.add_row(*row)
    return table


def _rows(plan: SweepPlan, record: SweepRecord) -> Iterator[tuple[str, str, str]]:
    trials = record.trials
    for step, expected in zip(plan.marks, plan.reaching, strict=True):
        reached = [trial for trial in trials if trial.step >= step]
        yield _row(
            f"trials that came to step {step}",
            f"{expected:.1f}",
            f"{len(reached)}",
        )
    taken = sum(trial.step for trial in trials)
    steps = likely(f"{plan.steps:.0f}", [f"{steps:.0f}" for steps in plan.likely_steps])
    yield _row("steps", steps, f"{taken}")
    step_s = _step_s(trials)
    if plan.step_s is not None and step_s is not None:
        yield _row("a step", f"{plan.step_s:.2g} s", f"{step_s:.2g} s")
    if plan.wall_s is not None and record.ended_unix_s is not None:
        wall_s = record.ended_unix_s - plan.made_unix_s
        expected_wall = likely_time(plan, plan.wall_s)
        wall = format_seconds(wall_s)
        yield _row("first trial to last", expected_wall, wall)


def _row(name: str, expected: str, found: str) -> tuple[str, str, str]:
    """Make a row of the table, whose columns have no padding of their own."""
    return f"{name}  ", f"{expected}  ", found


def _step_s(trials: Sequence[TrialRecord]) -> float | None:
    """Return the mean seconds of a step of usual size, which is what a lane measures beforehand."""
    steps = 0
    milliseconds = 0.0
    for trial in trials:
        if trial.step_ms and trial.state in ENDED:
            steps += trial.step
            milliseconds += trial.step * trial.step_ms
    return milliseconds / steps / MS if steps else None
