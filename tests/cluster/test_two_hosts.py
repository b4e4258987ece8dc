"""A cluster of two hosts, brought up as docs/cluster.md says, and a sweep whose lane needs both."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from tests.cluster.namespaces import (
    SSH_TOOLS,
    Host,
    nothing_left,
    ssh_hosts_up,
    what_is_missing,
)
from tests.waiting import wait_until
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.record import SweepFolder, SweepState
from vibesweep.sweep.record.folder import SWEEPS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "clusters" / "on_premises.yaml"
RAY = str(Path(sys.executable).parent / "ray")
COMMAND_S = 600.0  # at the very most, on a machine with much else to do

SPACE = """
from optuna.distributions import FloatDistribution

from vibesweep import Budget, Sweep, TrialResources, TrialSettings

sweep = Sweep(
    space={"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
    settings=TrialSettings(method="lora", batch_clips=4),
    budget=Budget(max_steps=6, grace_steps=2),
    resources=TrialResources(workers=2, cpus_per_worker=2),
    trials=3,
)
"""
# Train's workers are a lane's; Ray remembers where they were after they have gone
WHERE_LANES_WERE = """
import json, ray
from ray.util.state import list_actors
ray.init(log_to_driver=False)
addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
workers = list_actors(filters=[("class_name", "=", "RayTrainWorker")], detail=True)
print("FOUND", json.dumps([addresses[worker.node_id] for worker in workers]))
"""
HOSTS_THAT_ARE_UP = """
import json, ray
ray.init(log_to_driver=False)
print("FOUND", json.dumps([node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]))
"""

missing = what_is_missing(*SSH_TOOLS)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=missing)]


class Cluster(NamedTuple):
    """A cluster file with all filled in, and what it is used with.

    Attributes:
        file: the cluster file.
        environment: of whoever uses it.
        head: its first host.
        worker: its second host.
        work: the folder that both see.
    """

    file: Path
    environment: dict[str, str]
    head: Host
    worker: Host
    work: Path

    def ray(self, verb: str, *more: str) -> str:
        """Run a ``ray`` command on the cluster's file and return what it prints."""
        command = [RAY, verb, str(self.file), *more]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def ask(self, program: str) -> Any:
        """Run a Python program on the head and return what it found."""
        script = self.work / "asked.py"
        script.write_text(program)
        found = re.findall(r"^FOUND (.*?)\s*$", self.ray("exec", f"python {script}"), re.MULTILINE)
        return json.loads(found[-1])


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts, and the example's file filled in for them. Ray is not up yet."""
    folder = tmp_path_factory.mktemp("two_hosts")
    own, work = folder / "laptop", folder / "work"
    (own / ".ray").mkdir(parents=True)
    work.mkdir()
    with ssh_hosts_up(folder, 2) as hosts:
        for host in hosts:
            (host.home / "venv").symlink_to(sys.prefix)
        file = folder / "on_premises.yaml"
        file.write_text(yaml.safe_dump(filled_in(hosts, folder / "keys" / "user", work)))
        environment = os.environ | {
            "HOME": str(own),
            "RAY_TMPDIR": str(own),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        yield Cluster(file, environment, hosts[0], hosts[1], work)
    assert nothing_left(hosts)


def filled_in(hosts: list[Host], key: Path, work: Path) -> dict[str, Any]:
    """Fill in the example as its user would.

    Hosts get this virtual environment in place of pip's packages, and two CPUs each.
    """
    text = EXAMPLE.read_text()
    assert text.count('pip install -q -e ".[mel]"') == 1
    assert text.count("ray start ") == 2
    text = re.sub(r'cd ~/vibesweep && .*pip install -q -e "\.\[mel\]"', "'true'", text).replace(
        "/shared/vibesweep", str(work)
    )
    text = text.replace("export PATH=", "export PYTHONPATH=~/vibesweep PATH=")
    file: dict[str, Any] = yaml.safe_load(
        text.replace("ray start ", "ray start --num-cpus=2 --object-store-memory=200000000 ")
    )
    file["provider"] |= {
        "head_ip": hosts[0].address,
        "worker_ips": [host.address for host in hosts[1:]],
    }
    file["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    return file


def rays(host: Host) -> list[str]:
    """Return the command lines of Ray's processes on a host."""
    return [
        line
        for line in host.processes()
        if "raylet" in line or "gcs_server" in line or "ray::" in line or "/ray/" in line
    ]


def test_a_sweep_of_lanes_over_two_hosts_from_ray_up_to_ray_down(two_hosts: Cluster) -> None:
    cluster, addresses = two_hosts, {two_hosts.head.address, two_hosts.worker.address}
    subprocess.run(
        [RAY, "get-auth-token", "--generate"],
        env=cluster.environment,
        check=True,
        capture_output=True,
    )

    cluster.ray("up", "-y")
    assert wait_until(lambda: set(cluster.ask(HOSTS_THAT_ARE_UP)) == addresses, COMMAND_S)
    for host in (cluster.head, cluster.worker):
        assert (host.home / ".ray" / "auth_token").read_bytes() == (
            Path(cluster.environment["HOME"]) / ".ray" / "auth_token"
        ).read_bytes()

    (cluster.work / "space.py").write_text(SPACE)
    on_the_head = "cd $VIBESWEEP_WORK && python -m vibesweep"
    cluster.ray(
        "exec",
        f"{on_the_head} demo-corpus talks --recordings 4"
        " && python -m vibesweep preprocess talks shards/talks",
    )
    server = "--address http://127.0.0.1:8265"
    cluster.ray(
        "exec",
        f"{on_the_head} submit space.py --name both --corpus $VIBESWEEP_WORK/shards/talks {server}",
    )
    assert f"both is done: {cluster.work}/sweeps/both" in cluster.ray(
        "exec", f"{on_the_head} attach both {server}"
    )
    # One lane of two workers, on a host each
    assert sorted(cluster.ask(WHERE_LANES_WERE)) == sorted(addresses)
    record = SweepFolder(cluster.work / SWEEPS / "both").read()
    assert (record.state, len(record.trials), record.lanes) == (SweepState.DONE, 3, 1)

    assert "done: " in cluster.ray(
        "exec", f"{on_the_head} show both && python -m vibesweep export both --out tuned"
    )
    ModelRef.parse(str(cluster.work / "tuned")).load()

    cluster.ray("down", "-y")
    assert wait_until(lambda: not rays(cluster.head), 60.0), rays(cluster.head)
