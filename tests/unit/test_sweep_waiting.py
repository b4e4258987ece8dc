"""What the user is told while lanes wait for hosts. No Ray is brought up."""

from __future__ import annotations

from vibesweep.config import TrialResources
from vibesweep.sweep.waiting import waiting_line
from vibesweep.training.lanes.messages import LaneCounts


def test_a_line_says_how_many_lanes_wait_and_why() -> None:
    counts = LaneCounts(up=2, waiting=2, wanted=4)
    why = "the autoscaler is bringing up 2 small"
    line = waiting_line(counts, TrialResources(gpus_per_worker=1), why)
    assert line == f"2 of 4 lanes are up; 2 wait for 1 GPU and 1 CPU each: {why}"


def test_a_lane_of_several_workers_is_told_with_what_each_needs() -> None:
    two = TrialResources(workers=2, cpus_per_worker=4, gpus_per_worker=1, accelerator_type="L4")
    line = waiting_line(LaneCounts(up=1, waiting=1, wanted=2), two, "why")
    assert line == "1 of 2 lanes is up; 1 waits for 2 workers with 1 L4 and 4 CPUs: why"
