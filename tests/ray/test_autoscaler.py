"""A sweep on a cluster that is empty and grows, by Ray's own autoscaler.

Its hosts are Ray nodes of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.core.generated.autoscaler_pb2 import (  # type: ignore[attr-defined]
    GetClusterStatusReply,
    NodeStatus,
)

from tests import tiny
from tests.ray.cloud import SOLD_OUT, cluster_file
from tests.waiting import wait_until
from vibesweep.sweep.record import SweepFolder, SweepState, TrialState

ROOT = Path(__file__).parents[2]
TRIALS = 5
SCRIPT = f"""
import sys
from pathlib import Path
from rich.console import Console
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.run import run_sweep

def space(trial):
    trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True)

work, base, shards = sys.argv[1:]
settings = TrialSettings(batch_clips=4)
budget = Budget(max_steps=40, grace_steps=40, reduction_factor=2)
sweep = Sweep(
    space, corpus=shards, model=base, settings=settings, budget=budget, trials={TRIALS}
)
run_sweep(sweep, "grown", work=Path(work), console=Console(width=200))
"""


def status(address: str) -> Any:
    """Return what the cluster's control store knows."""
    reply = GetClusterStatusReply()
    reply.ParseFromString(GcsClient(address).get_cluster_status(timeout_s=10))
    return reply


def hosts_up(address: str) -> list[Any]:
    """Return the live hosts, the head among them."""
    return [
        host
        for host in status(address).cluster_resource_state.node_states
        if host.status != NodeStatus.DEAD
    ]


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("", 0))
        return int(asked.getsockname()[1])


def kill_marked(mark: str) -> None:
    """Kill the cluster's processes, which are nobody's children, by their value of RAY_TMPDIR."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"RAY_TMPDIR={mark}\0".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """Bring up a head with an autoscaler; yield its address and the environment of a driver."""
    from ray._private.services import get_node_ip_address

    address = f"{get_node_ip_address()}:{free_port()}"
    # A short path, because sockets lie in it
    with tempfile.TemporaryDirectory(
        prefix="vs", dir="/tmp", ignore_cleanup_errors=True
    ) as temporary:
        file = Path(temporary) / "cluster.json"
        file.write_text(json.dumps(cluster_file(address)))
        # A cluster of this test's own asks nobody for a token
        driver = {
            **os.environ,
            "RAY_TMPDIR": temporary,
            "RAY_ADDRESS": address,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": str(ROOT),
        }
        head = {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        }
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head"),
            f"--port={address.rpartition(':')[2]}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--autoscaling-config={file}",
        ]
        try:
            subprocess.run(command, env=driver | head, check=True, capture_output=True, timeout=120)
            yield address, driver
        finally:
            kill_marked(temporary)


@pytest.mark.slow
def test_a_sweep_brings_hosts_up_and_leaves_none(
    cluster: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, environment = cluster
    assert len(hosts_up(address)) == 1
    base, shards = tiny.write_base(tmp_path / "base"), tiny.write_shards(tmp_path / "shards")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(base), str(shards)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = SweepFolder(tmp_path / "sweeps" / "grown").read()
    assert record.state == SweepState.DONE
    assert record.lanes == 3, "two hosts of one type and one of another may come"
    assert len(record.trials) == TRIALS
    assert {trial.state for trial in record.trials} == {TrialState.COMPLETE}
    alone = [
        line
        for line in ran.stdout.splitlines()
        if "of 3 lanes" in line and "; 1 waits for 1 CPU since " in line
    ]
    assert any(SOLD_OUT in line for line in alone), ran.stdout
    # Six seconds after the last lane. Where a busy machine had a lane killed, not ended, Ray
    # Train's request for its hosts holds for another 180 s.
    assert wait_until(lambda: len(hosts_up(address)) == 1, 300.0), status(address)
