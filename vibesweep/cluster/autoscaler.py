"""What a cluster's autoscaler may bring up, and what it is doing about lanes that wait.

The autoscaler tells nobody what it may bring up. Its command line names the file that says so, and it runs on the head, as the driver does.
In Kubernetes it runs beside the head, and its file cannot be seen: such a cluster is open-ended.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply, NodeStatus  # type: ignore[attr-defined]

from vibesweep.cluster.lane_plan import Cluster, HostType
from vibesweep.cluster.nodes import live_nodes

AUTOSCALERS = ("autoscaler/v2/monitor.py", "autoscaler/_private/monitor.py")
STATUS_S = 10.0


def cluster_now() -> Cluster:
    """The cluster of this process: its hosts, and those that may come."""
    live = [node["Resources"] for node in live_nodes()]
    command = _autoscaler()
    if command is None:
        return Cluster(live, open_ended=_status().autoscaling_state.autoscaler_state_version > 0)
    told = next(
        (part.partition("=")[2] for part in command if part.startswith("--autoscaling-config=")), ""
    )
    path = Path(told).expanduser()  # the launcher writes ~/ray_bootstrap_config.yaml
    if not told or not path.is_file():  # it only watches hosts that others start
        return Cluster(live)
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader

    config = FileConfigReader(str(path)).get_cached_autoscaling_config()
    up = _hosts_by_type()
    types = [
        HostType(name, kind.resources, _more(name, kind, config, up))
        for name, kind in config.get_node_type_configs().items()
    ]
    return Cluster(live, types, max((config.get_max_num_worker_nodes() or 0) - (len(live) - 1), 0))


def _more(name: str, kind: Any, config: Any, up: Counter[str]) -> int:
    live = (
        max(up[name], 1) if name == config.get_head_node_type() else up[name]
    )  # the head is up, whatever it calls itself
    return max(int(kind.max_worker_nodes) - live, 0)


def outlook() -> str:
    """What the autoscaler says to lanes that wait, as half a sentence."""
    state = _status().autoscaling_state
    coming = Counter(
        {launch.ray_node_type_name: launch.count for launch in state.pending_instance_requests}
    )
    coming.update(host.ray_node_type_name for host in state.pending_instances)
    said = (
        [f"is bringing up {', '.join(f'{count} {name}' for name, count in coming.items())}"]
        if coming
        else []
    )
    if state.failed_instance_requests:
        last = max(state.failed_instance_requests, key=lambda launch: launch.failed_ts)
        reason = " ".join(last.reason.split())[:200]
        said.append(
            f"could not bring up {last.ray_node_type_name}{f': {reason}' if reason else ''}"
        )
    if not said and state.infeasible_gang_resource_requests:
        said.append("has no host type with that, or none left")
    return f"the autoscaler {' and '.join(said)}" if said else "no host has that free"


def _autoscaler() -> list[str] | None:
    """The command line of this cluster's autoscaler, if it runs on this host."""
    own = f"--gcs-address={ray.get_runtime_context().gcs_address}"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        if own in command and any(part.endswith(AUTOSCALERS) for part in command):
            return command
    return None


def _hosts_by_type() -> Counter[str]:
    states = _status().cluster_resource_state.node_states
    return Counter(host.ray_node_type_name for host in states if host.status != NodeStatus.DEAD)


def _status() -> Any:
    """What Ray's control store knows of hosts and of the autoscaler; of that only where it is the second version."""
    reply = GetClusterStatusReply()
    reply.ParseFromString(
        GcsClient(ray.get_runtime_context().gcs_address).get_cluster_status(timeout_s=STATUS_S)
    )
    return reply
