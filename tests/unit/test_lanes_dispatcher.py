"""How the dispatcher joins trials and lanes, in one event loop. No Ray."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from unittest import mock

import pytest

from vibesweep.config import Report, TrialSettings
from vibesweep.errors import TrialError
from vibesweep.training.lanes import lane_state
from vibesweep.training.lanes.assignments import Assignments
from vibesweep.training.lanes.dispatcher import LaneDispatcher
from vibesweep.training.lanes.failures import trial_failure
from vibesweep.training.lanes.messages import Answer, Command, LaneCounts, Pace, RankError

LANE = "lane"
PACE = Pace(step_s=0.5, validation_s=1.0)
MANY = 8
"""Trials that a rank has room for."""
LOST = Answer(error=TrialError("its process died"), lost=True)
SEEN = Answer(error=TrialError("worker 0 of lane was lost: TrialError"))
BROKEN = Answer(error=TrialError("a fault of this trial's"))


def command(trial_id: str, until: int = 1) -> Command:
    return Command(trial_id, TrialSettings(), (until,))


def report(step: int) -> Answer:
    return Answer(report=Report(step, 0.5, 0.5, 1.0, ()))


async def up(dispatcher: LaneDispatcher, lane: str = LANE, size: int = 1) -> int:
    """Bring up a worker group."""
    generation = await dispatcher.open_generation(lane, size)
    assert generation is not None
    for rank in range(size):
        await dispatcher.report_ready(lane, generation, rank, 2.0, PACE, MANY)
    return generation


async def settled(task: asyncio.Task[Any]) -> bool:
    """Let every task run until all of them wait; return whether this one is done."""
    for _ in range(20):
        await asyncio.sleep(0)
    return task.done()


async def serve(dispatcher: LaneDispatcher, generation: int, number: int) -> Command | None:
    """Run one command, as the only rank of a lane."""
    taken = await dispatcher.next_command(LANE, generation, number)
    if taken is not None:
        await dispatcher.record_answer(LANE, generation, number, report(taken.report_steps[-1]))
    return taken


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop; none of them takes a second."""

    def run() -> None:
        asyncio.run(_bounded(test()))

    run.__name__ = test.__name__
    return run


async def _bounded(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, 5.0)


@in_a_loop
async def test_a_trial_waits_for_a_lane_and_gets_its_answers_in_order() -> None:
    dispatcher = LaneDispatcher()
    asked = asyncio.create_task(dispatcher.advance(command("a", 3)))
    assert not await settled(asked)
    generation = await up(dispatcher)
    assert await serve(dispatcher, generation, 0) == command("a", 3)
    assert await asked == report(3)
    again = asyncio.create_task(dispatcher.advance(command("a", 6)))
    assert await serve(dispatcher, generation, 1) == command("a", 6)
    assert await again == report(6)


@in_a_loop
async def test_a_second_trial_gets_the_lane_when_the_first_is_released() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    first = asyncio.create_task(dispatcher.advance(command("a")))
    await serve(dispatcher, generation, 0)
    await first
    second = asyncio.create_task(dispatcher.advance(command("b")))
    assert not await settled(second)
    await dispatcher.release("a")
    await dispatcher.release("a")
    await dispatcher.release("never came")
    assert await serve(dispatcher, generation, 1) == command("b")
    assert await second == report(1)


@in_a_loop
async def test_a_lane_is_busy_while_it_has_a_trial() -> None:
    dispatcher = LaneDispatcher(sweep="mine")
    assert repr(dispatcher) == "LaneDispatcher(mine)"
    assert await dispatcher.busy_lanes() == {}
    await up(dispatcher)
    assert await dispatcher.busy_lanes() == {LANE: False}
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    assert await dispatcher.busy_lanes() == {LANE: True}
    await dispatcher.fail_worker_group(LANE, LOST)
    assert await asked == LOST
    assert await dispatcher.busy_lanes() == {}


@in_a_loop
async def test_every_rank_reads_the_same_commands_and_the_lane_is_ready_when_all_are() -> None:
    dispatcher = LaneDispatcher()
    generation = await dispatcher.open_generation(LANE, 2)
    assert generation == 1
    ready = asyncio.create_task(dispatcher.wait_until_ready(1))
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    await dispatcher.report_ready(LANE, 1, 0, 2.0, PACE, MANY)
    assert not await settled(ready)
    assert await dispatcher.busy_lanes() == {}
    await dispatcher.report_ready(LANE, 1, 1, 2.0, PACE, MANY)
    assert await ready
    assert await dispatcher.busy_lanes() == {LANE: True}
    assert await dispatcher.base_loss() == 2.0
    assert await dispatcher.pace() == PACE
    assert (
        await dispatcher.next_command(LANE, 1, 0)
        == await dispatcher.next_command(LANE, 1, 0)
        == command("a")
    )
    asked.cancel()


@in_a_loop
async def test_a_lost_worker_group_costs_the_trial_and_the_next_waits_for_the_new_one() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    doomed = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(doomed)
    await dispatcher.fail_worker_group(LANE, LOST)
    assert await doomed == LOST
    assert await dispatcher.advance(command("a")) == LOST, "it stays lost until it leaves"
    await dispatcher.release("a")
    following = asyncio.create_task(dispatcher.advance(command("b")))
    assert not await settled(following), "no lane is up"
    second = await up(dispatcher)
    assert second == generation + 1
    assert await dispatcher.next_command(LANE, generation, 0) is None, (
        "what is left of the old group ends"
    )
    await dispatcher.record_answer(LANE, generation, 0, report(99))
    assert await serve(dispatcher, second, 0) == command("b")
    assert await following == report(1)


@in_a_loop
async def test_a_loss_between_two_reports_is_reported_at_the_next() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    await serve(dispatcher, generation, 0)
    await asked
    await dispatcher.fail_worker_group(LANE, LOST)
    await up(dispatcher)
    assert await dispatcher.advance(command("a", 2)) == LOST


@in_a_loop
async def test_a_group_that_comes_up_unannounced_fails_the_trial_of_the_old_one() -> None:
    dispatcher = LaneDispatcher()
    await up(dispatcher)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await up(dispatcher)
    answer = await asked
    assert "brought up again" in str(answer.error)


@in_a_loop
async def test_a_group_lost_three_times_before_it_was_ready_ends_the_sweep() -> None:
    dispatcher = LaneDispatcher()
    waiting = asyncio.create_task(dispatcher.wait_until_ready(1))
    for _ in range(3):
        assert await dispatcher.open_generation(LANE, 1) is not None
        assert await dispatcher.sweep_failure() is None
        await dispatcher.fail_worker_group(LANE, LOST)
    assert await waiting is False
    assert await dispatcher.sweep_failure() == LOST
    assert await dispatcher.open_generation(LANE, 1) is None


@in_a_loop
async def test_hosts_that_die_one_after_the_other_as_a_lane_comes_up_do_not_end_it() -> None:
    dispatcher = LaneDispatcher()
    host_gone = dataclasses.replace(LOST, host_died=True)
    for _ in range(3):
        assert await dispatcher.open_generation(LANE, 1) is not None
        await dispatcher.fail_worker_group(LANE, host_gone)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    generation = await up(dispatcher)
    await serve(dispatcher, generation, 0)
    assert await asked == report(1)


@pytest.mark.parametrize(
    ("hosts_up", "given_up"), [(["head", "b", "c"], False), (["head", "a", "b", "c"], True)]
)
def test_starts_that_were_lost_with_a_host_do_not_count_when_the_next_is_lost(
    hosts_up: list[str], given_up: bool
) -> None:
    """Ray calls a host dead half a minute later: at first it says that all of them are up."""
    all_up = ["head", "a", "b", "c"]

    async def lose_three_starts() -> bool:
        dispatcher = LaneDispatcher()
        for host, seen_up in (("a", all_up), ("b", all_up), ("c", hosts_up)):
            assert await dispatcher.request_start(LANE, 1)
            await dispatcher.mark_placed(LANE, [host])
            await dispatcher.fail_worker_group(LANE, LOST, seen_up)
        return await dispatcher.sweep_failure() is not None

    assert asyncio.run(lose_three_starts()) is given_up


@in_a_loop
async def test_a_lane_whose_hosts_die_without_end_is_given_up() -> None:
    dispatcher = LaneDispatcher()
    host_gone = dataclasses.replace(LOST, host_died=True)
    for _ in range(lane_state.RESTARTS + 1):
        assert await dispatcher.open_generation(LANE, 1) is not None
        await dispatcher.fail_worker_group(LANE, host_gone)
    assert await dispatcher.sweep_failure() == host_gone


@in_a_loop
async def test_losses_of_a_lane_that_was_ready_in_between_do_not_add_up() -> None:
    dispatcher = LaneDispatcher()
    for _ in range(4):
        await up(dispatcher)
        await dispatcher.fail_worker_group(LANE, LOST)
        await dispatcher.open_generation(LANE, 1)
        await dispatcher.fail_worker_group(LANE, LOST)
    assert await dispatcher.sweep_failure() is None


@in_a_loop
async def test_a_trial_that_the_user_pauses_has_its_state_saved_and_then_waits() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    first = asyncio.create_task(dispatcher.advance(command("a")))
    taken = await dispatcher.next_command(LANE, generation, 0)
    await dispatcher.set_paused(True, saves=True)
    await dispatcher.record_answer(LANE, generation, 0, report(1))
    assert taken == command("a")
    assert await first == report(1)
    later = asyncio.create_task(dispatcher.advance(command("a", 2)))
    other = asyncio.create_task(dispatcher.advance(command("b")))
    save = await dispatcher.next_command(LANE, generation, 1)
    assert save == dataclasses.replace(command("a"), report_steps=())
    await dispatcher.record_answer(LANE, generation, 1, Answer())
    assert not await settled(later)
    assert not await settled(other)
    await dispatcher.set_paused(False)
    await serve(dispatcher, generation, 2)
    assert await later == report(2)
    await dispatcher.close()
    assert (await other).sweep_over


@in_a_loop
async def test_a_trial_that_the_disk_pauses_is_not_saved_and_one_lost_as_it_is_saved_ends() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    first = asyncio.create_task(dispatcher.advance(command("a")))
    await serve(dispatcher, generation, 0)
    await first
    await dispatcher.set_paused(True)
    waits = asyncio.create_task(dispatcher.advance(command("a", 2)))
    saving = asyncio.create_task(dispatcher.next_command(LANE, generation, 1))
    assert not await settled(saving)
    await dispatcher.set_paused(False)
    assert await saving == command("a", 2)
    await dispatcher.record_answer(LANE, generation, 1, report(2))
    await waits
    await dispatcher.set_paused(True, saves=True)
    waits = asyncio.create_task(dispatcher.advance(command("a", 3)))
    assert await dispatcher.next_command(LANE, generation, 2) is not None
    await dispatcher.fail_worker_group(LANE, LOST)
    assert await waits == LOST


@in_a_loop
async def test_a_command_and_its_answer_wake_their_own_lane_alone() -> None:
    dispatcher = LaneDispatcher()
    lanes = [f"lane-{number}" for number in range(20)]
    generations = [await up(dispatcher, lane) for lane in lanes]
    asked = [
        asyncio.create_task(dispatcher.next_command(lane, generation, 0))
        for lane, generation in zip(lanes, generations, strict=True)
    ]
    assert not await settled(asked[0])
    looks = mock.patch.object(
        Assignments, "should_end", autospec=True, side_effect=Assignments.should_end
    )
    with looks as looked:
        advancing = asyncio.create_task(dispatcher.advance(command("a")))
        assert not await settled(advancing)
        taken = [number for number, task in enumerate(asked) if task.done()]
        assert len(taken) == 1
        (number,) = taken
        await dispatcher.record_answer(lanes[number], generations[number], 0, report(1))
        assert await advancing == report(1)
        assert looked.call_count < len(lanes)
    await dispatcher.close()
    assert [await task for task in asked if task is not asked[number]] == [None] * 19


@in_a_loop
async def test_closing_ends_lanes_and_waiting_trials() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    waiting = asyncio.create_task(dispatcher.advance(command("b")))
    taking = asyncio.create_task(dispatcher.next_command(LANE, generation, 1))
    assert not await settled(taking)
    await dispatcher.close()
    assert await taking is None
    for task in (asked, waiting):
        assert "the sweep was stopped" in str((await task).error)
    assert await dispatcher.wait_until_ready(1) is False
    assert await dispatcher.sweep_failure() is None


@in_a_loop
async def test_the_first_failure_of_the_sweep_stays() -> None:
    dispatcher = LaneDispatcher()
    await dispatcher.register([LANE])
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await dispatcher.give_up(LANE, LOST)
    await dispatcher.give_up(LANE, Answer(error=TrialError("something later")))
    await dispatcher.close()
    assert await asked == dataclasses.replace(LOST, sweep_over=True)
    assert await dispatcher.sweep_failure() == LOST


@pytest.mark.parametrize("lanes", [1, 2])
def test_as_many_trials_train_at_once_as_there_are_lanes(lanes: int) -> None:
    async def trials_on_lanes() -> set[str]:
        dispatcher = LaneDispatcher()
        for number in range(lanes):
            await up(dispatcher, f"lane{number}")
        tasks = [asyncio.create_task(dispatcher.advance(command(name))) for name in "abc"]
        await settled(tasks[-1])
        taken = {(await dispatcher.next_command(f"lane{number}", 1, 0)) for number in range(lanes)}
        for task in tasks:
            task.cancel()
        return {one.trial_id for one in taken if one is not None}

    assert asyncio.run(trials_on_lanes()) == set("ab"[:lanes])


@in_a_loop
async def test_a_lane_of_two_seats_trains_two_trials_and_the_third_takes_the_seat_left() -> None:
    dispatcher = LaneDispatcher(trials_per_lane=2)
    generation = await up(dispatcher)
    tasks = {name: asyncio.create_task(dispatcher.advance(command(name))) for name in "abc"}
    await settled(tasks["c"])
    for seat, name in enumerate("ab"):
        assert await dispatcher.next_command(LANE, generation, 0, seat) == command(name)
    await dispatcher.record_answer(LANE, generation, 0, report(1), 1)
    assert await tasks["b"] == report(1)
    assert not await settled(tasks["a"])
    await dispatcher.release("b", ended=True)
    assert await dispatcher.next_command(LANE, generation, 1, 1) == command("c")
    await dispatcher.tell_error(LANE, generation, 0, RankError("a", BROKEN))
    await dispatcher.fail_worker_group(LANE, SEEN)
    assert await tasks["a"] == BROKEN
    assert (await tasks["c"]).lost, "its neighbour's error is none of its own"


@in_a_loop
async def test_a_lane_takes_no_more_trials_than_have_room() -> None:
    dispatcher = LaneDispatcher(trials_per_lane=4)
    generation = await dispatcher.open_generation(LANE, 1)
    assert generation is not None
    assert await dispatcher.most_trials(LANE) == 4
    await dispatcher.report_ready(LANE, generation, 0, 2.0, PACE, 2)
    assert await dispatcher.trials_of_a_lane() == 2
    tasks = {name: asyncio.create_task(dispatcher.advance(command(name))) for name in "abc"}
    await settled(tasks["c"])
    for seat, name in enumerate("ab"):
        assert await dispatcher.next_command(LANE, generation, 0, seat) == command(name)
    await dispatcher.record_answer(LANE, generation, 0, report(1), 1)
    await dispatcher.release("b", ended=True)
    assert await dispatcher.next_command(LANE, generation, 1, 1) == command("c")
    await dispatcher.fail_worker_group(LANE, LOST)
    assert await dispatcher.open_generation(LANE, 1) is not None
    assert await dispatcher.most_trials(LANE) == 4, "elsewhere there may be room for all"
    for task in (tasks["a"], tasks["c"]):
        assert (await task).lost


@in_a_loop
async def test_a_lane_whose_memory_ran_out_trains_half_as_many_and_no_trial_fails() -> None:
    dispatcher = LaneDispatcher(trials_per_lane=3)
    generation = await up(dispatcher)
    tasks = [asyncio.create_task(dispatcher.advance(command(name))) for name in "ab"]
    await settled(tasks[-1])
    crowded = trial_failure("a", MemoryError(), 3)
    await dispatcher.tell_error(LANE, generation, 0, RankError("a", crowded))
    await dispatcher.fail_worker_group(LANE, SEEN)
    for task in tasks:
        answer = await task
        assert answer.lost
        assert answer.crowded
    assert await dispatcher.most_trials(LANE) == 1
    assert (await dispatcher.lane_counts()).crowded == (
        "lane ran out of memory; from now on it trains at most 1 at a time",
    )
    assert trial_failure("a", MemoryError(), 1).by_settings, "alone it is the trial's own fault"


@in_a_loop
async def test_trials_spread_over_lanes_and_a_lane_that_is_spare_is_closed() -> None:
    dispatcher = LaneDispatcher(trials=4, trials_per_lane=2)
    for lane in ("one", "two"):
        await up(dispatcher, lane)
    tasks = {name: asyncio.create_task(dispatcher.advance(command(name))) for name in "ab"}
    await settled(tasks["b"])
    assert await dispatcher.busy_lanes() == {"one": True, "two": True}
    await dispatcher.release("a", ended=True)
    assert (await dispatcher.lane_counts()).wanted == 2, "three trials are left, for four seats"
    await dispatcher.release("c", ended=True)
    assert (await dispatcher.lane_counts()).wanted == 1
    tasks["b"].cancel()


async def three_lanes(trials: int) -> LaneDispatcher:
    dispatcher = LaneDispatcher(trials)
    await dispatcher.register(["a", "b", "c"])
    for lane in "abc":
        assert await dispatcher.request_start(lane, 1)
    return dispatcher


@in_a_loop
async def test_lanes_that_no_trial_can_come_to_are_closed_first_those_that_still_wait() -> None:
    dispatcher = await three_lanes(trials=4)
    for lane in "ab":
        await dispatcher.mark_placed(lane, ["host"])
        await up(dispatcher, lane)
    counts = await dispatcher.lane_counts()
    asked = counts.waiting_since_unix_s
    assert asked is not None
    assert counts == LaneCounts(up=2, waiting=1, wanted=3, waiting_since_unix_s=asked)
    taking = {lane: asyncio.create_task(dispatcher.next_command(lane, 1, 0)) for lane in "ab"}
    running = asyncio.create_task(dispatcher.advance(command("first")))
    await settled(running)
    await dispatcher.release("one", ended=True)
    assert await dispatcher.request_start("c", 1), "three trials are left, for three lanes"
    counts = await dispatcher.lane_counts()
    assert counts.waiting_since_unix_s == asked, "it has waited since it first asked"
    await dispatcher.release("two")
    assert await dispatcher.request_start("c", 1), "it may come back"
    await dispatcher.release("two", ended=True)
    assert not await dispatcher.request_start("c", 1)
    assert await dispatcher.open_generation("c", 1) is None, "its hosts came late"
    assert await dispatcher.lane_counts() == LaneCounts(up=2, waiting=0, wanted=2)
    await dispatcher.release("three", ended=True)
    assert await taking["b"] is None, "the one that has a trial goes on"
    assert await taking["a"] == command("first")
    await dispatcher.release("first", ended=True)
    assert await dispatcher.lane_counts() == LaneCounts(up=1, waiting=0, wanted=1), (
        "the last one ends with the sweep"
    )
    running.cancel()


@in_a_loop
async def test_while_a_sweep_is_paused_no_trial_goes_on_and_each_keeps_its_lane() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher)
    in_hand = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(in_hand)
    await dispatcher.set_paused(True)
    await serve(dispatcher, generation, 0)
    assert await in_hand == report(1), "what is in hand comes to its end"
    following = asyncio.create_task(dispatcher.advance(command("a", 2)))
    other = asyncio.create_task(dispatcher.advance(command("b")))
    assert not await settled(following)
    await dispatcher.set_paused(False)
    assert await serve(dispatcher, generation, 1) == command("a", 2)
    assert await following == report(2)
    assert not await settled(other)
    await dispatcher.set_paused(True)
    await dispatcher.close()
    stopped = await other
    assert stopped.sweep_over


@in_a_loop
async def test_a_lane_that_comes_up_slowly_says_what_it_is_doing() -> None:
    dispatcher = LaneDispatcher()

    async def slow() -> tuple[str, ...]:
        return (await dispatcher.lane_counts()).slow

    await dispatcher.request_start(LANE, 1)
    await dispatcher.mark_placed(LANE, ["host"])
    assert await slow() == (), "it is not slow yet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_state, "SLOW_START_S", 0.0)
        assert "processes load PyTorch and find each other" in (await slow())[0]
        generation = await dispatcher.open_generation(LANE, 2)
        assert generation is not None
        first = asyncio.create_task(dispatcher.may_begin(LANE, generation, 0))
        assert not await settled(first)
        assert "1 of 2 workers have the model and the clips" in (await slow())[0]
        assert await dispatcher.may_begin(LANE, generation, 1)
        assert "validates the untouched base" in (await slow())[0]
        for rank in range(2):
            await dispatcher.report_ready(LANE, generation, rank, 2.0, PACE, MANY)
        assert await slow() == ()
        await dispatcher.mark_placed(LANE, ["host"])
        await dispatcher.fail_worker_group(LANE, LOST)
        assert await slow() == (), "it is asked for again"


@in_a_loop
async def test_a_lane_that_is_given_up_leaves_the_others_to_go_on() -> None:
    dispatcher = await three_lanes(trials=9)
    await up(dispatcher, "a")
    asked = asyncio.create_task(dispatcher.advance(command("first")))
    await settled(asked)
    await dispatcher.give_up("a", LOST)
    assert (await asked).lost, "another lane may do better with it"
    for _ in range(3):
        await dispatcher.open_generation("b", 1)
        await dispatcher.fail_worker_group("b", LOST)
    assert not await dispatcher.request_start("b", 1)
    assert await dispatcher.sweep_failure() is None
    assert (await dispatcher.lane_counts()).given_up == (str(LOST.error),) * 2
    await dispatcher.give_up("b", Answer(error=TrialError("told again")))
    assert await dispatcher.sweep_failure() is None
    await dispatcher.give_up("c", LOST)
    assert await dispatcher.sweep_failure() == LOST, "it was the last one"
