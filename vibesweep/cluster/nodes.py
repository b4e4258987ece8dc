"""The hosts of a cluster, and whether each of them sees the folders that all of them work with."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath

SHARED = "name folders that all hosts see: a shared disk's path, or an object store, as in --work s3://bucket/folder"
LOOKING_S = 120.0
"""How long a host may take to start a process that looks; it imports nothing heavy."""


def check_hosts(work: StoragePath, others: list[StoragePath]) -> None:
    """Refuse a cluster of which some host does not see a folder that the driver sees. Where there is one host it is not looked at.

    Every host is asked: lanes take those with room, and tasks that read shards take any.

    Args:
        work: the folder that all hosts write to; for sure the same one, not another at the same path.
        others: what they read, which may be a copy on each.

    Raises:
        ResourceError: a host does not see one of them, or cannot run vibesweep.
    """
    away = [node for node in live_nodes() if node["NodeID"] != own_node()["NodeID"]]
    wanted = [str(place) for place in others if place.local is not None]
    if not away or not (wanted or work.local):
        return
    marker = _put_marker(work.local) if work.local else None
    try:
        asked = [_ask(node, [*wanted, *([str(marker)] if marker else [])]) for node in away]
        for node, answer in zip(away, asked, strict=True):
            missing = [str(work) if path == str(marker) else path for path in _answer(node, answer)]
            if missing:
                raise _refusal(node, missing)
    finally:
        if marker:
            marker.unlink(missing_ok=True)


def _put_marker(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f".{secrets.token_hex(8)}.seen"
    marker.touch()
    return marker


def _ask(node: dict[str, Any], paths: list[str]) -> Any:
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return (
        ray.remote(_missing)
        .options(num_cpus=0, scheduling_strategy=here, max_retries=0)
        .remote(paths)
    )


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]


def _answer(node: dict[str, Any], answer: Any) -> list[str]:
    try:
        missing: list[str] = ray.get(answer, timeout=LOOKING_S)
    except (RayError, GetTimeoutError, ImportError) as error:
        reason = " ".join(str(error).split())[-300:]
        fix = "see that vibesweep is installed on each host, in the same version, or take the host out of the cluster"
        raise ResourceError(
            f"it cannot run vibesweep: {reason}", where=_name(node), fix=fix
        ) from error
    return missing


def _refusal(node: dict[str, Any], missing: list[str]) -> ResourceError:
    return ResourceError(
        f"this host does not see {' and '.join(missing)}", where=_name(node), fix=SHARED
    )


def check_own(paths: Sequence[StoragePath]) -> None:
    """Refuse to go on on this host where it does not see one of these: it may have come after the others were asked.

    Raises:
        ResourceError: it does not.
    """
    missing = [
        str(place) for place in paths if place.local is not None and not place.local.exists()
    ]
    if missing:
        raise _refusal(own_node(), missing)


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def live_nodes() -> list[dict[str, Any]]:
    """The hosts that are up, as Ray lists them."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def own_node() -> dict[str, Any]:
    """The host that this process runs on, as Ray lists it."""
    own = ray.get_runtime_context().get_node_id()
    return next(node for node in live_nodes() if node["NodeID"] == own)
