"""What a trial reports while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step, as the logs show it."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float


@dataclass(frozen=True)
class Report:
    """What a trial reports each time it has been validated, or has ended early.

    Attributes:
        step: optimizer steps taken so far.
        loss_val: validation loss in canonical weights; ``inf`` if the trial diverged.
        loss_train: mean training loss since the last report.
        steps_per_s: optimizer steps per second since the last report, without validation.
        curve: the steps since the last report.
        diverged: why the trial is given up as diverged, or ``None``.
        early_stopped: whether the trial has run out of patience.
        trained_parameters: number of parameters that the trial trains and its checkpoint holds.
        step_ms: milliseconds of a step of usual size, by all steps since the trial came to its
            lane.
        peak_memory_mb: the most memory in MB that its lane's first process held in training; 0
            where that is not known.
        tokens: of the rows of that process since the last report.
        row_tokens: the same with what these rows were filled up with.
        best_loss_val: the validation loss of the best report so far, whose weights the checkpoint
            holds; ``inf`` before there is one. The best has the smallest loss, unless the sweep
            ranks trials by what is heard. The lane's trial runner decides it, and fills it in, as
            what follows.
        best_step: step of ``best_loss_val``; 0 before there is one.
        best_heard: what was heard of those weights.
        first_step_ago_s: seconds since the first optimizer step that the trial took on its lane;
            ``None`` where it took none. The hosts of lanes and of the driver have other clocks.
        heard: what was measured in the trial's speech, by name; nothing where it was not heard.
        heard_s: seconds that this took.
        lane: name of the lane that trained these steps.
        device: what its first worker computes on: ``cpu`` or the GPU's name.
    """

    step: int
    loss_val: float
    loss_train: float
    steps_per_s: float
    curve: tuple[StepRecord, ...]
    diverged: str | None = None
    early_stopped: bool = False
    trained_parameters: int = 0
    step_ms: float = 0.0
    peak_memory_mb: float = 0.0
    tokens: int = 0
    row_tokens: int = 0
    best_loss_val: float = math.inf
    best_step: int = 0
    best_heard: dict[str, float] = field(default_factory=dict)
    first_step_ago_s: float | None = None
    heard: dict[str, float] = field(default_factory=dict)
    heard_s: float = 0.0
    lane: str = ""
    device: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Make a report of what :func:`dataclasses.asdict` has made of one."""
        fields = dict(values)
        steps = fields.pop("curve")
        curve = tuple(StepRecord(**step) for step in steps)
        return cls(curve=curve, **fields)
