"""The hosts of a cluster, and whether each of them sees the folders that all of them work with."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vibesweep.cluster.ray_internals import ResourceAndLabelSpec
from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath

Node = dict[str, Any]
"""A host as ``ray.nodes()`` lists it."""

SHARED_FOLDERS_FIX = (
    "name folders that all hosts see: a shared disk's path, or an object store, "
    "as in --work s3://bucket/folder"
)
INSTALL_FIX = (
    "see that vibesweep is installed on each host, in the same version, "
    "or take the host out of the cluster"
)
REASON_CHARACTERS = 300
"""Characters, from its end, that a line quotes of why a host could not look."""
LOOKING_S = 120.0
"""Seconds that a host may take to start a process that looks; it imports nothing heavy."""


def live_nodes() -> list[Node]:
    """List the hosts that are up."""
    return [node for node in ray.nodes() if node["Alive"]]


def own_node() -> Node:
    """Return the host that this process runs on."""
    own_id = ray.get_runtime_context().get_node_id()
    return next(node for node in live_nodes() if node["NodeID"] == own_id)


def this_host() -> dict[str, float]:
    """Return what a Ray that is started on this machine would find here, by Ray's names."""
    found = ResourceAndLabelSpec().resolve(is_head=True)
    resources: dict[str, float] = found.to_resource_dict()
    return resources


def check_hosts(work: StoragePath, others: Sequence[StoragePath]) -> None:
    """Check that every host sees the folders that the driver sees.

    Every host is asked: lanes take those with room, and tasks that read shards take any. Where the
    driver's host is the only one, nothing is asked.

    Args:
        work: the folder that all hosts write to. It has to be the same folder everywhere, not
            another one at the same path.
        others: folders that all hosts read, which may be a copy on each.

    Raises:
        ResourceError: a host does not see one of them, or cannot run vibesweep.
    """
    other_nodes = _other_nodes()
    if not other_nodes:
        return
    read_paths = [str(place) for place in others if place.local is not None]
    if work.local is not None:
        with _marker_in(work.local) as marker:
            paths = [*read_paths, marker]
            _check_nodes(other_nodes, paths, shown_as={marker: str(work)})
    elif read_paths:
        _check_nodes(other_nodes, read_paths, shown_as={})


def check_own_host(folders: Sequence[StoragePath]) -> None:
    """Check that this host sees these folders; it may have come after the others were asked.

    Raises:
        ResourceError: it does not.
    """
    local = [folder.local for folder in folders if folder.local is not None]
    missing = [str(folder) for folder in local if not folder.exists()]
    if missing:
        raise _not_seen(own_node(), missing)


def _other_nodes() -> list[Node]:
    own_id = own_node()["NodeID"]
    return [node for node in live_nodes() if node["NodeID"] != own_id]


@contextmanager
def _marker_in(folder: Path) -> Iterator[str]:
    """Put a file into the folder for as long as the block lasts, by which others recognize it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    marker = folder / f".{name}.seen"
    marker.touch()
    try:
        yield str(marker)
    finally:
        marker.unlink(missing_ok=True)


def _check_nodes(nodes: Sequence[Node], paths: list[str], shown_as: dict[str, str]) -> None:
    """Check that every node sees every path.

    Args:
        nodes: the hosts to ask, all at the same time.
        paths: what they should see.
        shown_as: what the user is told in place of a path.
    """
    requests = [_ask(node, paths) for node in nodes]
    for node, request in zip(nodes, requests, strict=True):
        missing = _answer(node, request)
        if missing:
            shown = [shown_as.get(path, path) for path in missing]
            raise _not_seen(node, shown)


def _ask(node: Node, paths: list[str]) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task: Any = ray.remote(_missing)
    look = task.options(num_cpus=0, scheduling_strategy=there, max_retries=0)
    return look.remote(paths)


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]


def _answer(node: Node, request: Any) -> list[str]:
    try:
        missing: list[str] = ray.get(request, timeout=LOOKING_S)
    except (RayError, GetTimeoutError, ImportError) as error:
        text = " ".join(str(error).split())
        found = f"it cannot run vibesweep: {text[-REASON_CHARACTERS:]}"
        raise ResourceError(found, where=_name(node), fix=INSTALL_FIX) from error
    return missing


def _not_seen(node: Node, missing: Sequence[str]) -> ResourceError:
    folders = " and ".join(missing)
    found = f"this host does not see {folders}"
    return ResourceError(found, where=_name(node), fix=SHARED_FOLDERS_FIX)


def _name(node: Node) -> str:
    name = node["NodeManagerHostname"]
    address = node["NodeManagerAddress"]
    return f"{name} ({address})"
