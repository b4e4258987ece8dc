"""A cloud of this machine for Ray's autoscaler: its hosts are Ray nodes of this machine.

One type of host is always sold out.
"""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

SOLD_OUT = "sold_out"


class Cloud(FakeMultiNodeProvider):
    """Ray's own fake cloud, but for the type that never comes."""

    def create_node_with_resources_and_labels(
        self, node_config: Any, tags: Any, count: int, resources: Any, labels: Any
    ) -> None:
        if tags[TAG_RAY_USER_NODE_TYPE] == SOLD_OUT:
            raise NodeLaunchException("NoCapacity", "none of this type is left in any zone", None)
        super().create_node_with_resources_and_labels(node_config, tags, count, resources, labels)


def cluster_file(gcs_address: str) -> dict[str, Any]:
    """Describe a head without CPUs, up to two hosts of one CPU, and one that is sold out.

    Idle hosts go after six seconds.
    """
    host = {
        "resources": {"CPU": 1, "object_store_memory": 100_000_000},
        "node_config": {},
        "min_workers": 0,
    }
    return {
        "cluster_name": "here",
        "max_workers": 3,
        "upscaling_speed": 10,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "external",
            "module": f"{__name__}.{Cloud.__name__}",
            "gcs_address": gcs_address,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {**host, "max_workers": 2},
            SOLD_OUT: {**host, "max_workers": 1},
        },
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{
            name: []
            for name in (
                "cluster_synced_files",
                "rsync_exclude",
                "rsync_filter",
                "initialization_commands",
                "setup_commands",
            )
        },
        **{
            f"{role}_{name}_commands": []
            for role in ("head", "worker")
            for name in ("setup", "start_ray")
        },
        "file_mounts_sync_continuously": False,
    }
