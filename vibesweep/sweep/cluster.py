"""What a cluster holds: how many lanes fit."""

from __future__ import annotations

from vibesweep.config import Sweep, TrialResources
from vibesweep.errors import ResourceError, SpaceError


def count_lanes(sweep: Sweep, hosts: list[dict[str, float]]) -> int:
    """How many lanes the sweep gets.

    Args:
        sweep: says what one trial holds, and may ask for a number of lanes.
        hosts: the resources of each live host.

    Raises:
        SpaceError: the sweep asks for no trial, no lane, or a trial that holds nothing.
        ResourceError: one trial, or the lanes asked for, are more than the cluster has.
    """
    _check_counts(sweep)
    fit = sum(_workers_on(host, sweep.resources) for host in hosts) // sweep.resources.workers
    wanted = sweep.lanes or 1
    if fit < wanted:
        one = sweep.resources
        found = (
            f"{wanted} {'lane needs' if wanted == 1 else 'lanes need'} {wanted * one.workers} workers with {one.cpus_per_worker} CPUs and "
            f"{one.gpus_per_worker} GPUs each, and the cluster has {_total(hosts, 'CPU')} CPUs and {_total(hosts, 'GPU')} GPUs"
        )
        raise ResourceError(found, where="Sweep", fix=f"ask for fewer resources or lanes ({fit} would fit), or enlarge the cluster")
    return min(sweep.lanes or fit, sweep.trials)


def _check_counts(sweep: Sweep) -> None:
    """Refuse what would wait for ever for a lane that nobody brings up."""
    one = sweep.resources
    at_least = [("trials", sweep.trials, 1), ("lanes", 1 if sweep.lanes is None else sweep.lanes, 1), ("workers", one.workers, 1)]
    at_least += [("cpus_per_worker", one.cpus_per_worker, 0), ("gpus_per_worker", one.gpus_per_worker, 0)]
    for name, found, least in at_least:
        if found < least:
            raise SpaceError(f"{name} is {found}", where="Sweep", fix=f"choose {least} or more")
    if not (one.cpus_per_worker or one.gpus_per_worker):
        raise SpaceError("a worker holds neither CPUs nor GPUs", where="Sweep", fix="give it one of them")


def _workers_on(host: dict[str, float], one: TrialResources) -> int:
    rooms = [(host.get("CPU", 0.0), one.cpus_per_worker), (host.get("GPU", 0.0), one.gpus_per_worker)]
    return int(min(has // needs for has, needs in rooms if needs))


def _total(hosts: list[dict[str, float]], name: str) -> str:
    return f"{sum(host.get(name, 0.0) for host in hosts):g}"
