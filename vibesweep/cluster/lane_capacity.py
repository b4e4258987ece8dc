"""How many lanes a cluster has room for, now or once its autoscaler has brought up more hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vibesweep.config import Sweep, TrialResources
from vibesweep.errors import ResourceError

RESOURCE_UNITS = 10_000
"""Ray counts resources in ten-thousandths. In these units 1 GPU holds 10 workers of 0.1 GPU; in
floating point 1.0 // 0.1 is 9."""
ACCELERATOR_PREFIX = "accelerator_type:"
"""How Ray names the resource that says which GPU model a host has."""

Host = Mapping[str, float]
"""A host's resources by Ray's names."""


@dataclass(frozen=True)
class HostType:
    """Hosts of one type that the cluster's autoscaler may bring up beside those that are live.

    Attributes:
        name: name of the type in the cluster's file.
        host: resources of each host.
        more: how many may come.
    """

    name: str
    host: Host
    more: int


@dataclass(frozen=True)
class Cluster:
    """A cluster as it is, and as it may become.

    Attributes:
        live: the hosts that are up.
        types: the host types that may come.
        more: how many hosts may come, of all types together.
        open_ended: whether an autoscaler may bring up hosts and does not tell how many.
    """

    live: Sequence[Host]
    types: Sequence[HostType] = ()
    more: int = 0
    open_ended: bool = False


def plan_lanes(sweep: Sweep, cluster: Cluster) -> list[TrialResources]:
    """Choose how many lanes a sweep has, and what each of them asks of the cluster.

    A lane of several workers stays with one GPU model: with different ones the faster GPU would
    wait for the slower at every step.

    Args:
        sweep: says what one trial holds, and may ask for a number of lanes.
        cluster: the hosts that are there, and those that may come.

    Returns:
        The resources of each lane.

    Raises:
        ResourceError: one trial, or the lanes asked for, are more than the cluster may ever have.
    """
    one = sweep.resources
    room = _room_for_workers(cluster, one)
    lanes_by_gpu = {gpu: workers // one.workers for gpu, workers in room.items()}
    capacity = sum(lanes_by_gpu.values())
    wanted = sweep.lanes or 1
    if capacity < wanted and not cluster.open_ended:
        raise _too_much(sweep, cluster, capacity)
    if one.workers > 1 and len(room) > 1 and capacity:
        lanes = _lanes_of_one_gpu_model(one, lanes_by_gpu)
    else:
        lanes = [one] * max(capacity, wanted)
    most = min(sweep.lanes or len(lanes), sweep.most_lanes)
    return lanes[:most]


def workers_on(host: Host, one: TrialResources) -> int:
    """Return how many of a trial's workers a host has room for.

    A worker that holds a part of a GPU has it on one GPU: two GPUs, each with room for two workers
    of 0.4, have room for four and not for five.
    """
    if one.accelerator_type:
        wanted = ACCELERATOR_PREFIX + one.accelerator_type
        if wanted not in host:
            return 0
    limits = []
    if one.cpus_per_worker:
        cpus = host.get("CPU", 0.0)
        limits.append(_how_often(cpus, one.cpus_per_worker))
    if one.gpus_per_worker:
        gpus = int(host.get("GPU", 0.0))
        workers_a_gpu = _how_often(1.0, one.gpus_per_worker)
        limits.append(gpus * workers_a_gpu)
    return min(limits)


def accelerator_of(host: Host) -> str | None:
    """Return the host's GPU model as Ray names it, ``None`` where it has none or does not say."""
    for name in host:
        if name.startswith(ACCELERATOR_PREFIX):
            return name.removeprefix(ACCELERATOR_PREFIX)
    return None


def _how_often(available: float, needed: float) -> int:
    """Return how often an amount of a resource contains another."""
    units_available = round(available * RESOURCE_UNITS)
    units_needed = round(needed * RESOURCE_UNITS)
    return units_available // max(units_needed, 1)


def _room_for_workers(cluster: Cluster, one: TrialResources) -> Counter[str | None]:
    """Count the workers that the cluster may come to hold, by the GPU model of their hosts.

    Live hosts come first, then the types that hold most workers. A GPU model without room is left
    out; workers without GPUs are all counted under ``None``.
    """
    room: Counter[str | None] = Counter()
    for host in cluster.live:
        gpu = _gpu_model(host, one)
        room[gpu] += workers_on(host, one)
    hosts_left = cluster.more
    for host_type in _largest_first(cluster.types, one):
        host = host_type.host
        workers = workers_on(host, one)
        if workers == 0 or _kept_for_gpu_work(host, one):
            continue
        hosts = min(host_type.more, hosts_left)
        hosts_left -= hosts
        gpu = _gpu_model(host, one)
        room[gpu] += hosts * workers
    return +room  # without the models that have no room


def _largest_first(types: Sequence[HostType], one: TrialResources) -> list[HostType]:
    return sorted(types, key=lambda kind: workers_on(kind.host, one), reverse=True)


def _kept_for_gpu_work(host: Host, one: TrialResources) -> bool:
    """Whether Ray starts no such host for these workers: a GPU host for work without GPUs."""
    has_gpus = host.get("GPU", 0.0) > 0
    needs_gpus = one.gpus_per_worker > 0
    return has_gpus and not needs_gpus


def _gpu_model(host: Host, one: TrialResources) -> str | None:
    return accelerator_of(host) if one.gpus_per_worker else None


def _lanes_of_one_gpu_model(
    one: TrialResources, lanes_by_gpu: Mapping[str | None, int]
) -> list[TrialResources]:
    lanes: list[TrialResources] = []
    for gpu, count in lanes_by_gpu.items():
        lane = replace(one, accelerator_type=gpu)
        lanes += [lane] * count
    return lanes


def _too_much(sweep: Sweep, cluster: Cluster, capacity: int) -> ResourceError:
    asked = _asked_for(sweep)
    live = _live_resources(cluster.live)
    found = f"{asked}, and the cluster has {live}"
    growing = [kind for kind in cluster.types if kind.more]
    if growing:
        types = ", ".join(_described(kind) for kind in growing)
        found += f", and may have {cluster.more} more hosts of these: {types}"
    fix = f"ask for fewer resources or lanes ({capacity} would fit), or enlarge the cluster"
    return ResourceError(found, where="Sweep", fix=fix)


def _asked_for(sweep: Sweep) -> str:
    one = sweep.resources
    lanes = sweep.lanes or 1
    workers = lanes * one.workers
    need = "1 lane needs" if lanes == 1 else f"{lanes} lanes need"
    each = f"{one.cpus_per_worker} CPUs and {one.gpus_per_worker:g} GPUs each"
    asked = f"{need} {workers} workers with {each}"
    if one.accelerator_type:
        asked += f" of type {one.accelerator_type}"
    return asked


def _live_resources(hosts: Sequence[Host]) -> str:
    cpus = sum(host.get("CPU", 0.0) for host in hosts)
    gpus = sum(host.get("GPU", 0.0) for host in hosts)
    found = f"{cpus:g} CPUs and {gpus:g} GPUs"
    models = {accelerator_of(host) for host in hosts}
    named = sorted(model for model in models if model is not None)
    if named:
        found += f" ({', '.join(named)})"
    return found


def _described(host_type: HostType) -> str:
    """Say how many hosts of a type may come, and what each of them has."""
    host = host_type.host
    cpus = host.get("CPU", 0.0)
    gpus = host.get("GPU", 0.0)
    each = f"{cpus:g} CPUs, {gpus:g} GPUs"
    model = accelerator_of(host)
    if model is not None:
        each += f" {model}"
    return f"{host_type.more} {host_type.name} ({each})"
