"""What is asked of a sweep from another terminal, and how it hears. No Ray, no other process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from tests.sweeps import write_sweep
from tests.waiting import wait_until
from vibesweep.config import TrialSettings
from vibesweep.errors import SweepError
from vibesweep.storage import StoragePath
from vibesweep.sweep import asking
from vibesweep.sweep.asking import ask, ask_to_stop, ask_to_stop_trial
from vibesweep.sweep.record import SweepFolder, SweepState
from vibesweep.sweep.record.events import CloneAsked
from vibesweep.sweep.record.requests import Request, Requests, Wish
from vibesweep.sweep.steering import BY_THE_DISK, Steering


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return write_sweep(tmp_path / "mine", 3, state=SweepState.RUNNING)


@pytest.mark.parametrize("address", ["{}/asked", "memory://asked"])
def test_requests_are_taken_once_in_their_order(tmp_path: Path, address: str) -> None:
    requests = Requests(StoragePath.of(address.format(tmp_path)))
    assert requests.take() == []
    asked = [Request(Wish.PAUSE), Request(Wish.STOP, "trial_003"), Request(Wish.GO_ON)]
    clone = CloneAsked("of_trial_003", 3, 40, {"seed": 1}, asdict(TrialSettings(seed=1)))
    asked.append(Request(Wish.CLONE, "trial_003", clone))
    for request in asked:
        requests.put(request)
    assert requests.waiting()
    assert requests.take() == asked
    assert not requests.waiting()
    assert requests.take() == []
    requests.put(asked[0])
    requests.clear()
    assert not requests.waiting()


NO_CLONES = (
    b'{"wish": "clone", "trial": "a", "clone": null}',
    b'{"wish": "clone", "trial": "a", "clone": {"origin": "../b", "parent": 0, "step": 1,'
    b' "swept": {}, "settings": {}}}',
    b'{"wish": "clone", "trial": "a", "clone": {"origin": "b", "parent": 0, "step": 1,'
    b' "swept": {}, "settings": {"lora_rank": -1}}}',
)


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b'{"wish": "dance", "trial": ""}', b"\x00", *NO_CLONES]
)
def test_what_is_no_request_is_told_and_gone(tmp_path: Path, content: bytes) -> None:
    place = StoragePath.of(tmp_path / "asked")
    (place / "1.json").write_bytes(content)
    requests = Requests(place)
    with pytest.raises(SweepError, match="a request cannot be read"):
        requests.take()
    assert not requests.waiting()


def test_a_sweep_that_does_not_run_is_asked_nothing(folder: SweepFolder) -> None:
    with pytest.raises(SweepError, match=r"it is interrupted.*vibesweep resume"):
        ask(folder, Request(Wish.PAUSE))
    assert not folder.requests.waiting()


def test_one_that_runs_is_waited_for(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LOOK_S", 0.01)
    ended = threading.Event()
    heard: list[Request] = []

    def run() -> None:
        with folder.ownership.held():
            began.set()
            assert wait_until(folder.requests.waiting, 20.0)
            heard.extend(folder.requests.take())
            assert ended.wait(20.0)

    def say(line: str) -> None:
        assert "keeps everything" in line
        assert asking.is_running(folder)
        ended.set()

    began = threading.Event()
    sweep = threading.Thread(target=run)
    sweep.start()
    assert began.wait(20.0)
    ask_to_stop(folder, say)
    assert heard == [Request(Wish.STOP)]
    assert not asking.is_running(folder)
    sweep.join()


def test_one_that_does_not_hear_is_told_of(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "HEARD_S", 0.0)
    with folder.ownership.held(), pytest.raises(SweepError, match="it has not heard"):
        ask(folder, Request(Wish.PAUSE))
    assert not folder.requests.waiting(), "the next process would do it"


def test_only_a_trial_that_runs_is_stopped(folder: SweepFolder) -> None:
    with pytest.raises(SweepError, match="trial 1 is diverged"):
        ask_to_stop_trial(folder, "1")
    with pytest.raises(SweepError, match=r"there is no trial 7.*0, 1, 2"):
        ask_to_stop_trial(folder, "7")
    record = folder.read()
    assert record.trial_named("0") == record.trial_named("id0") == record.trials[0]


def test_a_sweep_that_the_disk_holds_back_too_goes_on_when_neither_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[tuple[bool, bool]] = []
    said: list[str] = []

    def set_paused(paused: bool, *, saves: bool) -> tuple[bool, bool]:
        return paused, saves

    monkeypatch.setattr(ray, "get", held.append)
    dispatcher = SimpleNamespace(set_paused=SimpleNamespace(remote=set_paused))
    log: Any = SimpleNamespace(pause=lambda paused: None, record=SimpleNamespace(name="mine"))
    nothing: Any = None
    steering = Steering(log, dispatcher, nothing, nothing, said.append)
    steering.do(Request(Wish.PAUSE))
    steering.pause(BY_THE_DISK, True)
    steering.do(Request(Wish.GO_ON))
    steering.pause(BY_THE_DISK, False)
    assert held == [(True, True), (True, True), (True, False), (False, False)]
    assert "`vibesweep resume mine` goes on" in said[0]
    assert said[1] == "still paused: its disk is nearly full"


@pytest.mark.parametrize("over", [False, True])
def test_a_clone_is_taken_until_the_last_trial_has_ended(
    monkeypatch: pytest.MonkeyPatch, over: bool
) -> None:
    written: list[CloneAsked] = []
    said: list[str] = []
    expected: list[str] = []

    def add_clone(clone: CloneAsked, enter: Callable[[CloneAsked], None]) -> bool:
        if not over:
            enter(clone)
        return not over

    monkeypatch.setattr(ray, "get", expected.append)
    dispatcher = SimpleNamespace(expect_another_trial=SimpleNamespace(remote=lambda: "one more"))
    log: Any = SimpleNamespace(clone_asked=written.append)
    search: Any = SimpleNamespace(add_clone=add_clone)
    stopping: Any = None
    steering = Steering(log, dispatcher, search, stopping, said.append)
    clone = CloneAsked("of_trial_003", 3, 40, {}, asdict(TrialSettings()))
    steering.do(Request(Wish.CLONE, "trial_003", clone))
    assert written == ([] if over else [clone])
    assert expected == ([] if over else ["one more"])
    ended = "trial 3 is not cloned: the last trial has ended"
    begins = "trial 3's clone begins at step 40, in the next place that is free"
    assert said == [ended if over else begins]
