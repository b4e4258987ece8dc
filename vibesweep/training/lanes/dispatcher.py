"""The post between trials and lanes: a trial asks for steps, a lane does them, the answer comes back.

A trial and a lane are two things. A trial lives in Tune and wants to be trained to a step; a lane is a worker group that stays
up. The dispatcher gives a trial a free lane when it first asks, keeps it there until it leaves, and writes down each lane's commands
as a numbered list, so that every rank of the lane reads the same commands in the same order. It is a plain asyncio class with no
ray in it; :mod:`vibesweep.training.lanes.lane` makes an actor of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from vibesweep.config import Report, TrialSettings
from vibesweep.errors import TrialError, VibesweepError

STARTS_LOST_IN_A_ROW = (
    2  # a lane may lose its processes once while it comes up; twice in a row is no accident
)


@dataclass(frozen=True)
class Command:
    """Train this trial to this step."""

    trial_id: str
    settings: TrialSettings
    until_step: int


@dataclass(frozen=True)
class Answer:
    """What became of a command: a report, or why the trial failed, with the traceback where there is one.

    ``lost`` says that a process was lost under the trial, which may fare better on another lane.
    """

    report: Report | None = None
    error: VibesweepError | None = None
    traceback: str = ""
    lost: bool = False


@dataclass(frozen=True)
class LaneCounts:
    """How many lanes are up, how many wait for hosts with room for them, how many are wanted in all, and why others were given up."""

    up: int
    waiting: int
    wanted: int
    given_up: tuple[str, ...] = ()


@dataclass
class LaneState:
    """One lane as the dispatcher sees it. The generation counts how often its worker group was brought up.

    It waits from when a worker group is asked for until hosts have room for it; closed, it takes no further trial.
    """

    size: int = 1
    generation: int = 0
    ready_ranks: set[int] = field(default_factory=set)
    pids: dict[int, int] = field(default_factory=dict)
    controller_pid: int | None = None
    commands: list[Command] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    trial_id: str | None = None
    was_ready: bool = False
    starts_lost: int = 0
    waiting: bool = False
    closed: bool = False

    @property
    def ready(self) -> bool:
        """Whether every rank has opened its workbench."""
        return not self.closed and self.generation > 0 and len(self.ready_ranks) == self.size

    def restart(self, size: int) -> None:
        """Forget the last worker group."""
        self.size, self.generation, self.waiting = size, self.generation + 1, False
        self.ready_ranks, self.pids = set(), {}
        self.commands, self.answers = [], {}


class LaneDispatcher:
    """Joins trials and lanes. Every method is quick or waits without blocking the others.

    Args:
        trials: how many the sweep has: as the last of them end, lanes that none can come to are closed. ``None`` closes none.
        sweep: its name, by which the dashboard tells mailboxes apart.
    """

    def __init__(self, trials: int | None = None, sweep: str = "") -> None:
        self._trials, self._sweep = trials, sweep
        self._ended: set[str] = set()
        self._lanes: dict[str, LaneState] = {}
        self._homes: dict[str, str] = {}
        self._failures: dict[str, Answer] = {}
        self._closed = False
        self._verdict: Answer | None = None
        self._given_up: list[str] = []
        self._base_loss: float | None = None
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        """What Ray's dashboard calls the actor, and puts before the names of its calls."""
        return f"LaneDispatcher({self._sweep})"

    # Trials

    async def advance(self, command: Command) -> Answer:
        """Have a trial trained to ``command.until_step``; waits for a free lane first if the trial has none."""
        trial_id = command.trial_id
        async with self._changed:
            await self._changed.wait_for(lambda: self._over(trial_id) or self._find_home(trial_id))
            if (over := self._over(trial_id)) is not None:
                return over
            lane = self._lanes[self._homes[trial_id]]
            lane.commands.append(command)
            number, answers = len(lane.commands) - 1, lane.answers
            self._changed.notify_all()
            await self._changed.wait_for(lambda: number in answers or self._over(trial_id))
            answer = answers.get(number) or self._over(trial_id)
            assert answer is not None
            return answer

    async def leave(self, trial_id: str, *, ended: bool = False) -> None:
        """Give the trial's lane to whoever comes next. May be called twice, and for trials that never had one.

        Args:
            trial_id: the trial's.
            ended: whether it comes back no more.
        """
        async with self._changed:
            if ended:
                self._ended.add(trial_id)
            home = self._homes.pop(trial_id, None)
            self._failures.pop(trial_id, None)
            if home is not None and self._lanes[home].trial_id == trial_id:
                self._lanes[home].trial_id = None
            self._close_idle_lanes()
            self._changed.notify_all()

    # Lanes

    async def expect(self, lanes: Sequence[str]) -> None:
        """These lanes are going to be asked for."""
        async with self._changed:
            for lane in lanes:
                self._lanes.setdefault(lane, LaneState())

    async def ask(self, lane: str, controller_pid: int) -> bool:
        """A worker group of the lane is about to be asked of the cluster. Returns whether it is still wanted.

        Args:
            lane: the lane's name.
            controller_pid: of the process, on the driver's host, that asks and that keeps the group up.
        """
        async with self._changed:
            state = self._lanes.setdefault(lane, LaneState())
            state.controller_pid = controller_pid
            state.waiting = not (self._closed or state.closed)
            return state.waiting

    async def placed(self, lane: str) -> None:
        """The cluster has given the lane what it asked for; its processes start."""
        self._lanes[lane].waiting = False

    async def open(self, lane: str, size: int) -> int | None:
        """A worker group of so many ranks has come up: its generation, or ``None`` if there is nothing left to do."""
        async with self._changed:
            state = self._lanes.setdefault(lane, LaneState())
            if self._closed or state.closed:
                return None
            self._fail_trial(
                state,
                Answer(
                    error=TrialError(
                        "its worker group was brought up again", where=state.trial_id or lane
                    ),
                    lost=True,
                ),
            )
            state.restart(size)
            self._changed.notify_all()
            return state.generation

    async def ready(
        self, lane: str, generation: int, rank: int, pid: int, base_loss: float
    ) -> None:
        """This rank has everything in place that stays warm; ``base_loss`` is the untouched base's validation loss."""
        async with self._changed:
            state = self._lanes[lane]
            self._base_loss = base_loss
            if state.generation == generation:
                state.ready_ranks.add(rank)
                state.pids[rank] = pid
                if state.ready:
                    state.was_ready, state.starts_lost = True, 0
                self._changed.notify_all()

    async def take(self, lane: str, generation: int, number: int) -> Command | None:
        """The lane's command of this number, once there is one; ``None`` when the lane should end."""
        state = self._lanes[lane]
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._is_over(state, generation) or len(state.commands) > number
            )
            if self._is_over(state, generation):
                return None
            return state.commands[number]

    async def answer(self, lane: str, generation: int, number: int, answer: Answer) -> None:
        """What became of the lane's command of this number."""
        async with self._changed:
            state = self._lanes[lane]
            if state.generation == generation:
                state.answers[number] = answer
                self._changed.notify_all()

    async def fail(self, lane: str, answer: Answer, *, restarting: bool = False) -> None:
        """The lane's worker group is lost, for this reason: its trial fails, and it takes no other until it is up again.

        A worker that raises says so itself, and Train's controller says so of every loss, once, with ``restarting``. A lane whose
        group is lost again before it was ready is given up: it would never come up.
        """
        async with self._changed:
            state = self._lanes.setdefault(lane, LaneState())
            state.ready_ranks = set()
            self._fail_trial(state, answer)
            if restarting:
                state.starts_lost += 0 if state.was_ready else 1
                state.was_ready = False
                if state.starts_lost >= STARTS_LOST_IN_A_ROW:
                    self._give_up(state, answer)
            self._changed.notify_all()

    async def give_up(self, lane: str, verdict: Answer) -> None:
        """The lane will not come up again, for this reason, which ends the sweep if no other lane is left."""
        async with self._changed:
            state = self._lanes.setdefault(lane, LaneState())
            if not state.closed:
                self._give_up(state, verdict)
            self._changed.notify_all()

    # The sweep

    async def close(self, verdict: Answer | None = None) -> None:
        """End every lane and every waiting trial; with a verdict, because of it. The first verdict stays."""
        async with self._changed:
            self._close(verdict)
            self._changed.notify_all()

    async def verdict(self) -> Answer | None:
        """Why no lane can go on, if that is so."""
        return self._verdict

    async def base_loss(self) -> float | None:
        """Validation loss of the untouched base, once a lane is ready."""
        return self._base_loss

    async def worker_pids(self) -> dict[str, dict[int, int]]:
        """The processes of each ready lane, by rank."""
        return {name: dict(state.pids) for name, state in self._lanes.items() if state.ready}

    async def controller_pids(self) -> dict[str, int]:
        """The process that keeps each lane up, of those lanes that have come so far."""
        return {
            name: state.controller_pid
            for name, state in self._lanes.items()
            if state.controller_pid is not None
        }

    async def census(self) -> LaneCounts:
        """How many lanes are up, and how many wait."""
        wanted = self._open_lanes()
        return LaneCounts(
            sum(lane.ready for lane in wanted),
            sum(lane.waiting for lane in wanted),
            len(wanted),
            tuple(self._given_up),
        )

    async def busy_lanes(self) -> dict[str, bool]:
        """Of each ready lane, whether it has a trial."""
        return {
            name: state.trial_id is not None for name, state in self._lanes.items() if state.ready
        }

    async def until_ready(self, lanes: int) -> bool:
        """Wait until so many lanes are ready; False if the dispatcher was closed first."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or sum(s.ready for s in self._lanes.values()) >= lanes
            )
            return not self._closed

    # Inside; all of these hold the lock

    def _over(self, trial_id: str) -> Answer | None:
        if self._verdict is not None:
            return self._verdict
        if self._closed:
            return Answer(error=TrialError("the sweep was stopped", where=trial_id))
        return self._failures.get(trial_id)

    def _is_over(self, state: LaneState, generation: int) -> bool:
        return self._closed or state.closed or state.generation != generation

    def _find_home(self, trial_id: str) -> bool:
        if trial_id in self._homes:
            return True
        free = next(
            (name for name, state in self._lanes.items() if state.ready and state.trial_id is None),
            None,
        )
        if free is None:
            return False
        self._homes[trial_id], self._lanes[free].trial_id = free, trial_id
        return True

    def _fail_trial(self, state: LaneState, answer: Answer) -> None:
        if state.trial_id is not None:
            self._failures.setdefault(state.trial_id, answer)
            self._homes.pop(state.trial_id, None)
            state.trial_id = None

    def _open_lanes(self) -> list[LaneState]:
        return [state for state in self._lanes.values() if not state.closed]

    def _close_idle_lanes(self) -> None:
        """Close as many lanes as there are more than trials to come; first those that are not up yet."""
        if self._trials is None:
            return
        idle = sorted(
            (state for state in self._open_lanes() if state.trial_id is None),
            key=lambda state: state.ready,
        )
        surplus = len(self._open_lanes()) - max(self._trials - len(self._ended), 1)
        for state in idle[: max(surplus, 0)]:
            state.closed = True

    def _give_up(self, state: LaneState, verdict: Answer) -> None:
        """The rest of the lanes go on without it; the last one's reason is the sweep's."""
        self._fail_trial(state, dataclasses.replace(verdict, lost=True))
        state.closed = True
        self._given_up.append(str(verdict.error))
        if not self._open_lanes():
            self._close(verdict)

    def _close(self, verdict: Answer | None) -> None:
        self._closed = True
        self._verdict = self._verdict or verdict
