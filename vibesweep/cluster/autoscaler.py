"""What a cluster's autoscaler may bring up, and what it is doing about lanes that wait.

The autoscaler reports to nobody what it may bring up. Its command line names the file that says so,
and it runs on the head, as the driver does. In Kubernetes it runs beside the head and its file
cannot be seen: such a cluster is open-ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from vibesweep.cluster.lane_capacity import Cluster, HostType
from vibesweep.cluster.nodes import live_nodes
from vibesweep.cluster.ray_internals import (
    AUTOSCALER_SCRIPTS,
    GcsClient,
    GetClusterStatusReply,
    NodeStatus,
)

STATUS_S = 10.0
CONFIG_OPTION = "--autoscaling-config="
REASON_CHARACTERS = 200
"""Characters that a line quotes of why a host could not be brought up."""


def current_cluster() -> Cluster:
    """Return the cluster of this process: its hosts, and those that may come."""
    live = [node["Resources"] for node in live_nodes()]
    command = _autoscaler_command()
    if command is None:
        state = _status().autoscaling_state
        autoscaler_elsewhere = state.autoscaler_state_version > 0
        return Cluster(live, open_ended=autoscaler_elsewhere)
    path = _config_path(command)
    if path is None:  # it only watches hosts that others start
        return Cluster(live)
    return _growing_cluster(live, path)


@dataclass(frozen=True)
class MissingHosts:
    """What the cluster has no room for.

    Attributes:
        groups: groups of processes that wait for it.
        why: what the autoscaler does about it, or that there is none, as half a sentence.
    """

    groups: int
    why: str


def missing_hosts() -> MissingHosts:
    """Ask what waits for hosts, and what the autoscaler does about it."""
    status = _status()
    groups = status.cluster_resource_state.pending_gang_resource_requests
    why = _why_hosts_are_missing(status.autoscaling_state)
    return MissingHosts(len(groups), why)


def _why_hosts_are_missing(state: Any) -> str:
    clauses = []
    coming = _coming_hosts(state)
    if coming:
        hosts = [f"{count} {name}" for name, count in coming.items()]
        clauses.append(f"is bringing up {', '.join(hosts)}")
    if state.failed_instance_requests:
        clauses.append(_last_failed_launch(state))
    if not clauses and state.infeasible_gang_resource_requests:
        clauses.append("has no host type with that, or none left")
    if not clauses:
        return "no host has that free"
    return f"the autoscaler {' and '.join(clauses)}"


def _growing_cluster(live: list[dict[str, float]], config_path: Path) -> Cluster:
    """Return the cluster with the hosts that the autoscaler's file lets come."""
    from vibesweep.cluster.ray_internals import FileConfigReader

    config = FileConfigReader(str(config_path)).get_cached_autoscaling_config()
    up = _hosts_by_type()
    head_type = config.get_head_node_type()
    up[head_type] = max(up[head_type], 1)  # the head is up, whatever it calls itself
    types = []
    for name, node_type in config.get_node_type_configs().items():
        allowed = int(node_type.max_worker_nodes)
        more = max(allowed - up[name], 0)
        types.append(HostType(name, node_type.resources, more))
    workers_up = len(live) - 1
    workers_allowed = config.get_max_num_worker_nodes() or 0
    return Cluster(live, types, max(workers_allowed - workers_up, 0))


def _coming_hosts(state: Any) -> Counter[str]:
    """Count the hosts that are asked for or that start, by their type."""
    coming: Counter[str] = Counter()
    for launch in state.pending_instance_requests:
        coming[launch.ray_node_type_name] += launch.count
    for host in state.pending_instances:
        coming[host.ray_node_type_name] += 1
    return coming


def _last_failed_launch(state: Any) -> str:
    last = max(state.failed_instance_requests, key=lambda launch: launch.failed_ts)
    found = f"could not bring up {last.ray_node_type_name}"
    reason = " ".join(last.reason.split())[:REASON_CHARACTERS]
    return f"{found}: {reason}" if reason else found


def _autoscaler_command() -> list[str] | None:
    """Return the command line of this cluster's autoscaler, if it runs on this host."""
    address = ray.get_runtime_context().gcs_address
    own_option = f"--gcs-address={address}"
    for process in psutil.process_iter(["cmdline"]):
        command: list[str] = process.info["cmdline"] or []  # none where it has ended
        is_autoscaler = any(part.endswith(AUTOSCALER_SCRIPTS) for part in command)
        if is_autoscaler and own_option in command:
            return command
    return None


def _config_path(command: list[str]) -> Path | None:
    """Return the file that a command line of the autoscaler names, if there is one."""
    for part in command:
        if part.startswith(CONFIG_OPTION):
            # The launcher writes ~/ray_bootstrap_config.yaml
            told = part.removeprefix(CONFIG_OPTION)
            path = Path(told).expanduser()
            return path if path.is_file() else None
    return None


def _hosts_by_type() -> Counter[str]:
    nodes = _status().cluster_resource_state.node_states
    return Counter(node.ray_node_type_name for node in nodes if node.status != NodeStatus.DEAD)


def _status() -> Any:
    """Return what Ray's control store knows of the hosts, and of a version 2 autoscaler."""
    address = ray.get_runtime_context().gcs_address
    client = GcsClient(address)
    status = client.get_cluster_status(timeout_s=STATUS_S)
    reply = GetClusterStatusReply()
    reply.ParseFromString(status)
    return reply
