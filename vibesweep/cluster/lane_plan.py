"""What a cluster holds, or may grow to hold: how many lanes fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vibesweep.cluster.placement import accelerator_of, workers_on
from vibesweep.config import Sweep, TrialResources
from vibesweep.errors import ResourceError, SpaceError

Host = Mapping[str, float]
"""A host's resources by Ray's names."""


@dataclass(frozen=True)
class HostType:
    """Hosts of one type that the cluster's autoscaler may bring up beside those that are live.

    Attributes:
        name: as the cluster's file has it.
        host: what each of them has.
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
        types: those that may come.
        more: how many may come, of all types together.
        open_ended: whether there is an autoscaler that does not tell how far it goes.
    """

    live: Sequence[Host]
    types: Sequence[HostType] = ()
    more: int = 0
    open_ended: bool = False


def plan_lanes(sweep: Sweep, cluster: Cluster) -> list[TrialResources]:
    """What each of the sweep's lanes asks of the cluster.

    A lane of several workers stays with one kind of GPU: on unlike ones the faster would wait for the slower at every step.

    Args:
        sweep: says what one trial holds, and may ask for a number of lanes.
        cluster: what there is, and what may come.

    Raises:
        SpaceError: the sweep asks for no trial, no lane, or a worker that there cannot be.
        ResourceError: one trial, or the lanes asked for, are more than the cluster may ever have.
    """
    _check_counts(sweep)
    _check_gpus(sweep.resources)
    one = sweep.resources
    room = {kind: workers for kind, workers in _room(cluster, one).items() if workers}
    fit = {kind: workers // one.workers for kind, workers in room.items() if workers >= one.workers}
    wanted = sweep.lanes or 1
    if sum(fit.values()) < wanted and not cluster.open_ended:
        raise _too_much(sweep, cluster, sum(fit.values()))
    if one.workers > 1 and len(room) > 1 and fit:
        lanes = [
            replace(one, accelerator_type=kind) for kind, count in fit.items() for _ in range(count)
        ]
    else:
        lanes = [one] * max(sum(fit.values()), wanted)
    return lanes[: min(sweep.lanes or len(lanes), sweep.trials)]


def _room(cluster: Cluster, one: TrialResources) -> Counter[str | None]:
    """Workers that the cluster may come to hold, by the GPUs of their hosts; live hosts first."""
    room: Counter[str | None] = Counter()
    for host in cluster.live:
        room[_kind(host, one)] += workers_on(host, one)
    left = cluster.more
    for more in sorted(cluster.types, key=lambda kind: -workers_on(kind.host, one)):
        # Ray starts no GPU host for work without GPUs while there is another; nor should the count
        if one.gpus_per_worker or not more.host.get("GPU"):
            room[_kind(more.host, one)] += min(more.more, left) * workers_on(more.host, one)
            left -= min(more.more, left) if workers_on(more.host, one) else 0
    return room


def _kind(host: Host, one: TrialResources) -> str | None:
    return accelerator_of(host) if one.gpus_per_worker else None


def _too_much(sweep: Sweep, cluster: Cluster, fit: int) -> ResourceError:
    one, wanted = sweep.resources, sweep.lanes or 1
    asked = f" of type {one.accelerator_type}" if one.accelerator_type else ""
    grows = ", ".join(
        f"{kind.more} {kind.name}{_told(kind.host)}" for kind in cluster.types if kind.more
    )
    found = (
        f"{wanted} {'lane needs' if wanted == 1 else 'lanes need'} {wanted * one.workers} workers with {one.cpus_per_worker} CPUs and "
        f"{one.gpus_per_worker:g} GPUs each{asked}, and the cluster has {_total(cluster.live, 'CPU')} CPUs and "
        f"{_total(cluster.live, 'GPU')} GPUs{_kinds(cluster.live)}"
    )
    if grows:
        found += f", and may have {cluster.more} more hosts of these: {grows}"
    return ResourceError(
        found,
        where="Sweep",
        fix=f"ask for fewer resources or lanes ({fit} would fit), or enlarge the cluster",
    )


def _told(host: Host) -> str:
    kind = accelerator_of(host)
    return (
        f" ({host.get('CPU', 0):g} CPUs, {host.get('GPU', 0):g} GPUs{f' {kind}' if kind else ''})"
    )


def _kinds(hosts: Sequence[Host]) -> str:
    kinds = sorted({kind for host in hosts if (kind := accelerator_of(host))})
    return f" ({', '.join(kinds)})" if kinds else ""


def _check_counts(sweep: Sweep) -> None:
    """Refuse what would wait for ever for a lane that nobody brings up."""
    one = sweep.resources
    at_least: list[tuple[str, float, int]] = [
        ("trials", sweep.trials, 1),
        ("workers", one.workers, 1),
    ]
    at_least += [("lanes", 1 if sweep.lanes is None else sweep.lanes, 1)]
    at_least += [
        ("cpus_per_worker", one.cpus_per_worker, 0),
        ("gpus_per_worker", one.gpus_per_worker, 0),
    ]
    for name, found, least in at_least:
        if found < least:
            raise SpaceError(f"{name} is {found}", where="Sweep", fix=f"choose {least} or more")
    if not (one.cpus_per_worker or one.gpus_per_worker):
        raise SpaceError(
            "a worker holds neither CPUs nor GPUs", where="Sweep", fix="give it one of them"
        )


def _check_gpus(one: TrialResources) -> None:
    """Refuse workers that PyTorch or NCCL could not run."""
    gpus = f"gpus_per_worker is {one.gpus_per_worker:g}"
    if one.gpus_per_worker > 1:
        fix = f"a worker computes on one GPU: choose gpus_per_worker=1 and workers={round(one.workers * one.gpus_per_worker)}"
        raise SpaceError(gpus, where="TrialResources", fix=fix)
    if one.workers > 1 and 0 < one.gpus_per_worker < 1:
        fix = "NCCL takes no two workers of a trial on one GPU: choose workers=1, or gpus_per_worker=1"
        raise SpaceError(f"{gpus} with {one.workers} workers", where="TrialResources", fix=fix)
    if one.accelerator_type and not one.gpus_per_worker:
        fix = "choose gpus_per_worker=1, or leave accelerator_type out"
        raise SpaceError(
            f"accelerator_type is {one.accelerator_type} and {gpus}",
            where="TrialResources",
            fix=fix,
        )


def _total(hosts: Sequence[Host], name: str) -> str:
    return f"{sum(host.get(name, 0.0) for host in hosts):g}"
