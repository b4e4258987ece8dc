"""Assigns trials to lanes: a trial asks for steps, a lane trains them, the answer goes back.

A trial lives in Tune and wants to be trained to a step. A lane is a worker group that stays up. The
dispatcher gives a trial a free lane when it first asks and keeps it there until the trial is
released. Each lane's commands are a numbered list, so every rank of the lane reads the same
commands in the same order.

This is a plain asyncio class without Ray; :mod:`vibesweep.training.lanes.lane` makes it an actor.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from operator import attrgetter

from vibesweep.errors import TrialError
from vibesweep.training.lanes.lane_state import LaneState
from vibesweep.training.lanes.messages import Answer, Command, LaneCounts


class LaneDispatcher:
    """Joins trials and lanes. No method blocks the others while it waits.

    Args:
        trials: trials of the whole sweep: when fewer are left than there are lanes, spare lanes are
            closed. ``None`` closes none.
        sweep: name of the sweep, by which the dashboard tells dispatchers apart.
    """

    def __init__(self, trials: int | None = None, sweep: str = "") -> None:
        self._trials = trials
        self._sweep = sweep
        self._ended_trials: set[str] = set()
        self._lanes: dict[str, LaneState] = {}
        self._lane_of_trial: dict[str, LaneState] = {}
        self._failed_trials: dict[str, Answer] = {}
        self._closed = False
        self._sweep_failure: Answer | None = None
        self._given_up: list[str] = []
        self._base_loss: float | None = None
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        """Name the actor in Ray's dashboard, and its calls."""
        return f"LaneDispatcher({self._sweep})"

    # Called by trials

    async def advance(self, command: Command) -> Answer:
        """Have a lane train a trial to ``command.until_step``.

        A trial that has no lane waits for a free one first.
        """
        trial_id = command.trial_id
        async with self._changed:
            await self._changed.wait_for(lambda: self._can_proceed(trial_id))
            end = self._end_of(trial_id)
            if end is not None:
                return end
            lane = self._assign_lane(trial_id)
            number = lane.append(command)
            answers = lane.answers  # of this generation: the next one has a dict of its own
            self._changed.notify_all()
            await self._changed.wait_for(lambda: number in answers or self._end_of(trial_id))
            answer = answers.get(number) or self._end_of(trial_id)
            assert answer is not None
            return answer

    async def release(self, trial_id: str, *, ended: bool = False) -> None:
        """Free the trial's lane for another trial.

        May be called twice, and for trials that never had a lane.

        Args:
            trial_id: the trial that gives up its lane.
            ended: whether the trial will not ask again.
        """
        async with self._changed:
            if ended:
                self._ended_trials.add(trial_id)
            self._failed_trials.pop(trial_id, None)
            lane = self._lane_of_trial.pop(trial_id, None)
            if lane is not None and lane.trial_id == trial_id:
                lane.trial_id = None
            self._close_spare_lanes()
            self._changed.notify_all()

    # Called by lanes

    async def register(self, lanes: Sequence[str]) -> None:
        """Count these lanes as wanted before any of them has asked for hosts."""
        async with self._changed:
            for lane in lanes:
                self._state_of(lane)

    async def request_start(self, lane: str, controller_pid: int) -> bool:
        """Note that the lane is about to ask the cluster for its worker group.

        Args:
            lane: name of the lane.
            controller_pid: process, on the driver's host, that asks and keeps the group up.

        Returns:
            Whether the lane is still wanted.
        """
        async with self._changed:
            state = self._state_of(lane)
            state.controller_pid = controller_pid
            state.waiting = not (self._closed or state.closed)
            return state.waiting

    async def mark_placed(self, lane: str) -> None:
        """Note that the cluster has room for the lane, whose processes start now."""
        self._lanes[lane].waiting = False

    async def open_generation(self, lane: str, size: int) -> int | None:
        """Note that a worker group of ``size`` ranks has come up.

        Returns:
            The group's generation, or ``None`` if there is nothing left to do.
        """
        async with self._changed:
            state = self._state_of(lane)
            if self._closed or state.closed:
                return None
            where = state.trial_id or lane
            restarted = TrialError("its worker group was brought up again", where=where)
            self._fail_trial_on(state, Answer(error=restarted, lost=True))
            state.begin_generation(size)
            self._changed.notify_all()
            return state.generation

    async def report_ready(self, lane: str, generation: int, rank: int, base_loss: float) -> None:
        """Note that a rank has opened its worker context.

        Args:
            lane: name of the lane.
            generation: worker group that the rank belongs to; a former one is ignored.
            rank: rank within the lane.
            base_loss: validation loss of the untouched base.
        """
        async with self._changed:
            self._base_loss = base_loss
            state = self._lanes[lane]
            if state.generation == generation:
                state.mark_ready(rank)
                self._changed.notify_all()

    async def next_command(self, lane: str, generation: int, number: int) -> Command | None:
        """Wait for the lane's command of this number; ``None`` tells the lane to end."""
        state = self._lanes[lane]
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._should_end(state, generation) or len(state.commands) > number
            )
            if self._should_end(state, generation):
                return None
            return state.commands[number]

    async def record_answer(self, lane: str, generation: int, number: int, answer: Answer) -> None:
        """Record the result of the lane's command of this number."""
        async with self._changed:
            state = self._lanes[lane]
            if state.generation == generation:
                state.answers[number] = answer
                self._changed.notify_all()

    async def fail_worker_group(
        self, lane: str, answer: Answer, *, restarting: bool = False
    ) -> None:
        """Fail the lane's trial: its worker group is lost, and takes no other until it is up again.

        A worker that raises reports itself. Train's controller reports every loss once, with
        ``restarting``. A lane that loses its group again before it was ready is given up.
        """
        async with self._changed:
            state = self._state_of(lane)
            state.ready_ranks = set()
            self._fail_trial_on(state, answer)
            if restarting:
                state.count_loss()
                if state.never_comes_up:
                    self._give_up(state, answer)
            self._changed.notify_all()

    async def give_up(self, lane: str, reason: Answer) -> None:
        """Close a lane that will not come up again; the sweep ends if it was the last one."""
        async with self._changed:
            state = self._state_of(lane)
            if not state.closed:
                self._give_up(state, reason)
            self._changed.notify_all()

    # Called by the sweep

    async def close(self, failure: Answer | None = None) -> None:
        """End every lane and every waiting trial; the first ``failure`` given stays the sweep's."""
        async with self._changed:
            self._close(failure)
            self._changed.notify_all()

    async def sweep_failure(self) -> Answer | None:
        """Return why no lane can go on, if that is so."""
        return self._sweep_failure

    async def base_loss(self) -> float | None:
        """Return the untouched base's validation loss, once a lane is ready."""
        return self._base_loss

    async def controller_pids(self) -> dict[str, int]:
        """Return the process that keeps each lane up, for the lanes that have asked so far."""
        return {
            name: state.controller_pid
            for name, state in self._lanes.items()
            if state.controller_pid is not None
        }

    async def lane_counts(self) -> LaneCounts:
        """Count the lanes that are up, waiting and wanted."""
        wanted = self._open_lanes()
        up = sum(state.ready for state in wanted)
        waiting = sum(state.waiting for state in wanted)
        return LaneCounts(up, waiting, len(wanted), tuple(self._given_up))

    async def busy_lanes(self) -> dict[str, bool]:
        """Return for each ready lane whether it has a trial."""
        return {
            name: state.trial_id is not None for name, state in self._lanes.items() if state.ready
        }

    async def wait_until_ready(self, lanes: int) -> bool:
        """Wait until so many lanes are ready; False if the dispatcher was closed first."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._ready_lanes() >= lanes)
            return not self._closed

    # Inside: the caller holds the lock

    def _state_of(self, lane: str) -> LaneState:
        return self._lanes.setdefault(lane, LaneState())

    def _can_proceed(self, trial_id: str) -> bool:
        """Whether the trial is over, has a lane, or can have one."""
        if self._end_of(trial_id) is not None or trial_id in self._lane_of_trial:
            return True
        return self._free_lane() is not None

    def _end_of(self, trial_id: str) -> Answer | None:
        """Why the trial cannot go on, if that is so."""
        if self._sweep_failure is not None:
            return self._sweep_failure
        if self._closed:
            return Answer(error=TrialError("the sweep was stopped", where=trial_id))
        return self._failed_trials.get(trial_id)

    def _assign_lane(self, trial_id: str) -> LaneState:
        """Return the trial's lane; a trial without one takes the first free lane."""
        if trial_id not in self._lane_of_trial:
            lane = self._free_lane()
            assert lane is not None
            lane.trial_id = trial_id
            self._lane_of_trial[trial_id] = lane
        return self._lane_of_trial[trial_id]

    def _free_lane(self) -> LaneState | None:
        return next((state for state in self._lanes.values() if state.free), None)

    def _ready_lanes(self) -> int:
        return sum(state.ready for state in self._lanes.values())

    def _open_lanes(self) -> list[LaneState]:
        return [state for state in self._lanes.values() if not state.closed]

    def _should_end(self, lane: LaneState, generation: int) -> bool:
        return self._closed or lane.closed or lane.generation != generation

    def _fail_trial_on(self, lane: LaneState, answer: Answer) -> None:
        trial_id = lane.trial_id
        if trial_id is not None:
            self._failed_trials.setdefault(trial_id, answer)
            self._lane_of_trial.pop(trial_id, None)
            lane.trial_id = None

    def _close_spare_lanes(self) -> None:
        """Close the lanes that exceed the trials to come; first those that are not up yet."""
        if self._trials is None:
            return
        open_lanes = self._open_lanes()
        needed = max(self._trials - len(self._ended_trials), 1)
        spare = max(len(open_lanes) - needed, 0)
        idle = [lane for lane in open_lanes if lane.trial_id is None]
        idle.sort(key=attrgetter("ready"))
        for lane in idle[:spare]:
            lane.closed = True

    def _give_up(self, lane: LaneState, reason: Answer) -> None:
        """Go on without this lane; the last lane's reason becomes the sweep's failure."""
        self._fail_trial_on(lane, dataclasses.replace(reason, lost=True))
        lane.closed = True
        self._given_up.append(str(reason.error))
        if not self._open_lanes():
            self._close(reason)

    def _close(self, failure: Answer | None) -> None:
        self._closed = True
        if self._sweep_failure is None:
            self._sweep_failure = failure
