"""When a sweep ends that has a limit, and what it lets go on until then."""

from __future__ import annotations

import pytest

from vibesweep.config import Sweep, TrialResources
from vibesweep.errors import SweepError
from vibesweep.sweep.allowance import Allowance, Deadline, Limit
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState, sweep_as_json

TWO_GPUS = TrialResources(workers=2, gpus_per_worker=1)


@pytest.mark.parametrize(
    ("limits", "resources", "hours", "reason"),
    [
        (Allowance(max_hours=2), TrialResources(), 2, "--max-hours 2 is reached"),
        (Allowance(max_gpu_hours=12), TWO_GPUS, 2, "--max-gpu-hours 12 is reached"),
        (Allowance(max_cost=30, price_per_hour=2.5), TWO_GPUS, 2, "--max-cost 30 is reached"),
        (Allowance(max_cost=3, price_per_hour=0.25), TrialResources(cpus_per_worker=2), 2, "cost"),
        (Allowance(max_hours=1, max_gpu_hours=12), TWO_GPUS, 1, "--max-hours"),
    ],
)
def test_the_first_limit_counts_all_devices_of_three_lanes(
    limits: Allowance, resources: TrialResources, hours: float, reason: str
) -> None:
    first = limits.first(3, resources)
    assert first is not None
    assert first.seconds == pytest.approx(3_600 * hours)
    assert reason in first.reason


def test_a_price_alone_is_no_limit() -> None:
    assert Allowance(price_per_hour=2.0).first(1, TrialResources()) is None


def test_limits_that_cannot_be_counted() -> None:
    with pytest.raises(SweepError, match=r"--max-cost: what an hour costs.*--price-per-hour"):
        Allowance(max_cost=3.0)
    with pytest.raises(SweepError, match="--max-gpu-hours: the trials take no GPU"):
        Allowance(max_gpu_hours=3.0).first(1, TrialResources())


class Watched:
    """A sweep of two running trials, a clock that is set by hand, and what was called."""

    def __init__(self) -> None:
        trials = [TrialRecord(f"trial_{number}", number, {}, {}) for number in range(2)]
        began = sweep_as_json(Sweep({}))
        self.record = SweepRecord("mine", "base", "shards", "", began, 2, {}, trials=trials)
        self.now_s = 0.0
        self.called: list[str] = []
        self.deadline = Deadline(
            Limit(100.0, "enough"),
            hold=lambda: self.called.append("hold"),
            stop=lambda: self.called.append("stop"),
            clock=lambda: self.now_s,
        )

    def report(self, number: int, at_s: float, state: TrialState = TrialState.RUNNING) -> None:
        self.now_s = at_s
        self.record.trials[number].step += 5
        self.record.trials[number].state = state
        self.deadline.look(self.record)


def test_each_running_trial_comes_to_its_next_report_and_no_new_one_begins() -> None:
    watched = Watched()
    watched.report(0, 98.0)
    watched.report(1, 99.0)
    assert watched.called == []
    watched.report(0, 100.0)
    assert watched.called == ["hold"]
    assert watched.deadline.reason == "enough"
    watched.report(0, 101.0)
    assert watched.called == ["hold"], "trial 1 has not come to its report"
    watched.report(1, 102.0)
    watched.report(0, 103.0)
    assert watched.called == ["hold", "stop"]


def test_a_trial_that_ends_is_not_waited_for() -> None:
    watched = Watched()
    watched.report(0, 98.0)
    watched.report(0, 100.0)
    watched.report(1, 101.0, TrialState.PRUNED)
    assert watched.called == ["hold", "stop"]


def test_without_a_limit_nothing_is_stopped() -> None:
    watched = Watched()
    calls = watched.called
    watched.deadline = Deadline(
        None, lambda: calls.append("hold"), lambda: calls.append("stop"), lambda: 1e9
    )
    watched.report(0, 100.0)
    assert calls == []
