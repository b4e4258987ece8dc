"""What a sweep computes on, as a reader of its record wants to know it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from vibesweep.cluster.lane_capacity import ACCELERATOR_PREFIX
from vibesweep.cluster.nodes import Node, live_nodes, own_node

CPU_INFO = Path("/proc/cpuinfo")


def hosts_of_cluster() -> list[dict[str, Any]]:
    """List the hosts that are up: CPUs, GPUs and memory that Ray counts on, and the GPUs' model.

    Of the driver's own host the system and the processor are known too.
    """
    own_id = own_node()["NodeID"]
    hosts = []
    for node in live_nodes():
        host = _host(node)
        if node["NodeID"] == own_id:
            host["system"] = platform.platform()
            host["processor"] = _processor()
        hosts.append(host)
    return hosts


def _host(node: Node) -> dict[str, Any]:
    resources = node["Resources"]
    models = [
        name.removeprefix(ACCELERATOR_PREFIX)
        for name in resources
        if name.startswith(ACCELERATOR_PREFIX)
    ]
    return {
        "name": node["NodeManagerHostname"],
        "cpus": resources.get("CPU", 0.0),
        "gpus": resources.get("GPU", 0.0),
        "gpu_models": models,
        "memory_gb": round(resources.get("memory", 0.0) / 1e9, 1),
    }


def _processor() -> str:
    """Return the processor's model, as Linux names it, or its architecture."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
