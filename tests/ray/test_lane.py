"""Real lanes take trial after trial, fail and come up again, and no trial learns anything else."""

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
from ray.util.state import list_actors

from tests import tiny
from tests.waiting import wait_until
from vibesweep.config import Budget, Report, TrialResources, TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.registry import ModelRef
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
OTHER_TRIALS = [("full", 0.1, 1), ("lora", 3e-2, 2), ("freeze", 1e-3, 3), ("full", 1e9, 4)]
"""Method, learning rate and seed of trials that run in between."""
OTHERS = [
    dataclasses.replace(
        SETTINGS, method=method, optimizer=optimizer, learning_rate=rate, freeze_layers=1, seed=seed
    )
    for method, rate, seed in OTHER_TRIALS
    for optimizer in ("adamw", "lion")
]
ENDLESS = 1_000_000
COMING_UP_S = 120.0


def curve_of(reports: list[Report]) -> list[float]:
    """Return each step's training loss, then each report's validation loss, to compare two runs."""
    steps = [record.loss for report in reports for record in report.curve]
    return steps + [report.loss_val for report in reports]


def live_worker_pids() -> set[int]:
    """Return the processes of the worker groups that are up."""
    address = f"http://{ray.init(ignore_reinit_error=True).dashboard_url}"
    workers = list_actors(
        address=address,
        filters=[("class_name", "=", "RayTrainWorker"), ("state", "=", "ALIVE")],
        detail=True,
    )
    return {worker.pid for worker in workers if worker.pid is not None}


class Trials:
    """Asks lanes for steps as Tune's trials do."""

    def __init__(self, dispatcher: Any, lanes: Lanes, folder: Path) -> None:
        self.dispatcher = dispatcher
        self.lanes = lanes
        self.checkpoints = folder / "checkpoints"
        self.states = folder / "states"

    def ready(self, lanes: int = 1) -> bool:
        return bool(ray.get(self.dispatcher.wait_until_ready.remote(lanes), timeout=COMING_UP_S))

    def wait_until_asked(self) -> None:
        """Wait until the dispatcher has what was asked last: it takes calls in their order."""
        ray.get(self.dispatcher.busy_lanes.options(enable_task_events=False).remote())

    def ask(self, trial_id: str, settings: TrialSettings, until: int) -> Any:
        return self.dispatcher.advance.remote(Command(trial_id, settings, (until,)))

    def answer(self, trial_id: str, settings: TrialSettings, until: int) -> Answer:
        answer = ray.get(self.ask(trial_id, settings, until), timeout=COMING_UP_S)
        assert isinstance(answer, Answer)
        return answer

    def train(self, trial_id: str, settings: TrialSettings) -> list[Report]:
        """Run one whole trial; it ends where it diverges."""
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
    step_timeout_s: float = 600.0,
) -> Iterator[Trials]:
    """Bring up one lane, which is not ready yet."""
    kept = StoragePath.of(folder)
    spec = LaneSpec(
        name=folder.name,
        model=ModelRef("mel", str(model)),
        shards=str(shards),
        shards_signature="tiny",
        checkpoints=kept / "checkpoints",
        states=kept / "states",
        clones=kept / "clones",
        scratch=folder / "ray",
        max_steps=MAX_STEPS,
        step_timeout_s=step_timeout_s,
        resources=TrialResources(workers=workers),
    )
    with running_dispatcher() as dispatcher:
        lanes = Lanes(dispatcher, [spec])
        lanes.start()
        try:
            yield Trials(dispatcher, lanes, folder)
        finally:
            lanes.stop(60.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_shards(tmp_path_factory.mktemp("shards") / "shards")


@pytest.fixture(scope="module")
def context(base: Path, shards: Path) -> WorkerContext:
    """Open in this process what a lane's worker has."""
    return WorkerContext.open(ModelRef.parse(str(base)), shards, World())


def train_alone(context: WorkerContext, settings: TrialSettings) -> list[float]:
    """Train the trial in this process, with no lane and no Ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = TrialRun(context, settings, MAX_STEPS)
    curve = curve_of([run.advance(until) for until in REPORTS])
    torch.set_num_threads(threads)
    return curve


@pytest.fixture(scope="class")
def trials(base: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    folder = tmp_path_factory.mktemp("lanes") / "one"
    with lane_over(folder, base, shards) as trials:
        assert trials.ready()
        yield trials


@pytest.fixture(scope="class")
def first(trials: Trials) -> list[float]:
    """Train the trial as the first on a fresh lane."""
    return curve_of(trials.train("first", SETTINGS))


class TestOneWorker:
    """On one lane, which all these tests use one after the other."""

    def test_a_trial_is_the_same_first_tenth_and_alone(
        self, trials: Trials, first: list[float], context: WorkerContext
    ) -> None:
        others = [
            trials.train(f"other{number}", settings) for number, settings in enumerate(OTHERS)
        ]
        tenth = curve_of(trials.train("tenth", SETTINGS))
        assert len(others) == 8
        assert any(reports[-1].diverged for reports in others), (
            "a diverged trial was among those before"
        )
        assert tenth == pytest.approx(first, rel=1e-6)
        assert first == pytest.approx(train_alone(context, SETTINGS), rel=1e-6)

    def test_two_trials_take_turns_on_one_lane(self, trials: Trials, first: list[float]) -> None:
        held = trials.answer("holder", SETTINGS, 2)
        waiting = trials.ask("waiter", SETTINGS, 2)
        rest = trials.answer("holder", SETTINGS, 4)
        assert held.report is not None
        assert rest.report is not None
        assert curve_of([held.report, rest.report]) == pytest.approx(first, rel=1e-6)
        assert ray.wait([waiting], timeout=0)[0] == []
        ray.get(trials.dispatcher.release.remote("holder"))
        assert ray.get(waiting, timeout=COMING_UP_S).report.step == 2
        ray.get(trials.dispatcher.release.remote("waiter"))

    def test_settings_that_the_model_cannot_take_cost_the_trial_not_the_lane(
        self, trials: Trials, first: list[float]
    ) -> None:
        before = live_worker_pids()
        answer = trials.answer("wrong", dataclasses.replace(SETTINGS, lora_targets="all"), 2)
        assert isinstance(answer.error, ModelError)
        assert "no LoRA targets 'all'" in str(answer.error)
        ray.get(trials.dispatcher.release.remote("wrong"))
        assert curve_of(trials.train("after_wrong", SETTINGS)) == pytest.approx(first, rel=1e-6)
        assert live_worker_pids() == before

    def test_the_best_checkpoint_of_each_trial_is_kept(
        self, trials: Trials, first: list[float]
    ) -> None:
        files = (trials.checkpoints / "first").iterdir()
        assert {path.suffix for path in files} == {".safetensors", ".json"}

    def test_a_trial_whose_worker_is_killed_goes_on_when_the_lane_is_up_again(
        self, trials: Trials, first: list[float], context: WorkerContext
    ) -> None:
        budget = Budget(max_steps=MAX_STEPS, grace_steps=2, reduction_factor=100)
        trial = tune.with_parameters(LaneTrial, dispatcher=trials.dispatcher, budget=budget)(
            {
                "id": "survivor",
                "number": 0,
                "settings": dataclasses.asdict(SETTINGS),
                "reported_step": None,
                "clone": {},
            }
        )
        told = [trial.step()]
        (before,) = live_worker_pids()
        os.kill(before, signal.SIGKILL)
        while not told[-1]["done"]:
            told.append(trial.step())
        assert told[-1]["outcome"] == "complete", told[-1]["reason"]
        records = [record for result in told for record in result["report"]["curve"]]
        losses = [record["loss"] for record in records]
        assert losses == pytest.approx(train_alone(context, SETTINGS)[:MAX_STEPS], rel=1e-6)
        steps = [record["step"] for record in records]
        assert steps == list(range(1, MAX_STEPS + 1)), "no step told twice"
        ray.get(trials.dispatcher.release.remote("survivor"))
        assert curve_of(trials.train("after", SETTINGS)) == pytest.approx(first, rel=1e-6)
        assert before not in live_worker_pids()

    def test_a_lane_in_the_middle_of_its_steps_is_ended_when_its_time_is_up(
        self, trials: Trials
    ) -> None:
        """The last test on this lane."""
        (pid,) = live_worker_pids()
        worker = psutil.Process(pid)
        idle_s = worker.cpu_times().user
        trials.ask("long", SETTINGS, ENDLESS)
        assert wait_until(lambda: worker.cpu_times().user > idle_s + 1.0, COMING_UP_S), (
            "it trains by then"
        )
        trials.lanes.stop(1.0)
        assert "one" not in {thread.name for thread in threading.enumerate()}, (
            "it would ask Ray after Ray's end"
        )
        assert wait_until(lambda: not worker.is_running(), COMING_UP_S)


@pytest.fixture(scope="class")
def pair(base: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    folder = tmp_path_factory.mktemp("lanes") / "pair"
    with lane_over(folder, base, shards, workers=2, step_timeout_s=10.0) as trials:
        assert trials.ready()
        yield trials


class TestTwoWorkers:
    """On one lane of two, which these tests use one after the other."""

    def test_they_train_as_one_does(self, pair: Trials, context: WorkerContext) -> None:
        """Without dropout, whose draws each worker makes for its own share of the batch."""
        plain = dataclasses.replace(SETTINGS, lora_dropout=0.0)
        alone = train_alone(context, plain)
        assert len(live_worker_pids()) == 2
        assert curve_of(pair.train("first", plain)) == pytest.approx(alone, rel=1e-5)
        pair.train("between", OTHERS[0])
        assert curve_of(pair.train("third", plain)) == pytest.approx(alone, rel=1e-5)
        one = TrialRun(context, plain, MAX_STEPS)
        one.advance(2)
        one.save_state(pair.states / "one_then_two")
        resumed = pair.answer("one_then_two", plain, MAX_STEPS).report
        assert resumed is not None
        assert resumed.curve[0].step == 3
        assert curve_of([resumed]) == pytest.approx(alone[2:MAX_STEPS] + alone[-1:], rel=1e-4)
        ray.get(pair.dispatcher.release.remote("one_then_two"))

    def test_their_trial_goes_on_when_one_of_them_is_killed_or_hangs(self, pair: Trials) -> None:
        """The survivor's error in its collective comes first, and is not what ends the trial."""
        workers = live_worker_pids()
        idle_s = {pid: psutil.Process(pid).cpu_times().user for pid in workers}
        doomed = pair.ask("doomed", SETTINGS, ENDLESS)
        victim = max(workers)
        process = psutil.Process(victim)
        assert wait_until(lambda: process.cpu_times().user > idle_s[victim] + 0.5, COMING_UP_S), (
            "it trains by then"
        )
        os.kill(victim, signal.SIGKILL)
        answer = ray.get(doomed, timeout=COMING_UP_S)
        assert answer.lost, answer.error
        ray.get(pair.dispatcher.release.remote("doomed"))
        again = pair.answer("doomed", SETTINGS, MAX_STEPS)
        assert again.report is not None, again.error
        assert again.report.step == MAX_STEPS
        workers_again = live_worker_pids()
        assert not workers & workers_again, "the survivor was ended too"
        ray.get(pair.dispatcher.release.remote("doomed"))
        os.kill(max(workers_again), signal.SIGSTOP)
        stalled = pair.answer("stalled", SETTINGS, ENDLESS)
        assert stalled.lost, stalled.error
        assert "no step was done for" in str(stalled.error)
        assert "trial_runner.py" in stalled.traceback, "it says what the other worker waited in"


def test_a_lane_that_cannot_come_up_says_why(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "no_base").mkdir()
    (tmp_path / "no_base" / "config.json").write_text("{}")
    with lane_over(tmp_path / "nowhere", tmp_path / "no_base", shards) as trials:
        assert not trials.ready()
        answer = trials.answer("any", SETTINGS, 2)
        assert isinstance(answer.error, ModelError)
        assert "no_base" in str(answer.error)
