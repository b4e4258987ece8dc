"""Lanes of several workers, one of which dies, fails or comes late: what the dispatcher decides.

In one event loop, without Ray.
"""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorDiedError, RayActorError
from ray.train import ControllerError

from tests.unit.test_lanes_dispatcher import LANE, command, in_a_loop, report, settled, up
from vibesweep.errors import ModelError, ResourceError, TrialError
from vibesweep.training.lanes.dispatcher import LaneDispatcher
from vibesweep.training.lanes.endings import counts_against_lane, ending_of, is_for_a_peer
from vibesweep.training.lanes.failures import group_failure, lane_failure, trial_failure
from vibesweep.training.lanes.lane import Lanes
from vibesweep.training.lanes.lane_state import RESTARTS
from vibesweep.training.lanes.messages import Answer, RankError

DIED = Answer(error=TrialError("worker 1 of lane was lost: its process died"), lost=True)
RAISED = Answer(error=TrialError("worker 0 of lane was lost: TrialError"))
GLOO = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:9")
OUT_OF_MEMORY = RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")
NO_ROOM = Answer(error=ResourceError("this host cannot read /data", where="lane"))


class DistError(RuntimeError):
    """Stands for torch's base class, which goes by its name."""


class DistBackendError(DistError):
    """Stands for what NCCL raises."""


class ProcessDiedError(Exception):
    """Stands for what Train's controller has of a dead process."""

    health_check_failure = ConnectionError("the actor died")


def told(error: Exception, trial_id: str = "a") -> RankError:
    return RankError(trial_id, trial_failure(trial_id, error))


@in_a_loop
async def test_a_peers_collective_error_waits_for_the_controllers_word() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher, size=2)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await dispatcher.tell_error(LANE, generation, 0, told(GLOO))
    assert not await settled(asked), "nobody knows yet why"
    other = asyncio.create_task(dispatcher.advance(command("b")))
    assert not await settled(other), "the lane takes no other trial meanwhile"
    await dispatcher.fail_worker_group(LANE, DIED)
    assert await asked == DIED
    await dispatcher.release("a")
    other.cancel()


@in_a_loop
async def test_a_trial_goes_on_elsewhere_when_the_controller_saw_only_the_peers_error() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher, size=2)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await dispatcher.tell_error(LANE, generation, 0, told(GLOO))
    await dispatcher.fail_worker_group(LANE, RAISED)
    assert (await asked).lost


@in_a_loop
async def test_an_error_of_the_trial_itself_is_its_end_with_its_traceback() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher, size=2)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await dispatcher.tell_error(LANE, generation, 0, told(GLOO))
    await dispatcher.tell_error(LANE, generation, 1, told(ValueError("no such column")))
    await dispatcher.fail_worker_group(LANE, RAISED)
    answer = await asked
    assert not answer.lost
    assert "no such column" in str(answer.error)
    assert "ValueError" in answer.traceback


@pytest.mark.parametrize(
    ("seen", "errors", "lost"),
    [
        (DIED, [], True),
        (DIED, [GLOO, ValueError("of its own")], True),
        (RAISED, [GLOO], True),
        (RAISED, [DistBackendError("remote process exited")], True),
        (RAISED, [GLOO, OUT_OF_MEMORY], False),
        (RAISED, [DistBackendError("unhandled cuda error: out of memory")], False),
        (RAISED, [ModelError("refused on this rank")], False),
        (RAISED, [], True),
    ],
)
def test_a_trial_is_lost_unless_a_worker_told_of_an_error_of_its_own(
    seen: Answer, errors: list[Exception], lost: bool
) -> None:
    ending = ending_of("a", seen, [told(error) for error in errors])
    assert ending.lost is lost


def test_a_trial_does_not_end_by_the_error_of_the_one_before_it() -> None:
    late = told(ValueError("of the former trial"), "former")
    assert ending_of("a", RAISED, [late]).lost


def test_the_controllers_word_names_the_death_and_not_what_followed_from_it() -> None:
    seen = group_failure("lane", {0: GLOO, 1: ProcessDiedError()})
    assert seen.lost
    assert "worker 1 of lane was lost: its process died" in str(seen.error)
    raised = group_failure("lane", {0: GLOO, 1: ValueError("no such column")})
    assert not raised.lost
    assert "worker 1 of lane was lost: ValueError: no such column" in str(raised.error)


HOST_GONE = "The actor died because its node has died. Node Id: 5f"


def test_a_hosts_death_is_told_from_that_of_a_process() -> None:
    gone = ProcessDiedError(HOST_GONE)
    seen = group_failure("lane", {0: GLOO, 1: gone})
    assert seen.host_died
    assert "worker 1 of lane was lost: its host is gone" in str(seen.error)
    assert not group_failure("lane", {0: GLOO, 1: ProcessDiedError()}).host_died


def test_a_hosts_death_before_the_lanes_own_code_began_is_in_what_train_raised_from() -> None:
    at_start = RuntimeError("At least one of the worker actors failed to initialize.")
    at_start.__cause__ = ActorDiedError()
    assert not lane_failure("lane", at_start).host_died
    at_start.__cause__ = RayActorError(error_msg=HOST_GONE)
    assert lane_failure("lane", at_start).host_died


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ControllerError(RayActorError(error_msg=HOST_GONE)), True),
        (ActorDiedError(), True),
        (ControllerError(ValueError("a fault of ours")), False),
        (ValueError("a fault of ours"), False),
    ],
)
def test_a_lane_whose_process_was_lost_as_it_was_given_its_code_comes_up_again(
    error: Exception, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(ray, "get", told.append)
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "5e", "Alive": True}])

    def lose(lane: str, seen: Answer, hosts_up: list[str]) -> str:
        return f"lost {seen.lost}, up {hosts_up}"

    dispatcher = SimpleNamespace(
        fail_worker_group=SimpleNamespace(remote=lose),
        give_up=SimpleNamespace(remote=lambda lane, reason: "given up"),
    )
    assert Lanes(dispatcher, [])._report("lane", error) is again
    assert told == ["lost True, up ['5e']" if again else "given up"]


def test_a_trial_that_left_a_host_before_that_went_goes_on_and_costs_the_lane_nothing() -> None:
    answer = Answer(error=TrialError("a host is about to go"), lost=True, leaving=True)
    left = RankError("a", answer)
    for seen in (RAISED, DIED):
        assert ending_of("a", seen, [left]) == answer
        assert not counts_against_lane(seen, [left])


def test_errors_of_collectives_are_known_by_their_class_or_words() -> None:
    assert is_for_a_peer(GLOO)
    assert is_for_a_peer(DistBackendError("anything"))
    assert not is_for_a_peer(ValueError("gloo"))
    assert not is_for_a_peer(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize(
    "error",
    [
        OUT_OF_MEMORY,
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_out_of_memory_by_settings_does_not_count_against_the_lane(error: Exception) -> None:
    assert told(error).answer.by_settings
    assert not counts_against_lane(RAISED, [told(error)])
    assert counts_against_lane(RAISED, [told(ValueError("a fault of ours"))])
    assert counts_against_lane(DIED, [told(error)])


@pytest.mark.parametrize(("error", "goes_on"), [(OUT_OF_MEMORY, True), (ValueError("x"), False)])
def test_a_lane_outlives_any_number_of_settings_that_need_too_much_memory(
    error: Exception, goes_on: bool
) -> None:
    async def lose_groups() -> Answer | None:
        dispatcher = LaneDispatcher()
        for number in range(RESTARTS + 1):
            generation = await up(dispatcher)
            trial_id = str(number)
            asked = asyncio.create_task(dispatcher.advance(command(trial_id)))
            await settled(asked)
            await dispatcher.tell_error(LANE, generation, 0, told(error, trial_id))
            await dispatcher.fail_worker_group(LANE, RAISED)
            assert not (await asked).lost
        return await dispatcher.sweep_failure()

    assert (asyncio.run(lose_groups()) is None) is goes_on


@in_a_loop
async def test_a_rank_that_cannot_open_ends_its_lane_on_every_rank_and_no_other_lane() -> None:
    dispatcher = LaneDispatcher()
    await dispatcher.register([LANE, "other"])
    generation = await dispatcher.open_generation(LANE, 3)
    assert generation is not None
    waiting = asyncio.create_task(dispatcher.may_begin(LANE, generation, 0))
    assert not await settled(waiting)
    assert await dispatcher.may_begin(LANE, generation, 1, NO_ROOM) is False
    assert await waiting is False, "it would wait in a collective"
    assert await dispatcher.may_begin(LANE, generation, 2) is False, "nor one that comes late"
    assert await dispatcher.sweep_failure() is None
    assert await dispatcher.request_start("other", 1)
    counts = await dispatcher.lane_counts()
    assert counts.given_up == (str(NO_ROOM.error),)
    await up(dispatcher, "other")
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    taken = await dispatcher.next_command("other", 1, 0)
    assert taken == command("a")
    await dispatcher.record_answer("other", 1, 0, report(1))
    assert await asked == report(1)


@in_a_loop
async def test_ranks_begin_together_once_all_have_opened() -> None:
    dispatcher = LaneDispatcher()
    generation = await dispatcher.open_generation(LANE, 2)
    assert generation is not None
    first = asyncio.create_task(dispatcher.may_begin(LANE, generation, 0))
    assert not await settled(first)
    assert await dispatcher.may_begin(LANE, generation, 1)
    assert await first


@in_a_loop
async def test_a_sweep_whose_last_lane_cannot_open_ends_with_the_reason() -> None:
    dispatcher = LaneDispatcher()
    ready = asyncio.create_task(dispatcher.wait_until_ready(1))
    generation = await dispatcher.open_generation(LANE, 1)
    assert generation is not None
    assert await dispatcher.may_begin(LANE, generation, 0, NO_ROOM) is False
    assert await ready is False
    assert await dispatcher.sweep_failure() == NO_ROOM


@in_a_loop
async def test_late_calls_of_an_old_worker_do_nothing_to_the_new_generation() -> None:
    dispatcher = LaneDispatcher()
    old = await up(dispatcher, size=2)
    await dispatcher.fail_worker_group(LANE, DIED)
    new = await up(dispatcher, size=2)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert not await settled(asked)
    await dispatcher.tell_error(LANE, old, 1, told(ValueError("late"), "a"))
    assert await dispatcher.may_begin(LANE, old, 1, NO_ROOM) is False
    await dispatcher.record_answer(LANE, old, 0, report(99))
    assert await dispatcher.next_command(LANE, old, 0) is None
    assert await dispatcher.busy_lanes() == {LANE: True}
    for _ in range(2):
        assert await dispatcher.next_command(LANE, new, 0) == command("a")
    await dispatcher.record_answer(LANE, new, 0, report(1))
    assert await asked == report(1)


@in_a_loop
async def test_a_command_that_one_rank_has_taken_goes_to_all_though_the_lane_is_closed() -> None:
    dispatcher = LaneDispatcher()
    generation = await up(dispatcher, size=2)
    asked = asyncio.create_task(dispatcher.advance(command("a")))
    assert await dispatcher.next_command(LANE, generation, 0) == command("a")
    await dispatcher.close()
    assert await dispatcher.next_command(LANE, generation, 0) == command("a")
    assert await dispatcher.next_command(LANE, generation, 1) is None
    assert "the sweep was stopped" in str((await asked).error)


def test_what_workers_tell_crosses_processes() -> None:
    error = told(OUT_OF_MEMORY)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy.answer.error) == str(error.answer.error)
    assert copy.answer.by_settings
