"""What the user is told while lanes wait for hosts. No Ray is brought up."""

from __future__ import annotations

import time

from vibesweep.cluster.autoscaler import MissingHosts
from vibesweep.config import TrialResources
from vibesweep.sweep.waiting import waiting_line
from vibesweep.training.lanes.messages import LaneCounts

ASKED = time.mktime((2026, 3, 1, 14, 5, 12, 0, 0, -1))
WHY = "the autoscaler is bringing up 2 small"
ONE_GPU = TrialResources(gpus_per_worker=1)


def test_a_line_says_how_many_lanes_wait_since_when_and_why() -> None:
    counts = LaneCounts(up=2, waiting=2, wanted=4, waiting_since_unix_s=ASKED)
    line = waiting_line(counts, ONE_GPU, MissingHosts(2, WHY))
    assert line == f"2 of 4 lanes are up; 2 wait for 1 GPU and 1 CPU each since 14:05:12: {WHY}"


def test_a_lane_of_several_workers_is_told_with_what_each_needs() -> None:
    two = TrialResources(workers=2, cpus_per_worker=4, gpus_per_worker=1, accelerator_type="L4")
    counts = LaneCounts(up=1, waiting=1, wanted=2, waiting_since_unix_s=ASKED)
    line = waiting_line(counts, two, MissingHosts(3, "why"))
    needs = "2 workers with 1 L4 and 4 CPUs"
    assert line == f"1 of 2 lanes is up; 1 waits for {needs} since 14:05:12: why"


def test_a_lane_whose_processes_start_slowly_is_not_said_to_wait_for_a_host() -> None:
    counts = LaneCounts(up=0, waiting=1, wanted=1, waiting_since_unix_s=ASKED)
    line = waiting_line(counts, ONE_GPU, MissingHosts(0, "no host has that free"))
    starts = "1 has its place and starts its processes; it asked at 14:05:12"
    assert line == f"0 of 1 lanes are up; {starts}"
    three = LaneCounts(up=0, waiting=3, wanted=3, waiting_since_unix_s=ASKED)
    line = waiting_line(three, ONE_GPU, MissingHosts(1, WHY))
    assert f"1 waits for 1 GPU and 1 CPU since 14:05:12: {WHY}; 2 have their place" in line
