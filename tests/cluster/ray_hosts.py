"""A Ray cluster of hosts that can die, each in Linux namespaces of this machine.

The first host is the head: it has no CPU for lanes, and drivers run there. Each of the others has
room for one lane of one worker.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

import psutil
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]
from ray.exceptions import RayError

from tests import chaos
from tests.cluster.namespaces import Host, bridge_up, host_up, hosts_in
from tests.waiting import wait_until
from vibesweep.config import Budget

ROOT = Path(__file__).parents[2]
RAY = (sys.executable, "-m", "ray.scripts.scripts")
PORT = 6379
BUDGET = Budget(max_steps=240, grace_steps=40, reduction_factor=2)
"""Ten times as many steps as other chaos has: trials are to be in hand while a cluster reacts."""
UP_S = 120.0
"""How long a host may take to come up, on a machine with much else to do."""
LANE = "ray::RayTrainWorker"
"""How the processes of lanes are called."""
NOTICE_S = 120.0
"""How long before its end a host is said to go, at Amazon."""
KILLS_AS_IT_COMES_UP = 2
"""A lane that loses so many starts by itself is given up."""
HOUR_S = 3_600
OWN_CLOCK = """
import os
import time

right_ns = time.time_ns


def time_ns():
    with open(os.environ["OWN_CLOCK"]) as file:
        return right_ns() + int(file.read()) * 10**9


time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
"""
"""What Python runs first on a host. libfaketime, which would deceive Ray's own C++ too, breaks
`time.sleep` of Python 3.11, and waits that go by the kernel's clock would last an hour."""
BRIEFLY_S = 8.0
"""Shorter than Ray takes to call a silent host dead."""
OBJECTS_BYTES = 200_000_000
"""Of each host's object store, for which Ray would take a third of the machine's memory."""


class Fault(StrEnum):
    """What happens to a host in the middle of a trial."""

    KILLED = "a lane's host is killed, and comes up again"
    CUT_OFF = "a lane's host is cut off the network for good"
    CUT_OFF_BRIEFLY = "a lane's host is cut off the network for a few seconds"
    NOTICE = "a lane's host is said to go, and goes"
    AGAIN_AND_AGAIN = "a lane's host is killed, and so are the next two, as it comes up there"
    CLOCK = "the clock of a lane's host is set an hour ahead, then an hour behind"
    HEAD = "the head is killed with the driver, and comes up again"


GOES_ON = tuple(fault for fault in Fault if fault is not Fault.HEAD)
"""Faults after which a sweep goes on by itself."""


class RayHosts:
    """A head and hosts for lanes, by their numbers: the head is 0.

    Attributes:
        hosts: all of them, whether up or not.
        address: of the cluster.
    """

    def __init__(self, hosts: list[Host]) -> None:
        """Name the hosts; none is up."""
        self.hosts = hosts
        self.address = f"{hosts[0].address}:{PORT}"
        self._first: dict[int, subprocess.Popen[bytes]] = {}
        self._ends = [ExitStack() for _ in hosts]
        self._cut_off: set[int] = set()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of drivers and of Ray; such a cluster asks nobody for a token."""
        own = {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "disabled",
            "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
        }
        return {**os.environ, **own}

    def inside(self, number: int = 0) -> Sequence[str]:
        """Return what a command begins with that is to run on a host: the head, if no other."""
        (inner,) = psutil.Process(self._first[number].pid).children()
        own = ("--mount", "--uts", "--net", "--pid")
        return ("nsenter", f"--target={inner.pid}", *own, "--")

    def place_in(self, work: Path) -> chaos.Place:
        """Make a place whose sweeps' drivers run on the head."""
        place = chaos.make_place(work, BUDGET, **self.environment)
        return dataclasses.replace(place, inside=self.inside)

    def bring_up(self, number: int) -> None:
        """Bring up a host, which has nothing of an earlier one of that number."""
        host = self.hosts[number]
        own = [f"--node-ip-address={host.address}", f"--object-store-memory={OBJECTS_BYTES}"]
        if number == 0:
            own += ["--head", f"--port={PORT}", "--num-cpus=0"]
            last = "sleep infinity"  # --block would end it for want of a server that nobody needs
        else:
            own += [f"--address={self.address}", "--num-cpus=1", "--block"]
            last = "true"
        command = shlex.join([*RAY, "start", *own])
        line = f'{command} > "$FOLDER/ray.txt" 2>&1; exec {last}'
        up = host_up(host, line, self._with_clock(number))
        self._first[number] = self._ends[number].enter_context(up)

    def kill(self, number: int) -> None:
        """Pull a host's plug: each of its processes is killed at once."""
        self._ends[number].close()
        self._first.pop(number, None)
        self._cut_off.discard(number)

    def cut_off(self, number: int) -> None:
        """Cut a host's network off; its processes run on."""
        self.hosts[number].set_wire("down")
        self._cut_off.add(number)

    def plug_in(self, number: int) -> None:
        """End what :meth:`cut_off` began."""
        self.hosts[number].set_wire("up")
        self._cut_off.discard(number)

    def set_clock(self, number: int, ahead_s: int) -> None:
        """Set the clock that Python sees on a host so many seconds ahead of this machine's."""
        file = self.hosts[number].folder / "clock"
        draft = file.with_suffix(".draft")
        draft.write_text(str(ahead_s))
        draft.replace(file)

    def _with_clock(self, number: int) -> dict[str, str]:
        """Return the environment of a host whose clock can be set; it is right now."""
        host = self.hosts[number]
        own = host.folder / "python"
        own.mkdir(parents=True, exist_ok=True)
        (own / "sitecustomize.py").write_text(OWN_CLOCK)
        self.set_clock(number, 0)
        where = {"OWN_CLOCK": str(host.folder / "clock"), "PYTHONPATH": f"{own}:{ROOT}"}
        return {**self.environment, **where}

    def announce_end(self, number: int) -> None:
        """Have a host tell the cluster, as at a spot notice, that it is about to go."""
        program = "from vibesweep.cluster.spot_notice import drain; drain()"
        command = [*self.inside(number), sys.executable, "-c", program]
        # A worker of cluster.yaml has no RAY_ADDRESS: `ray` finds the Ray that runs on its host
        own = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        said = subprocess.run(command, env=own, capture_output=True, text=True, timeout=UP_S)
        assert said.returncode == 0, said.stdout + said.stderr

    def mend(self) -> None:
        """Bring up whatever is not up, and set all clocks right.

        Where the head is gone, which nothing outlives, all of it is brought up.
        """
        if 0 not in self._first:
            self.close()
        for number in range(len(self.hosts)):
            first = self._first.get(number)
            if first is None or first.poll() is not None or number in self._cut_off:
                self.kill(number)
                self.bring_up(number)
                if number == 0:
                    self.wait_until_up(0)
            self.set_clock(number, 0)
        self.wait_until_up(*range(len(self.hosts)))

    def strike(self, driver: subprocess.Popen[bytes], fault: Fault) -> bool:
        """Have something happen to the head, or to the host of a sweep's lane once it has one.

        Args:
            driver: the sweep's.
            fault: what happens. Other hosts than the head may still be down when this returns.

        Returns:
            Whether it has happened: the sweep may have ended before.
        """
        if fault is Fault.HEAD:
            self.kill(0)
            driver.wait(timeout=UP_S)
            self.mend()
            return True
        self.mend()
        assert wait_until(lambda: bool(self.lane_hosts()) or driver.poll() is not None, UP_S)
        for number in self.lane_hosts()[:1]:
            self._strike_lane(number, fault)
            return True
        return False

    def _strike_lane(self, number: int, fault: Fault) -> None:
        if fault is Fault.KILLED:
            self.kill(number)
            self.bring_up(number)
        elif fault is Fault.CUT_OFF:
            self.cut_off(number)
        elif fault is Fault.CUT_OFF_BRIEFLY:
            self.cut_off(number)
            time.sleep(BRIEFLY_S)
            self.plug_in(number)
        elif fault is Fault.AGAIN_AND_AGAIN:
            self._kill_where_it_comes_up(number)
        elif fault is Fault.CLOCK:
            self.set_clock(number, HOUR_S)
            time.sleep(BRIEFLY_S)
            self.set_clock(number, -HOUR_S)
        else:
            self.announce_end(number)
            wait_until(lambda: number not in self.lane_hosts(), NOTICE_S)
            self.kill(number)

    def _kill_where_it_comes_up(self, number: int) -> None:
        """Kill a lane's host, then the host of each start: one is up, for the lane to come to."""
        self.kill(number)
        for _ in range(KILLS_AS_IT_COMES_UP):
            before = number
            assert wait_until(lambda: bool(self.lane_hosts()), UP_S)
            (number,) = self.lane_hosts()
            self.kill(number)
            self.bring_up(before)
        self.bring_up(number)

    def wait_until_up(self, *numbers: int) -> None:
        """Wait until the cluster has these hosts."""
        wanted = {self.hosts[number].address for number in numbers}
        assert wait_until(lambda: wanted <= self.up(), UP_S), self._said()

    def up(self) -> set[str]:
        """Return the addresses of the hosts that the cluster takes to be up."""
        return set(self._nodes().values())

    def _nodes(self) -> dict[str, str]:
        try:
            found = GcsClient(self.address).get_all_node_info(timeout=10)
        except RayError:
            return {}
        alive = GcsNodeInfo.GcsNodeState.Value("ALIVE")
        return {
            one.node_id.hex(): one.node_manager_address
            for one in found.values()
            if one.state == alive
        }

    def lane_hosts(self) -> list[int]:
        """Return the hosts on which lanes have processes, without those that are cut off."""
        seen = sorted(self._first.keys() - self._cut_off)
        return [number for number in seen if self._has_lane(number)]

    def _has_lane(self, number: int) -> bool:
        return any(line.startswith(LANE) for line in self.hosts[number].processes())

    def _said(self) -> str:
        files = [host.folder / "ray.txt" for host in self.hosts]
        return "\n".join(file.read_text() for file in files if file.is_file())

    def close(self) -> None:
        """End every host."""
        for number in reversed(range(len(self.hosts))):
            self.kill(number)


@contextmanager
def ray_hosts_up(folder: Path, count: int) -> Iterator[RayHosts]:
    """Bring up a cluster of ``count`` hosts, the head among them, until the block ends."""
    with bridge_up():
        cluster = RayHosts(hosts_in(folder, count))
        try:
            cluster.mend()
            yield cluster
        finally:
            cluster.close()
