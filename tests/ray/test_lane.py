"""Lanes for real: worker groups that take trial after trial, fail, come up again, and never change what a trial learns."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import torch
from ray import tune

from tests import tiny
from tests.waiting import wait_until
from vibesweep.config import Budget, Report, TrialResources, TrialSettings
from vibesweep.errors import ModelError, TrialError
from vibesweep.storage import StoragePath
from vibesweep.sweep.trial import LaneTrial
from vibesweep.training.lanes.lane import Lanes, running_dispatcher
from vibesweep.training.lanes.messages import Answer, Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

pytestmark = pytest.mark.usefixtures("ray_cluster")

MAX_STEPS = 4
REPORTS = (2, 4)
SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)
OTHERS = [
    dataclasses.replace(
        SETTINGS, method=method, optimizer=optimizer, learning_rate=rate, freeze_layers=1, seed=seed
    )
    for method, rate, seed in (
        ("full", 0.1, 1),
        ("lora", 3e-2, 2),
        ("freeze", 1e-3, 3),
        ("full", 1e9, 4),
    )
    for optimizer in ("adamw", "lion")
]
ENDLESS = 1_000_000
COMING_UP_S = 120.0


def curve_of(reports: list[Report]) -> list[float]:
    """What two runs are compared by: each step's training loss, each report's validation loss."""
    return [record.loss for report in reports for record in report.curve] + [
        report.loss_val for report in reports
    ]


class Post:
    """Sends trials to lanes as Tune's trials do."""

    def __init__(self, dispatcher: Any, checkpoints: Path) -> None:
        self.dispatcher, self.checkpoints = dispatcher, checkpoints

    def ready(self, lanes: int = 1) -> bool:
        return bool(ray.get(self.dispatcher.wait_until_ready.remote(lanes), timeout=COMING_UP_S))

    def pids(self) -> dict[int, int]:
        """Of the one lane's workers, by rank."""
        (pids,) = ray.get(self.dispatcher.worker_pids.remote()).values()
        return dict(pids)

    def ask(self, trial_id: str, settings: TrialSettings, until: int) -> Any:
        return self.dispatcher.advance.remote(Command(trial_id, settings, until))

    def answer(self, trial_id: str, settings: TrialSettings, until: int) -> Answer:
        answer = ray.get(self.ask(trial_id, settings, until), timeout=COMING_UP_S)
        assert isinstance(answer, Answer)
        return answer

    def train(self, trial_id: str, settings: TrialSettings) -> list[Report]:
        """One whole trial; it ends where it diverges."""
        reports: list[Report] = []
        for until in REPORTS:
            answer = self.answer(trial_id, settings, until)
            assert answer.report is not None, answer.error
            reports.append(answer.report)
            if answer.report.diverged:
                break
        ray.get(self.dispatcher.release.remote(trial_id))
        return reports


@contextmanager
def lane_over(
    folder: Path,
    model: Path,
    shards: Path,
    workers: int = 1,
    max_steps: int = MAX_STEPS,
    leave_s: float = 60.0,
) -> Iterator[Post]:
    """One lane with so many workers, not yet ready; in the end it may take so long to leave."""
    name = folder.name
    kept, resources = StoragePath.of(folder), TrialResources(workers=workers)
    spec = LaneSpec(
        name,
        str(model),
        str(shards),
        kept / "checkpoints",
        kept / "states",
        folder / "ray",
        max_steps,
        resources,
    )
    with running_dispatcher() as dispatcher:
        lanes = Lanes(dispatcher, [spec], restarts=5)
        lanes.start()
        try:
            yield Post(dispatcher, folder / "checkpoints")
        finally:
            lanes.stop(leave_s)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_shards(tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture(scope="module")
def context(base: Path, shards: Path) -> WorkerContext:
    """What a lane has, in this process."""
    return WorkerContext.open(str(base), shards, World())


def train_alone(context: WorkerContext, settings: TrialSettings) -> list[float]:
    """The trial in this process, with no lane and no ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = TrialRun(context, settings, MAX_STEPS)
    curve = curve_of([run.advance(until) for until in REPORTS])
    torch.set_num_threads(threads)
    return curve


@pytest.fixture(scope="class")
def post(base: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    with lane_over(tmp_path_factory.mktemp("one"), base, shards) as post:
        assert post.ready()
        yield post


@pytest.fixture(scope="class")
def first(post: Post) -> list[float]:
    """The trial as the first on a fresh lane."""
    return curve_of(post.train("first", SETTINGS))


class TestOneWorker:
    """On one lane, which all these tests use one after the other."""

    def test_a_trial_is_the_same_first_tenth_and_alone(
        self, post: Post, first: list[float], context: WorkerContext
    ) -> None:
        others = [post.train(f"other{number}", settings) for number, settings in enumerate(OTHERS)]
        tenth = curve_of(post.train("tenth", SETTINGS))
        assert len(others) == 8
        assert any(reports[-1].diverged for reports in others), (
            "a diverged trial was among those before"
        )
        assert tenth == pytest.approx(first, rel=1e-6)
        assert first == pytest.approx(train_alone(context, SETTINGS), rel=1e-6)

    def test_two_trials_take_turns_on_one_lane(self, post: Post, first: list[float]) -> None:
        held = post.answer("holder", SETTINGS, 2)
        waiting = post.ask("waiter", SETTINGS, 2)
        rest = post.answer("holder", SETTINGS, 4)
        assert held.report is not None
        assert rest.report is not None
        assert curve_of([held.report, rest.report]) == pytest.approx(first, rel=1e-6)
        assert ray.wait([waiting], timeout=0)[0] == []
        ray.get(post.dispatcher.release.remote("holder"))
        assert ray.get(waiting, timeout=COMING_UP_S).report.step == 2
        ray.get(post.dispatcher.release.remote("waiter"))

    def test_settings_that_the_model_cannot_take_cost_the_trial_not_the_lane(
        self, post: Post, first: list[float]
    ) -> None:
        before = post.pids()
        answer = post.answer("wrong", dataclasses.replace(SETTINGS, lora_targets="all"), 2)
        assert isinstance(answer.error, ModelError)
        assert "no LoRA targets 'all'" in str(answer.error)
        ray.get(post.dispatcher.release.remote("wrong"))
        assert curve_of(post.train("after_wrong", SETTINGS)) == pytest.approx(first, rel=1e-6)
        assert post.pids() == before

    def test_the_best_checkpoint_of_each_trial_is_kept(
        self, post: Post, first: list[float]
    ) -> None:
        assert {path.suffix for path in (post.checkpoints / "first").iterdir()} == {
            ".safetensors",
            ".json",
        }

    def test_a_killed_worker_costs_its_trial_and_the_lane_comes_up_again(
        self, post: Post, first: list[float]
    ) -> None:
        before = post.pids()
        assert post.answer("doomed", SETTINGS, 1).report is not None
        doomed = post.ask("doomed", SETTINGS, ENDLESS)
        os.kill(
            post.pids()[0], signal.SIGKILL
        )  # asked of the dispatcher after the command has been put in it
        answer = ray.get(doomed, timeout=COMING_UP_S)
        assert isinstance(answer.error, TrialError)
        assert "its process died" in str(answer.error)
        ray.get(post.dispatcher.release.remote("doomed"))
        assert post.ready()
        assert curve_of(post.train("after_doomed", SETTINGS)) == pytest.approx(first, rel=1e-6)
        assert set(post.pids().values()).isdisjoint(before.values())


class Alone(LaneTrial):
    """A trial without Tune, which alone would give it its id."""

    trial_id = "survivor"


def test_a_trial_whose_lane_is_lost_goes_on(
    base: Path, shards: Path, context: WorkerContext, tmp_path: Path
) -> None:
    budget = Budget(max_steps=MAX_STEPS, grace_steps=2, reduction_factor=100)
    with lane_over(tmp_path / "one", base, shards) as post:
        assert post.ready()
        trial = tune.with_parameters(Alone, dispatcher=post.dispatcher, budget=budget)(
            {"settings": dataclasses.asdict(SETTINGS)}
        )
        told = [trial.step()]
        os.kill(post.pids()[0], signal.SIGKILL)
        while not told[-1]["done"]:
            told.append(trial.step())
    assert told[-1]["outcome"] == "complete", told[-1]["reason"]
    curve = [record["loss"] for result in told for record in result["report"]["curve"]]
    assert curve == pytest.approx(train_alone(context, SETTINGS)[:MAX_STEPS], rel=1e-6)
    assert [record["step"] for result in told for record in result["report"]["curve"]] == list(
        range(1, MAX_STEPS + 1)
    ), "no step told twice"


def test_two_workers_train_as_one_does(
    base: Path, shards: Path, context: WorkerContext, tmp_path: Path
) -> None:
    """Without dropout, whose draws each worker makes for its own share of the batch."""
    plain = dataclasses.replace(SETTINGS, lora_dropout=0.0)
    alone = train_alone(context, plain)
    with lane_over(tmp_path / "two", base, shards, workers=2) as post:
        assert post.ready()
        assert len(set(post.pids().values())) == 2
        assert curve_of(post.train("first", plain)) == pytest.approx(alone, rel=1e-5)
        post.train("between", OTHERS[0])
        assert curve_of(post.train("third", plain)) == pytest.approx(alone, rel=1e-5)
        one = TrialRun(context, plain, MAX_STEPS)
        one.advance(2)
        one.save_state(tmp_path / "two" / "states" / "one_then_two")
        resumed = post.answer("one_then_two", plain, MAX_STEPS).report
        assert resumed is not None
        assert resumed.curve[0].step == 3
        assert curve_of([resumed]) == pytest.approx(alone[2:MAX_STEPS] + alone[-1:], rel=1e-4)


def test_a_lane_in_the_middle_of_its_steps_is_ended_when_its_time_is_up(
    base: Path, shards: Path, tmp_path: Path
) -> None:
    with lane_over(tmp_path / "busy", base, shards, max_steps=ENDLESS, leave_s=1.0) as post:
        assert post.ready()
        worker = psutil.Process(post.pids()[0])
        idle = worker.cpu_times().user
        post.ask("long", SETTINGS, ENDLESS)
        assert wait_until(lambda: worker.cpu_times().user > idle + 1.0, COMING_UP_S), (
            "it trains by then"
        )
    assert "busy" not in {thread.name for thread in threading.enumerate()}, (
        "it would ask Ray after Ray's end"
    )
    assert wait_until(lambda: not worker.is_running(), COMING_UP_S)


def test_a_lane_that_cannot_come_up_says_why(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "no_base").mkdir()
    (tmp_path / "no_base" / "config.json").write_text("{}")
    with lane_over(tmp_path / "nowhere", tmp_path / "no_base", shards) as post:
        assert not post.ready()
        answer = post.answer("any", SETTINGS, 2)
        assert isinstance(answer.error, ModelError)
        assert "no_base" in str(answer.error)
