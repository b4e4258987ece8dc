"""What a run may take, in hours, GPU-hours or money: it then ends, and can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vibesweep.config import TrialResources
from vibesweep.errors import SweepError
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.record.states import TrialState

Clock = Callable[[], float]


class Limit(NamedTuple):
    """After how many seconds a sweep ends, and why, in words."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Allowance:
    """What one run of a sweep may take, counted from when its lanes are asked for.

    Attributes:
        max_hours: hours.
        max_gpu_hours: hours of the GPUs that the lanes hold.
        max_cost: cost of the devices that the lanes hold, in the currency of the price.
        price_per_hour: of a GPU, or of a CPU where trials take no GPU.

    Raises:
        SweepError: a cost without a price.
    """

    max_hours: float | None = None
    max_gpu_hours: float | None = None
    max_cost: float | None = None
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        """Refuse a limit on cost without a price to count it by."""
        if self.max_cost is not None and not self.price_per_hour:
            found = "what an hour costs is not known"
            fix = "give --price-per-hour, of a GPU, or of a CPU where trials take no GPU"
            raise SweepError(found, where="--max-cost", fix=fix)

    def first(self, lanes: int, resources: TrialResources) -> Limit | None:
        """Return the limit that is reached first; ``None`` where there is none.

        Args:
            lanes: how many the sweep holds.
            resources: of each of them.

        Raises:
            SweepError: GPU-hours are limited, and trials take no GPU.
        """
        found = []
        gpus = lanes * resources.workers * resources.gpus_per_worker
        if self.max_hours is not None:
            seconds = self.max_hours * SECONDS_AN_HOUR
            found.append(Limit(seconds, f"--max-hours {self.max_hours:g} is reached"))
        if self.max_gpu_hours is not None:
            if not gpus:
                fix = "give --max-hours, or resources=TrialResources(gpus_per_worker=1)"
                raise SweepError("the trials take no GPU", where="--max-gpu-hours", fix=fix)
            seconds = self.max_gpu_hours / gpus * SECONDS_AN_HOUR
            found.append(Limit(seconds, f"--max-gpu-hours {self.max_gpu_hours:g} is reached"))
        if self.max_cost is not None and self.price_per_hour:
            devices = gpus or lanes * resources.workers * resources.cpus_per_worker
            price = devices * self.price_per_hour
            seconds = self.max_cost / price * SECONDS_AN_HOUR
            found.append(Limit(seconds, f"--max-cost {self.max_cost:g} is reached"))
        return min(found, default=None)


class Deadline:
    """Watches a sweep, and ends it at its limit.

    From then on no trial begins. Those that run come to their next validation, and the sweep is
    stopped when the last of them has, to be resumed at leisure.

    Attributes:
        reason: why the sweep ends; empty before that.
    """

    def __init__(
        self,
        limit: Limit | None,
        hold: Callable[[], None],
        stop: Callable[[], None],
        clock: Clock = time.monotonic,
    ) -> None:
        """Watch from now on.

        Args:
            limit: when to end; ``None`` for never.
            hold: keeps new trials from beginning.
            stop: ends the sweep.
            clock: returns seconds.
        """
        self.reason = ""
        self._limit = limit
        self._began_s = clock()
        self._hold = hold
        self._stop = stop
        self._clock = clock
        self._stopped = False
        self._known: dict[str, int] = {}
        self._awaited: dict[str, int] = {}

    def look(self, record: SweepRecord) -> None:
        """Look at a sweep after something has happened in it."""
        if self._limit is None or self._stopped:
            return
        running = {
            trial.id: trial.step for trial in record.trials if trial.state == TrialState.RUNNING
        }
        if self.reason:
            self._awaited = _unchanged(self._awaited, running)
        elif self._clock() - self._began_s >= self._limit.seconds:
            self.reason = self._limit.reason
            self._hold()
            # The trial that has just reported is where it should be
            self._awaited = _unchanged(self._known, running)
        self._known = running
        if self.reason and not self._awaited:
            self._stopped = True
            self._stop()


def _unchanged(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """Return the trials that run on and have not reported in between."""
    return {trial: step for trial, step in before.items() if now.get(trial) == step}
