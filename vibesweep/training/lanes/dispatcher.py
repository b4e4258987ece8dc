"""Assigns trials to lanes: a trial asks for steps, a lane trains them, the answer goes back.

A trial lives in Tune and wants to be trained to a step. A lane is a worker group that stays up. The
dispatcher gives a trial a seat on a lane when it first asks and keeps it there until the trial is
released. Each seat's commands are a numbered list, so every rank of the lane reads the same
commands in the same order.

A command and its answer wake those who wait at that seat, and nobody else: with thousands of lanes
to wake them all would take longer than the answer.

What a worker says carries its generation, the number of its worker group: a worker that is left of
a lost group, or whose call comes late, has no say in what its successor does.

:mod:`vibesweep.training.lanes.assignments` decides; here trials and workers wait for it. This is a
plain asyncio class without Ray; :mod:`vibesweep.training.lanes.lane` makes it an actor.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Collection, Sequence

from vibesweep.training.lanes.assignments import Assignments
from vibesweep.training.lanes.messages import Answer, Command, LaneCounts, Pace, RankError


class LaneDispatcher:
    """Joins trials and lanes. No method blocks the others while it waits.

    Args:
        trials: as for :class:`Assignments`.
        sweep: name of the sweep, by which the dashboard tells dispatchers apart.
        trials_per_lane: as for :class:`Assignments`.
    """

    def __init__(
        self, trials: int | None = None, sweep: str = "", trials_per_lane: int = 1
    ) -> None:
        self._sweep = sweep
        self._assignments = Assignments(trials, trials_per_lane)
        self._lanes = self._assignments.lanes
        self._base_loss: float | None = None
        self._pace: Pace | None = None
        lock = asyncio.Lock()
        self._changed = asyncio.Condition(lock)
        self._seat_changed: defaultdict[str, asyncio.Condition] = defaultdict(
            lambda: asyncio.Condition(lock)
        )

    def __repr__(self) -> str:
        """Name the actor in Ray's dashboard, and its calls."""
        return f"LaneDispatcher({self._sweep})"

    # Called by trials

    async def advance(self, command: Command) -> Answer:
        """Have a lane train a trial to the last of ``command.report_steps``.

        A trial that has no seat waits for a free one first. One that has to wait since the user has
        paused the sweep has its state saved before.
        """
        trial_id = command.trial_id
        assignments = self._assignments
        async with self._changed:
            if assignments.saves_before_it_waits(trial_id):
                await self._answer_to(dataclasses.replace(command, report_steps=()))
            await self._changed.wait_for(lambda: assignments.can_proceed(trial_id))
            return assignments.end_of(trial_id) or await self._answer_to(command)

    async def _answer_to(self, command: Command) -> Answer:
        """Hand a command to the trial's lane, and wait for its answer, or for the trial's end."""
        trial_id = command.trial_id
        seat = self._assignments.assign(trial_id)
        number = seat.append(command)
        answers = seat.answers  # of this generation: the next one has a dict of its own
        changed = self._seat_changed[seat.name]
        changed.notify_all()
        await changed.wait_for(lambda: number in answers or self._assignments.end_of(trial_id))
        answer = answers.get(number) or self._assignments.end_of(trial_id)
        assert answer is not None
        return answer

    async def release(self, trial_id: str, *, ended: bool = False) -> None:
        """Free the trial's seat for another trial.

        May be called twice, and for trials that never had a seat.

        Args:
            trial_id: the trial that gives up its seat.
            ended: whether the trial will not ask again.
        """
        async with self._changed:
            if self._assignments.release(trial_id, ended=ended):
                self._wake_all()
            else:
                self._changed.notify_all()

    # Called by a lane's workers, with the generation of their worker group

    async def open_generation(self, lane: str, size: int) -> int | None:
        """Note that a worker group of ``size`` ranks has come up.

        Returns:
            The group's generation, or ``None`` if there is nothing left to do.
        """
        async with self._changed:
            generation = self._assignments.begin_generation(lane, size)
            self._wake_all()
            return generation

    async def may_begin(
        self, lane: str, generation: int, rank: int, refusal: Answer | None = None
    ) -> bool:
        """Wait until every rank has opened its worker context, or one of them could not.

        All ranks get the same answer, before any of them waits for another in a collective. A lane
        with a rank that could not is given up: the others go on.

        Args:
            lane: name of the lane.
            generation: worker group that the rank belongs to.
            rank: rank within the lane.
            refusal: why this rank could not open its worker context, if that is so.

        Returns:
            Whether the ranks may train together; otherwise the worker ends.
        """
        async with self._changed:
            assignments = self._assignments
            state = self._lanes[lane]
            if assignments.should_end(state, generation):
                return False
            if refusal is None:
                state.opened_ranks.add(rank)
            else:
                assignments.give_up(lane, refusal)
            self._wake_all()
            await self._changed.wait_for(
                lambda: state.opened or assignments.should_end(state, generation)
            )
            return state.generation == generation and state.opened

    async def most_trials(self, lane: str) -> int:
        """Return how many trials the lane may train at the same time."""
        return len(self._assignments.state_of(lane).seats)

    async def report_ready(
        self, lane: str, generation: int, rank: int, base_loss: float, pace: Pace, trials: int
    ) -> None:
        """Note that a rank can train.

        Args:
            lane: name of the lane.
            generation: worker group that the rank belongs to; a former one is ignored.
            rank: rank within the lane.
            base_loss: validation loss of the untouched base.
            pace: how fast the rank is.
            trials: that it has room for at the same time.
        """
        async with self._changed:
            self._base_loss = base_loss
            self._pace = pace
            state = self._lanes[lane]
            if state.generation == generation:
                state.mark_ready(rank, trials)
                self._changed.notify_all()

    async def next_command(
        self, lane: str, generation: int, number: int, seat: int = 0
    ) -> Command | None:
        """Wait for a seat's command of this number; ``None`` tells the lane to end.

        A command that one rank has taken goes to all of them, or that rank would wait for ever.
        """
        state = self._lanes[lane]
        own = state.seats[seat]
        changed = self._seat_changed[own.name]
        async with changed:
            await changed.wait_for(
                lambda: (
                    self._assignments.should_end(state, generation) or len(own.commands) > number
                )
            )
            if state.generation != generation:
                return None
            if number < own.taken or not self._assignments.should_end(state, generation):
                return own.take(number)
            return None

    async def record_answer(
        self, lane: str, generation: int, number: int, answer: Answer, seat: int = 0
    ) -> None:
        """Record the result of a seat's command of this number."""
        async with self._changed:
            state = self._lanes[lane]
            if state.generation == generation:
                own = state.seats[seat]
                own.answers[number] = answer
                self._seat_changed[own.name].notify_all()

    async def tell_error(self, lane: str, generation: int, rank: int, error: RankError) -> None:
        """Keep a worker's exception until Train's controller says what became of the group.

        The lane takes no other trial from now on.
        """
        async with self._changed:
            state = self._lanes[lane]
            if state.generation == generation:
                state.errors[rank] = error

    # Called by Train's controller of a lane, which does one thing after the other

    async def request_start(self, lane: str, controller_pid: int) -> bool:
        """Note that the lane is about to ask the cluster for its worker group.

        Args:
            lane: name of the lane.
            controller_pid: process, on the driver's host, that asks and keeps the group up.

        Returns:
            Whether the lane is still wanted.
        """
        async with self._changed:
            state = self._assignments.state_of(lane)
            state.controller_pid = controller_pid
            wanted = not (self._assignments.closed or state.closed)
            if wanted:
                state.ask_for_hosts()
            return wanted

    async def mark_placed(self, lane: str, hosts: Collection[str]) -> None:
        """Note that the cluster had room for the lane, whose processes are on these hosts."""
        self._lanes[lane].mark_placed(hosts)

    async def fail_worker_group(
        self, lane: str, seen: Answer, hosts_up: Collection[str] = ()
    ) -> None:
        """End the lane's trials: its worker group is lost. Train brings it up again.

        Args:
            lane: name of the lane.
            seen: what the controller saw; ``lost`` if a process died.
            hosts_up: the cluster's hosts by now; empty where nobody has looked.
        """
        async with self._changed:
            self._assignments.lose_group(lane, seen, hosts_up)
            self._wake_all()

    # Called by the sweep

    async def register(self, lanes: Sequence[str]) -> None:
        """Count these lanes as wanted before any of them has asked for hosts."""
        async with self._changed:
            for lane in lanes:
                self._assignments.state_of(lane)

    async def give_up(self, lane: str, reason: Answer) -> None:
        """Close a lane that will not come up again; the sweep ends if it was the last one."""
        async with self._changed:
            self._assignments.give_up(lane, reason)
            self._wake_all()

    async def set_paused(self, paused: bool, *, saves: bool = False) -> None:
        """Let no trial go on after its next report, or let all of them go on.

        Args:
            paused: whether they wait.
            saves: whether their states are saved before.
        """
        async with self._changed:
            self._assignments.paused = paused
            self._assignments.saves = saves
            self._changed.notify_all()

    async def expect_another_trial(self) -> None:
        """Count one trial more than was announced, so that lanes stay open for it."""
        async with self._changed:
            self._assignments.expect_another_trial()

    async def close(self) -> None:
        """End every lane and every waiting trial."""
        async with self._changed:
            self._assignments.closed = True
            self._wake_all()

    async def is_closed(self) -> bool:
        """Return whether no trial gets a lane any more."""
        return self._assignments.closed

    async def sweep_failure(self) -> Answer | None:
        """Return why no lane can go on, if that is so."""
        return self._assignments.failure

    async def base_loss(self) -> float | None:
        """Return the untouched base's validation loss, once a lane is ready."""
        return self._base_loss

    async def pace(self) -> Pace | None:
        """Return how fast the lane is that was ready last, once one is."""
        return self._pace

    async def trials_of_a_lane(self) -> int:
        """Return how many trials a lane that is ready trains at the same time, at most."""
        ready = [lane for lane in self._lanes.values() if lane.ready]
        return max([len(lane.seats) for lane in ready], default=1)

    async def controller_pids(self) -> dict[str, int]:
        """Return the process that keeps each lane up, for the lanes that have asked so far."""
        return {
            name: state.controller_pid
            for name, state in self._lanes.items()
            if state.controller_pid is not None
        }

    async def lane_counts(self) -> LaneCounts:
        """Count the lanes that are up, waiting and wanted."""
        return self._assignments.counts()

    async def busy_lanes(self) -> dict[str, bool]:
        """Return for each ready lane whether it has a trial."""
        return {name: bool(state.trial_ids) for name, state in self._lanes.items() if state.ready}

    async def wait_until_ready(self, lanes: int) -> bool:
        """Wait until this number of lanes is ready; False if the dispatcher was closed first."""
        assignments = self._assignments
        async with self._changed:
            await self._changed.wait_for(lambda: assignments.closed or self._ready_lanes() >= lanes)
            return not assignments.closed

    def _wake_all(self) -> None:
        """Have everybody look: what has changed concerns more than one seat, or ends a lane."""
        self._changed.notify_all()
        for changed in self._seat_changed.values():
            changed.notify_all()

    def _ready_lanes(self) -> int:
        return sum(state.ready for state in self._lanes.values())
