"""What a trial makes of its dispatcher's answers. Ray is not brought up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from vibesweep.config import Budget, TrialSettings
from vibesweep.errors import TrialError
from vibesweep.sweep.trial import LANES_LOST_AT_MOST, LaneTrial
from vibesweep.training.lanes.messages import Answer

LOST = Answer(error=TrialError("its process died"), lost=True)
LEFT = dataclasses.replace(LOST, leaving=True)
CROWDED = dataclasses.replace(LOST, crowded=True)
WITH_ITS_HOST = dataclasses.replace(LOST, host_died=True)
REFUSED = Answer(error=TrialError("it ran out of memory"))
"""It is no lost lane, and ends the trial."""


def trial_that_gets(answers: Iterator[Answer], monkeypatch: pytest.MonkeyPatch) -> LaneTrial:
    """Make a trial whose dispatcher answers at once."""
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    advance = SimpleNamespace(remote=lambda command: next(answers))
    dispatcher = SimpleNamespace(
        advance=SimpleNamespace(options=lambda name: advance),
        release=SimpleNamespace(remote=lambda trial_id: None),
    )
    trial: Any = object.__new__(LaneTrial)
    settings = dataclasses.asdict(TrialSettings())
    config = {"id": "a", "number": 0, "settings": settings, "clone": {}, "reported_step": 0}
    trial.setup(config, dispatcher, Budget(max_steps=4, grace_steps=2), "sweep")
    return trial  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([LOST] * LANES_LOST_AT_MOST + [REFUSED], "ran out of memory"),
        ([LOST] * (LANES_LOST_AT_MOST + 1) + [REFUSED], "process died"),
        ([LEFT] * (LANES_LOST_AT_MOST + 1) + [REFUSED], "ran out of memory"),
        ([CROWDED] * (LANES_LOST_AT_MOST + 1) + [REFUSED], "ran out of memory"),
        ([WITH_ITS_HOST] * (LANES_LOST_AT_MOST + 1) + [REFUSED], "ran out of memory"),
    ],
)
def test_lanes_that_a_trial_loses_are_its_fault_and_hosts_that_it_leaves_are_not(
    monkeypatch: pytest.MonkeyPatch, answers: list[Answer], reason: str
) -> None:
    trial = trial_that_gets(iter(answers), monkeypatch)
    assert reason in trial.step()["reason"]
