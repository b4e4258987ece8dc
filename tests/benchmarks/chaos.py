"""Short sweeps that are killed at seeded moments and run on, compared with an undisturbed one.

    python -m tests.benchmarks.chaos [--kills 20] [--seed 0] [--hosts 3]

Each sweep brings up a Ray of its own, as a user's does who has no cluster. Killed by SIGKILL are
the lane's worker, its controller, the trial's actor, the driver, Ray's raylet, and the driver's
whole process group, each drawn as often as the others, up to four in a sweep, some of them while it
comes up. After a kill that ends the sweep it is run again with ``resume``, as `run --resume` does.
Then every trial must have ended once, with the losses that it has when nobody kills anything, and
no process and no temporary file may be left.

With `--hosts` the sweeps run on a cluster of so many hosts, Linux namespaces of this machine. What
happens then happens to hosts (:class:`tests.cluster.ray_hosts.Fault`), once in a sweep: a lane's
host is killed, cut off the network for good or for some seconds, or goes after a notice; or the
head is killed with the driver, comes up again, and the sweep is resumed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests import chaos
from tests.benchmarks.measure import Measure, print_measures
from tests.chaos import Damage, Kill, Killer, Moment
from tests.cluster.ray_hosts import GOES_ON, Fault, ray_hosts_up
from tests.waiting import wait_until
from vibesweep.sweep.record import SweepRecord

KILLS_OF_A_SWEEP = 4
REPORTS = 18
"""Reports of the undisturbed sweep, about."""
LATEST_S = 0.3
"""A report and the next lie a tenth of a second or so apart."""
GONE_S = 60.0
"""How long Ray's processes may take to see that their driver is gone."""


@dataclass(frozen=True)
class Site:
    """Where sweeps run, and what can happen to them there.

    Attributes:
        place: their place.
        kinds: what can happen.
        of_a_sweep: how much of it happens to one sweep.
        killer: has it happen.
    """

    place: chaos.Place
    kinds: Sequence[StrEnum]
    of_a_sweep: int
    killer: Killer


@contextmanager
def site_in(work: Path, hosts: int) -> Iterator[Site]:
    """Make a place for sweeps on this host, or on a cluster of several hosts."""
    if hosts < 2:
        place = chaos.make_place(work, RAY_ADDRESS="local")
        yield Site(place, list(Kill), KILLS_OF_A_SWEEP, Killer())
        return
    with ray_hosts_up(work, hosts) as cluster:
        place = cluster.place_in(work)
        yield Site(place, list(Fault), 1, Killer(cluster.strike, GOES_ON))


@dataclass(frozen=True)
class Outcome:
    """What became of one sweep."""

    killed: Sequence[StrEnum]
    damage: Damage
    left: Sequence[str]


def drawn_moments(site: Site, seed: int) -> Iterator[list[Moment]]:
    """Draw the moments of sweep after sweep; each kind comes round as often as the others."""
    choice = random.Random(seed)
    kinds: list[StrEnum] = []
    while True:
        while len(kinds) < site.of_a_sweep:
            kinds += choice.sample(site.kinds, len(site.kinds))
        of_this, kinds = kinds[: site.of_a_sweep], kinds[site.of_a_sweep :]
        after = sorted(choice.sample(range(REPORTS - 2), len(of_this)))
        yield [
            Moment(reports, what, choice.uniform(0.0, LATEST_S))
            for reports, what in zip(after, of_this, strict=True)
        ]


def survive_all(site: Site, alone: SweepRecord, kills: int, seed: int) -> list[Outcome]:
    """Run sweep after sweep until so much has been killed.

    A sweep may end before the last of its moments comes.
    """
    outcomes: list[Outcome] = []
    killed = 0
    for number, moments in enumerate(drawn_moments(site, seed)):
        if killed >= kills:
            break
        outcome = survive(site, f"killed{number}", moments[: kills - killed], alone)
        outcomes.append(outcome)
        killed += len(outcome.killed)
    return outcomes


def survive(site: Site, name: str, moments: Sequence[Moment], alone: SweepRecord) -> Outcome:
    """Run one sweep through its kills; print what was killed and what that cost."""
    place = site.place
    try:
        killed = chaos.run_with_kills(place, name, moments, site.killer)
        found = chaos.damage(place.folder(name), alone)
    except Exception as error:  # whatever it is, a user's sweep has not survived it
        killed = [moment.what for moment in moments]
        lines = str(error).strip().splitlines()
        found = Damage(lost=(f"{name}: {lines[-1] if lines else error!r}",), twice=(), other=())
        place.said(name).with_suffix(".error").write_text(str(error))
    wait_until(lambda: not chaos.left_behind(place), GONE_S)
    left = chaos.left_behind(place)
    planned = ", ".join(f"{moment.what.name.lower()}@{moment.reports}" for moment in moments)
    print(f"{name}: {planned}: {str(found) or 'nothing lost'}", *left, flush=True)
    return Outcome(killed, found, left)


def measures(kinds: Iterable[StrEnum], outcomes: Sequence[Outcome]) -> list[Measure]:
    """Count what was killed, and what that cost; the headline last."""
    kills = [what for outcome in outcomes for what in outcome.killed]
    lost = sum(len(outcome.damage.lost) for outcome in outcomes)
    twice = sum(len(outcome.damage.twice) for outcome in outcomes)
    other = sum(len(outcome.damage.other) for outcome in outcomes)
    left = sum(len(outcome.left) for outcome in outcomes)
    whole = sum(not str(outcome.damage) for outcome in outcomes)
    found = [Measure(f"kills: {what.name.lower()}", kills.count(what)) for what in kinds]
    return [
        *found,
        Measure("kills", len(kills)),
        Measure("sweeps", len(outcomes)),
        Measure("sweeps that survived", whole, len(outcomes)),
        Measure("trials lost", lost, 0, at_least=False),
        Measure("trials run twice", twice, 0, at_least=False),
        Measure("results that differ from the undisturbed sweep's", other, 0, at_least=False),
        Measure("processes and temporary files left", left, 0, at_least=False),
        Measure("trials lost or run twice", lost + twice, 0, at_least=False),
    ]


def main() -> None:
    """Run the sweeps and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hosts", type=int, default=1, help="of a cluster, the head among them")
    parser.add_argument("--keep", type=Path, help="folder to run in, which is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        work = given.keep or Path(scratch)
        with site_in(work, given.hosts) as site:
            alone = chaos.finish(site.place, "undisturbed")
            print(f"undisturbed: {len(alone.trials)} trials", flush=True)
            outcomes = survive_all(site, alone, given.kills, given.seed)
    where = f"on {given.hosts} hosts" if given.hosts > 1 else "on one host"
    title = f"{given.kills} kills {where} in sweeps of {chaos.TRIALS} trials"
    print_measures(title, measures(site.kinds, outcomes))


if __name__ == "__main__":
    main()
