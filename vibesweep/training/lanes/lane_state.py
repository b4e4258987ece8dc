"""What the dispatcher knows of one lane."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from vibesweep.training.lanes.messages import Answer, Command, RankError

LOST_STARTS_IN_A_ROW = 3
"""A lane may lose its processes twice while it comes up; three times in a row is no accident.

Twice may be two hosts that die within half a minute, before Ray says so. With hosts of which it has
said so a lane may lose them oftener: spot hosts go in numbers.
"""
RESTARTS = 20
"""Worker groups that a lane may lose and have brought up again in one sweep: spot instances go.

Trials that fail by their settings do not count.
"""
SLOW_START_S = 60.0
"""A lane that is not ready so long after its processes came is reported with what it is doing."""


@dataclass
class LaneSeat:
    """A place on a lane for one trial at a time.

    Attributes:
        name: its lane's, and which of the lane's seats it is.
        commands: numbered commands of this generation, by position.
        taken: how many of them some rank has taken.
        answers: their answers, by the command's number.
        trial_id: the trial that holds the seat.
    """

    name: str = ""
    commands: list[Command] = field(default_factory=list)
    taken: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    trial_id: str | None = None

    def begin_generation(self) -> None:
        """Forget what was asked of the last worker group."""
        self.commands = []
        self.taken = 0
        self.answers = {}

    def append(self, command: Command) -> int:
        """Write down the next command and return its number."""
        self.commands.append(command)
        return len(self.commands) - 1

    def take(self, number: int) -> Command:
        """Hand a rank the command of this number."""
        self.taken = max(self.taken, number + 1)
        return self.commands[number]


@dataclass
class LaneState:
    """One lane as the dispatcher sees it.

    Attributes:
        size: ranks of the lane's worker group.
        generation: how often its worker group has come up.
        joined: whether the processes of the newest group have found each other.
        opened_ranks: ranks of this generation that have opened their worker context.
        ready_ranks: ranks of this generation that can train.
        errors: exceptions in ranks of this generation, by rank.
        controller_pid: process, on the driver's host, that keeps the worker group up.
        seats: places for as many trials as the lane trains at the same time.
        without_room: further ones, which the newest group has no memory for.
        was_ready: whether every rank was ready since the last loss of the worker group.
        starts_lost: worker groups in a row that were lost before they were ready, their hosts not.
        hosts: where the processes of the newest group are.
        lost_start_on: the same of the starts that were lost and count, until the lane is ready.
        groups_lost: worker groups lost in all, but for those that a trial's settings cost.
        waiting_since_unix_s: when the lane first asked for hosts, until its processes are there;
            ``None`` otherwise.
        placed_unix_s: when its processes were there, until it is ready; ``None`` otherwise.
        closed: whether the lane takes no further trial.
    """

    size: int = 1
    generation: int = 0
    joined: bool = False
    opened_ranks: set[int] = field(default_factory=set)
    ready_ranks: set[int] = field(default_factory=set)
    errors: dict[int, RankError] = field(default_factory=dict)
    controller_pid: int | None = None
    seats: list[LaneSeat] = field(default_factory=lambda: [LaneSeat()])
    without_room: list[LaneSeat] = field(default_factory=list)
    was_ready: bool = False
    starts_lost: int = 0
    hosts: set[str] = field(default_factory=set)
    lost_start_on: set[str] = field(default_factory=set)
    groups_lost: int = 0
    waiting_since_unix_s: float | None = None
    placed_unix_s: float | None = None
    closed: bool = False

    @property
    def opened(self) -> bool:
        """Whether every rank has opened its worker context."""
        return len(self.opened_ranks) == self.size

    @property
    def ready(self) -> bool:
        """Whether every rank can train, and none has failed."""
        all_ranks = self.generation > 0 and len(self.ready_ranks) == self.size
        return all_ranks and not self.errors and not self.closed

    @property
    def trial_ids(self) -> list[str]:
        """The trials that hold its seats."""
        return [seat.trial_id for seat in self.seats if seat.trial_id is not None]

    @property
    def free(self) -> bool:
        """Whether a trial can have a seat of this lane now."""
        return self.ready and len(self.trial_ids) < len(self.seats)

    def free_seat(self) -> LaneSeat | None:
        """Return a seat that no trial has."""
        return next((seat for seat in self.seats if seat.trial_id is None), None)

    @property
    def never_comes_up(self) -> bool:
        """Whether the lane has lost too many worker groups, before they were ready or in all."""
        return self.starts_lost >= LOST_STARTS_IN_A_ROW or self.groups_lost > RESTARTS

    @property
    def slow_start(self) -> str:
        """What a lane is doing that takes long to come up; empty for any other."""
        placed_unix_s = self.placed_unix_s
        if placed_unix_s is None or time.time() - placed_unix_s < SLOW_START_S:
            return ""
        if not self.joined:
            doing = "its processes load PyTorch and find each other"
        elif not self.opened:
            loaded = f"{len(self.opened_ranks)} of {self.size} workers"
            doing = f"{loaded} have the model and the clips loaded"
        else:
            doing = "it validates the untouched base and times a step"
        return f"coming up since {clock_time(placed_unix_s)}: {doing}"

    def ask_for_hosts(self) -> None:
        """Note that the lane asks the cluster for its worker group, perhaps once more."""
        if self.waiting_since_unix_s is None:
            self.waiting_since_unix_s = time.time()

    def mark_placed(self, hosts: Collection[str]) -> None:
        """Note that the cluster had room for the lane, whose processes are on these hosts."""
        self.hosts = set(hosts)
        self.waiting_since_unix_s = None
        self.placed_unix_s = time.time()
        self.joined = False

    def begin_generation(self, size: int) -> None:
        """Forget the last worker group; a new one with ``size`` ranks has come up."""
        self.size = size
        self.generation += 1
        self.joined = True
        self.waiting_since_unix_s = None
        self.opened_ranks = set()
        self.ready_ranks = set()
        self.errors = {}
        self.seats += self.without_room
        self.without_room = []
        for seat in self.seats:
            seat.begin_generation()

    def mark_ready(self, rank: int, trials: int) -> None:
        """Note that a rank can train so many trials; the lane is ready once all of them can."""
        self.without_room = self.seats[trials:] + self.without_room
        self.seats = self.seats[:trials]
        self.ready_ranks.add(rank)
        if self.ready:
            self.was_ready = True
            self.lost_start_on = set()
            self.placed_unix_s = None
            self.starts_lost = 0

    def take_fewer(self) -> None:
        """Train half as many trials from now on: the memory did not do for all."""
        left = max(len(self.seats) // 2, 1)
        self.seats = self.seats[:left]
        self.without_room = []

    def lose_group(self, hosts_up: Collection[str], *, counts: bool, host_died: bool) -> None:
        """Note that the worker group is lost.

        Of a host that dies Ray says so only after half a minute, when a worker there has long been
        missed. So whether the starts before were lost with hosts is looked at when another one is.

        Args:
            hosts_up: the cluster's hosts by now; empty where nobody has looked.
            counts: whether it is one of those that a lane may lose.
            host_died: whether a host of it is gone.
        """
        self.ready_ranks = set()
        self.errors = {}
        self.placed_unix_s = None
        if not self.was_ready:
            if hosts_up and not self.lost_start_on <= set(hosts_up):
                self.starts_lost = 0
                self.lost_start_on = set()
            self.starts_lost += not host_died
            self.lost_start_on |= self.hosts
        self.hosts = set()
        self.was_ready = False
        if counts:
            self.groups_lost += 1


def clock_time(unix_s: float) -> str:
    """Return a moment as a user's clock shows it."""
    moment = time.localtime(unix_s)
    return time.strftime("%H:%M:%S", moment)
