"""Which trial has which lane, and which of both have ended. Nothing here waits."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from operator import attrgetter

from vibesweep.errors import TrialError
from vibesweep.training.lanes.endings import counts_against_lane, ending_of
from vibesweep.training.lanes.lane_state import LaneSeat, LaneState
from vibesweep.training.lanes.messages import Answer, LaneCounts


class Assignments:
    """What the dispatcher decides by.

    Args:
        trials: trials of the whole sweep: when fewer are left than there are lanes, spare lanes are
            closed. ``None`` closes none.
        trials_per_lane: most trials that a lane trains at the same time.

    Attributes:
        lanes: the lanes by name.
        closed: whether the sweep has ended.
        paused: whether trials wait, with their lanes, before they go on.
        saves: whether the states of those that wait so are saved.
        failure: why no lane can go on, if that is so.
    """

    def __init__(self, trials: int | None = None, trials_per_lane: int = 1) -> None:
        self.lanes: dict[str, LaneState] = {}
        self.closed = False
        self.paused = False
        self.saves = False
        self.failure: Answer | None = None
        self._trials = trials
        self._trials_per_lane = trials_per_lane
        self._ended_trials: set[str] = set()
        self._seat_of_trial: dict[str, LaneSeat] = {}
        self._failed_trials: dict[str, Answer] = {}
        self._given_up: list[str] = []
        self._crowded: list[str] = []

    # Trials

    def can_proceed(self, trial_id: str) -> bool:
        """Whether the trial is over, has a lane, or can have one."""
        if self.end_of(trial_id) is not None:
            return True
        if self.paused:
            return False
        return trial_id in self._seat_of_trial or self._free_seat() is not None

    def saves_before_it_waits(self, trial_id: str) -> bool:
        """Whether the trial has to wait now, and a lane holds it that is to save its state."""
        has_lane = trial_id in self._seat_of_trial and self.end_of(trial_id) is None
        return self.paused and self.saves and has_lane

    def end_of(self, trial_id: str) -> Answer | None:
        """Return why the trial cannot go on, if that is so."""
        if self.failure is not None:
            return dataclasses.replace(self.failure, sweep_over=True)
        if self.closed:
            stopped = TrialError("the sweep was stopped", where=trial_id)
            return Answer(error=stopped, sweep_over=True)
        return self._failed_trials.get(trial_id)

    def assign(self, trial_id: str) -> LaneSeat:
        """Return the trial's seat; a trial without one takes one of the emptiest lane's."""
        if trial_id not in self._seat_of_trial:
            seat = self._free_seat()
            assert seat is not None
            seat.trial_id = trial_id
            self._seat_of_trial[trial_id] = seat
        return self._seat_of_trial[trial_id]

    def release(self, trial_id: str, *, ended: bool) -> bool:
        """Free the trial's seat, and close the lanes that nobody needs any more.

        Args:
            trial_id: the trial that gives up its seat.
            ended: whether the trial will not ask again.

        Returns:
            Whether a lane was closed.
        """
        if ended:
            self._ended_trials.add(trial_id)
        self._failed_trials.pop(trial_id, None)
        seat = self._seat_of_trial.pop(trial_id, None)
        if seat is not None:
            seat.trial_id = None
        return self._close_spare_lanes()

    def expect_another_trial(self) -> None:
        """Count a trial more for the whole sweep."""
        if self._trials is not None:
            self._trials += 1

    # Lanes

    def state_of(self, lane: str) -> LaneState:
        """Return a lane's state; a lane that was not heard of before gets a fresh one."""
        if lane not in self.lanes:
            numbers = range(self._trials_per_lane)
            seats = [LaneSeat(name=f"{lane} seat {number}") for number in numbers]
            self.lanes[lane] = LaneState(seats=seats)
        return self.lanes[lane]

    def should_end(self, lane: LaneState, generation: int) -> bool:
        """Whether a worker of this generation takes no further command."""
        return self.closed or lane.closed or lane.generation != generation

    def begin_generation(self, lane: str, size: int) -> int | None:
        """Note that a worker group has come up; return its generation, or ``None`` to end it."""
        state = self.state_of(lane)
        if self.closed or state.closed:
            return None
        for trial_id in state.trial_ids:
            restarted = TrialError("its worker group was brought up again", where=trial_id)
            self._fail_trial(trial_id, Answer(error=restarted, lost=True))
        state.begin_generation(size)
        return state.generation

    def lose_group(self, lane: str, seen: Answer, hosts_up: Collection[str]) -> None:
        """End each of the lane's trials as what was seen, and what its workers told, demand.

        A lane that has lost too many worker groups is given up.

        Args:
            lane: its name.
            seen: what the controller saw.
            hosts_up: the cluster's hosts by now; empty where nobody has looked.
        """
        state = self.state_of(lane)
        told = [state.errors[rank] for rank in sorted(state.errors)]
        reason = ending_of(None, seen, told)
        for trial_id in state.trial_ids:
            reason = ending_of(trial_id, seen, told)
            self._fail_trial(trial_id, reason)
        if any(error.answer.crowded for error in told):
            state.take_fewer()
            now = f"from now on it trains at most {len(state.seats)} at a time"
            self._crowded.append(f"{lane} ran out of memory; {now}")
        counts = counts_against_lane(seen, told)
        state.lose_group(hosts_up, counts=counts, host_died=seen.host_died)
        if state.never_comes_up:
            self.give_up(lane, reason)

    def give_up(self, lane: str, reason: Answer) -> None:
        """Go on without this lane; the last lane's reason becomes the sweep's failure."""
        state = self.state_of(lane)
        if state.closed:
            return
        for trial_id in state.trial_ids:
            self._fail_trial(trial_id, dataclasses.replace(reason, lost=True))
        state.closed = True
        self._given_up.append(str(reason.error))
        if not self._open_lanes():
            self.closed = True
            self.failure = reason

    def counts(self) -> LaneCounts:
        """Count the lanes that are up, waiting and wanted."""
        wanted = self._open_lanes()
        since_each = [state.waiting_since_unix_s for state in wanted]
        waiting_since = [since for since in since_each if since is not None]
        slow = [
            f"{name} has been {lane.slow_start}"
            for name, lane in self.lanes.items()
            if lane.slow_start and not lane.closed
        ]
        return LaneCounts(
            up=sum(state.ready for state in wanted),
            waiting=len(waiting_since),
            wanted=len(wanted),
            given_up=tuple(self._given_up),
            slow=tuple(slow),
            waiting_since_unix_s=min(waiting_since, default=None),
            crowded=tuple(self._crowded),
        )

    def _free_seat(self) -> LaneSeat | None:
        """Return a seat of the lane that trains the fewest trials."""
        free = [state for state in self.lanes.values() if state.free]
        if not free:
            return None
        emptiest = min(free, key=_count_trials)
        return emptiest.free_seat()

    def _open_lanes(self) -> list[LaneState]:
        return [state for state in self.lanes.values() if not state.closed]

    def _fail_trial(self, trial_id: str, answer: Answer) -> None:
        """End a trial that has a seat, and free that."""
        self._failed_trials.setdefault(trial_id, answer)
        seat = self._seat_of_trial.pop(trial_id)
        seat.trial_id = None

    def _close_spare_lanes(self) -> bool:
        """Close the lanes that exceed the trials to come; first those that are not up yet.

        Returns:
            Whether there was one to close.
        """
        if self._trials is None:
            return False
        open_lanes = self._open_lanes()
        trials_left = max(self._trials - len(self._ended_trials), 1)
        seats = sum(len(lane.seats) for lane in open_lanes)
        idle = [lane for lane in open_lanes if not lane.trial_ids]
        idle.sort(key=attrgetter("ready"))
        closed = False
        for lane in idle:
            if seats - len(lane.seats) >= trials_left:
                lane.closed = True
                closed = True
                seats -= len(lane.seats)
        return closed


def _count_trials(lane: LaneState) -> int:
    return len(lane.trial_ids)
