"""At how many lanes a sweep's driver and its dispatcher are full, and what then: a simulation.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.lanes_simulated [--lanes 64 256 1024]

With more threads the search's small matrices wait for cores that other work has, and that counts.
First both are measured at a few numbers of lanes, without Ray. The driver as many_trials.py has it:
search, ASHA, log, curves, table and gauges. The dispatcher as its class: each lane waits for a
command, a trial asks for one, the lane answers. A line through each gives what a result takes at
any number of lanes, in seconds of CPU.

Then lanes are simulated that train for about the same time from report to report, as long as they
need not wait: each report goes through the dispatcher, then through the driver, which both take one
at a time, and until then its lane does nothing. What Ray takes to carry the calls is not in it, nor
the processes that Ray Tune has for trials.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.many_trials import run_sweep
from tests.benchmarks.measure import Measure, print_measures
from vibesweep.config import Report, TrialSettings
from vibesweep.training.lanes.dispatcher import LaneDispatcher
from vibesweep.training.lanes.messages import Answer, Command, Pace

SIMULATED = (64, 256, 1_024, 2_048, 4_096, 10_000)
REPORTS_OF_A_LANE = 20
FIRST_REPORTS = 5
"""Reports of each lane that are not counted: all lanes begin at once."""
VARIES = 0.2
"""Share by which the time between two reports is longer or shorter."""
BEFORE = 1_000
"""Trials that the driver's sweep has had: the search's model is as large as it gets."""
TRIALS = 200
REPORTS_OF_A_TRIAL = 3
"""Trials that the dispatcher is measured by, and their commands: about as many as ASHA leaves."""
REPORT = Report(1, 1.0, 1.0, 1.0, ())


@dataclass(frozen=True)
class Server:
    """What takes one report after the other.

    Attributes:
        once_s: seconds that each takes.
        per_lane_s: seconds more for each lane that there is.
    """

    once_s: float
    per_lane_s: float

    @classmethod
    def through(cls, lanes: Sequence[int], seconds: Sequence[float]) -> Server:
        """Lay a line through what was measured."""
        slope, once = np.polyfit(lanes, seconds, 1)
        return cls(float(once), float(slope))

    def takes_s(self, lanes: int) -> float:
        """Return the seconds that a report takes with so many lanes."""
        return self.once_s + self.per_lane_s * lanes


def driver_s(lanes: int) -> float:
    """Measure the driver's seconds of CPU for a result, with its share of suggestions."""
    with tempfile.TemporaryDirectory(prefix="lanes-") as work:
        taken = run_sweep(Path(work), BEFORE, lanes)
    return taken.cpu_s / len(taken.results)


def dispatcher_s(lanes: int) -> float:
    """Measure the dispatcher's seconds of CPU for a command and its answer."""
    return asyncio.run(_dispatched_s(lanes))


async def _dispatched_s(lanes: int) -> float:
    dispatcher = LaneDispatcher(trials=lanes + TRIALS)  # or it would close lanes for want of trials

    async def serve(lane: str) -> None:
        generation = await dispatcher.open_generation(lane, 1)
        assert generation is not None
        await dispatcher.report_ready(lane, generation, 0, 1.0, Pace(None, 1.0), 1)
        number = 0
        while await dispatcher.next_command(lane, generation, number) is not None:
            await dispatcher.record_answer(lane, generation, number, Answer(report=REPORT))
            number += 1

    serving = [asyncio.create_task(serve(f"lane-{number}")) for number in range(lanes)]
    assert await dispatcher.wait_until_ready(lanes)
    began = time.process_time()
    for number in range(TRIALS):
        command = Command(f"trial_{number}", TrialSettings(), (1,))
        for _ in range(REPORTS_OF_A_TRIAL):
            await dispatcher.advance(command)
        await dispatcher.release(command.trial_id, ended=True)
    seconds = time.process_time() - began
    await dispatcher.close()
    await asyncio.gather(*serving)
    return seconds / (TRIALS * REPORTS_OF_A_TRIAL)


@dataclass(frozen=True)
class Outcome:
    """What was simulated.

    Attributes:
        waiting: share of the lanes' time in which they wait.
        results_per_s: results a second.
    """

    waiting: float
    results_per_s: float


def simulate(lanes: int, report_s: float, servers: Sequence[Server]) -> Outcome:
    """Simulate lanes whose reports go through all servers in turn, each at its own time."""
    choice = random.Random(0)
    takes_s = [server.takes_s(lanes) for server in servers]
    free_s = [0.0] * len(servers)
    reports = [0] * lanes
    trained_s = passed_s = 0.0
    ends: list[tuple[float, int]] = []
    for lane in range(lanes):
        heapq.heappush(ends, (choice.uniform(0.0, report_s), lane))
    while ends:
        reported_s, lane = heapq.heappop(ends)
        now_s = reported_s
        for number, server_s in enumerate(takes_s):
            now_s = max(now_s, free_s[number]) + server_s
            free_s[number] = now_s
        reports[lane] += 1
        if reports[lane] == REPORTS_OF_A_LANE:
            continue
        next_s = report_s * choice.uniform(1 - VARIES, 1 + VARIES)
        if reports[lane] >= FIRST_REPORTS:
            trained_s += next_s
            passed_s += now_s - reported_s + next_s
        heapq.heappush(ends, (now_s + next_s, lane))
    counted = REPORTS_OF_A_LANE - FIRST_REPORTS
    return Outcome(1 - trained_s / passed_s, lanes * lanes * counted / passed_s)


def main() -> None:
    """Measure, simulate, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 256, 1_024])
    parser.add_argument("--report-s", type=float, default=60.0, help="from report to report")
    given = parser.parse_args()
    found = []
    servers = []
    for name, measured in (("dispatcher", dispatcher_s), ("driver", driver_s)):
        seconds = [measured(lanes) for lanes in given.lanes]
        for lanes, each_s in zip(given.lanes, seconds, strict=True):
            found.append(Measure(f"{lanes:,} lanes: {name}, ms for a result", 1e3 * each_s))
        server = Server.through(given.lanes, seconds)
        servers.append(server)
        found.append(Measure(f"{name}: microseconds more for each lane", 1e6 * server.per_lane_s))
    for lanes in SIMULATED:
        outcome = simulate(lanes, given.report_s, servers)
        of = f"simulated, {lanes:,} lanes"
        found.append(Measure(f"{of}: results a second", outcome.results_per_s))
        found.append(Measure(f"{of}: share of their time that lanes wait", outcome.waiting))
    print_measures(f"Lanes that report every {given.report_s:g} s", found)


if __name__ == "__main__":
    main()
