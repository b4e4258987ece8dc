"""What trials, lanes and the dispatcher say to each other."""

from __future__ import annotations

from dataclasses import dataclass

from vibesweep.config import Report, TrialSettings
from vibesweep.errors import VibesweepError


@dataclass(frozen=True)
class Command:
    """Train this trial to its next report, or save its state.

    Attributes:
        trial_id: the trial's id in the sweep.
        settings: what the trial trains with.
        report_steps: optimizer steps at which the trial is validated, up to the one at which the
            lane answers. The trial has reached the others before, but the state that it resumes
            from may be older. None where its state is to be saved, and nothing trained.
        origin: name of what a clone begins with, in the lane's folder of such; empty for others.
    """

    trial_id: str
    settings: TrialSettings
    report_steps: tuple[int, ...]
    origin: str = ""


@dataclass(frozen=True)
class Answer:
    """The result of a command: a report, or the reason why the trial failed; neither for a save.

    Attributes:
        report: what the trial reached, where it did not fail.
        error: why it failed.
        traceback: of the exception behind the error, where there was one.
        lost: whether a process died under the trial, which may do better on another lane.
        by_settings: whether the trial's settings are why it failed: the model refuses them, or they
            need more memory than there is.
        sweep_over: whether the trial only ends because the sweep does.
        stalled: whether the worker was ended because it made no progress.
        leaving: whether the trial left a host that is about to go, with its state saved.
        host_died: whether a whole host is gone, with all its processes.
        crowded: whether the memory would have done for fewer trials at the same time.
    """

    report: Report | None = None
    error: VibesweepError | None = None
    traceback: str = ""
    lost: bool = False
    by_settings: bool = False
    sweep_over: bool = False
    stalled: bool = False
    leaving: bool = False
    host_died: bool = False
    crowded: bool = False


@dataclass(frozen=True)
class RankError:
    """An exception in one worker, which ends its worker group.

    Attributes:
        trial_id: the trial that the worker was training; ``None`` while it came up.
        answer: why the trial fails, if this is why; ``lost`` if the worker only missed others.
    """

    trial_id: str | None
    answer: Answer


@dataclass(frozen=True)
class Pace:
    """How fast a lane is.

    Attributes:
        step_s: seconds of an optimizer step; ``None`` where none was measured.
        validation_s: seconds of a validation.
    """

    step_s: float | None
    validation_s: float


@dataclass(frozen=True)
class LaneCounts:
    """How the lanes of a sweep are doing.

    Attributes:
        up: lanes that can take a trial or have one.
        waiting: lanes that wait for hosts with room for them, or whose processes start there.
        wanted: lanes that the sweep still wants in all.
        given_up: why other lanes were given up, one reason a lane.
        slow: what each lane is doing that has its processes and is not up for long.
        waiting_since_unix_s: when the one that has waited longest began to wait.
        crowded: which lanes had too little memory for their trials, and how many they train now.
    """

    up: int
    waiting: int
    wanted: int
    given_up: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()
    waiting_since_unix_s: float | None = None
    crowded: tuple[str, ...] = ()
