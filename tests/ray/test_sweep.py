"""Whole sweeps on a tiny base: what they leave behind and what they refuse."""

from __future__ import annotations

import io
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import ray
import torch
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState as OptunaState
from ray.tune.execution.tune_controller import TuneController
from rich.console import Console

from tests import tiny
from tests.reports import read_reports
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.errors import ModelError, ResourceError, SweepError
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.allowance import Allowance
from vibesweep.sweep.checks.early import check_sweep
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState, TrialState
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.states import FINISHED
from vibesweep.sweep.record.study import STUDY_NAME, study_storage
from vibesweep.sweep.rerun import rerun
from vibesweep.sweep.run import run_sweep
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

FAR_TOO_HIGH = 1e9
KEPT = 3
RATES = [FAR_TOO_HIGH, 3e-3, 1e-3, 1e-5, 1e-6, 1e-7]
BUDGET = Budget(max_steps=8, grace_steps=2, reduction_factor=2)


@dataclass(frozen=True)
class Workplace:
    """Where the tests' sweeps run, and on what."""

    work: Path
    sweep: Sweep


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("sweeps")
    sweep = Sweep(
        space={"learning_rate": CategoricalDistribution(RATES)},
        try_first=tuple({"learning_rate": rate} for rate in RATES),
        corpus=str(tiny.write_shards(folder / "shards_made")),
        model=str(tiny.write_base(folder / "base")),
        settings=TrialSettings(method="full", batch_clips=4, grad_clip_norm=1e9),
        budget=BUDGET,
        trials=len(RATES),
        keep_checkpoints=KEPT,
    )
    return Workplace(folder, sweep)


def run_quietly(workplace: Workplace, sweep: Sweep, name: str) -> tuple[SweepFolder, str]:
    """Run a sweep and return its folder and what it said."""
    said = io.StringIO()
    folder = run_sweep(sweep, name, work=workplace.work, console=Console(file=said, width=200))
    return folder, said.getvalue()


@pytest.fixture(scope="class")
def ran(ray_cluster: str, workplace: Workplace) -> tuple[SweepFolder, str]:
    return run_quietly(workplace, workplace.sweep, "one")


@pytest.fixture(scope="class")
def folder(ran: tuple[SweepFolder, str]) -> SweepFolder:
    return ran[0]


@pytest.fixture(scope="class")
def record(folder: SweepFolder) -> SweepRecord:
    return folder.read()


@pytest.fixture(scope="class")
def study(folder: SweepFolder) -> optuna.Study:
    """As any Optuna reads it."""
    return optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))


class TestOneSweep:
    """One sweep, from all sides.

    Its first trial diverges; the others' rates fall, so that late ones are pruned.
    """

    def test_every_trial_comes_to_its_end(self, record: SweepRecord) -> None:
        assert record.state == SweepState.DONE
        assert [
            trial.swept["learning_rate"] for trial in sorted(record.trials, key=lambda t: t.number)
        ] == RATES
        states = {trial.number: trial.state for trial in record.trials}
        assert states.pop(0) == TrialState.DIVERGED
        assert set(states.values()) == {TrialState.COMPLETE, TrialState.PRUNED}
        assert all(
            trial.step == BUDGET.last_step
            for trial in record.trials
            if trial.state == TrialState.COMPLETE
        )
        assert all(
            trial.step in BUDGET.report_steps
            for trial in record.trials
            if trial.state == TrialState.PRUNED
        )
        assert all(trial.ended_unix_s is not None for trial in record.trials)

    def test_the_record_says_what_was_run(self, record: SweepRecord, workplace: Workplace) -> None:
        assert record.lanes == 2
        assert record.model == workplace.sweep.model
        assert record.base_loss_val is not None
        assert record.best is not None
        assert record.best.best_loss_val is not None
        assert record.best.best_loss_val < record.base_loss_val
        assert {"python", "ray", "torch", "vibesweep"} <= set(record.versions)

    def test_the_record_says_where_and_when_each_trial_trained(self, record: SweepRecord) -> None:
        trained = [trial for trial in record.trials if trial.step]
        # Trials are short: the lane that comes up first may train them all
        assert {trial.lane for trial in trained} <= {"one-lane-0", "one-lane-1"}
        for trial in trained:
            assert trial.device == "cpu"
            assert trial.ended_unix_s is not None
            assert trial.started_unix_s < trial.first_step_unix_s < trial.ended_unix_s

    def test_optuna_knows_how_each_trial_ended(
        self, study: optuna.Study, record: SweepRecord
    ) -> None:
        states = {
            TrialState.COMPLETE: OptunaState.COMPLETE,
            TrialState.PRUNED: OptunaState.PRUNED,
            TrialState.DIVERGED: OptunaState.PRUNED,
        }
        trials = {trial.number: trial for trial in study.trials}
        assert len(trials) == len(record.trials)
        for mine in record.trials:
            assert trials[mine.number].state == states[mine.state]
            assert ("diverged" in trials[mine.number].user_attrs) == (
                mine.state == TrialState.DIVERGED
            )
            if mine.state == TrialState.COMPLETE:
                assert trials[mine.number].value == mine.best_loss_val
            if mine.state == TrialState.PRUNED:
                values = trials[mine.number].intermediate_values
                assert list(values) == [step for step in BUDGET.report_steps if step <= mine.step]
                assert values[mine.step] == mine.loss_val

    def test_every_report_is_in_the_table(
        self, folder: SweepFolder, record: SweepRecord, study: optuna.Study
    ) -> None:
        table = pd.read_parquet(str(folder.reports))
        for mine in record.trials:
            rows = table[table["trial"] == mine.id]
            assert (
                dict(zip(rows["step"], rows["loss_val"], strict=True))
                == study.trials[mine.number].intermediate_values
            )
            assert set(rows["state"]) == {mine.state}
            assert set(rows["learning_rate"]) == {mine.swept["learning_rate"]}

    def test_tensorboard_shows_the_curves(self, folder: SweepFolder, record: SweepRecord) -> None:
        for mine in record.trials:
            told = b"".join(
                path.read_bytes()
                for path in Path(str(folder.tensorboard / f"trial_{mine.number:03d}")).rglob(
                    "*tfevents*"
                )
            )
            assert [
                tag for tag in (b"loss/train", b"loss/val", b"lr", b"grad_norm") if tag not in told
            ] == [], mine

    def test_checkpoints_are_safetensors_and_json(
        self, folder: SweepFolder, record: SweepRecord
    ) -> None:
        kept = {
            path.name: {file.suffix for file in path.iterdir()}
            for path in Path(str(folder.checkpoints)).iterdir()
        }
        best = sorted(record.trials, key=record.score)[:KEPT]
        assert set(kept) == {trial.id for trial in best}
        assert all(suffixes == {".safetensors", ".json"} for suffixes in kept.values())
        assert not folder.scratch.is_dir()

    def test_plain_lines_tell_of_each_trial(self, ran: tuple[SweepFolder, str]) -> None:
        lines = ran[1].splitlines()
        assert any(
            line.startswith("trial   0 diverged") and "the loss was" in line for line in lines
        )
        assert f"{len(RATES)} of {len(RATES)} ended" in lines[-1]

    def test_the_winner_trained_again_alone_is_as_good(self, folder: SweepFolder) -> None:
        record, best, checkpoint = folder.best_checkpoint()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        run = TrialRun(
            WorkerContext.open(ModelRef.parse(record.model), Path(record.shards), World()),
            TrialSettings(**best.settings),
            BUDGET.last_step,
        )
        losses = [run.advance(step).loss_val for step in BUDGET.report_steps]
        torch.set_num_threads(threads)
        assert min(losses) == pytest.approx(best.best_loss_val, rel=1e-6)
        assert checkpoint.is_dir()

    def test_a_trial_that_is_trained_again_has_the_same_losses_to_the_bit(
        self, folder: SweepFolder, record: SweepRecord
    ) -> None:
        last = max(record.trials, key=lambda trial: trial.started_unix_s)
        said: list[str] = []
        compared = rerun(folder, str(last.number), said.append)
        assert compared[-1].step == last.step
        assert [report for report in compared if not report.same] == []
        assert all(line.endswith("as then") for line in said)
        assert not folder.rerun.is_dir()

    def test_ctrl_c_is_given_back(self, ran: tuple[SweepFolder, str]) -> None:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_its_name_is_taken(self, workplace: Workplace, folder: SweepFolder) -> None:
        with pytest.raises(SweepError, match="there is a sweep named one already"):
            run_quietly(workplace, workplace.sweep, folder.place.name)


@pytest.mark.usefixtures("ray_cluster")
class TestRefusals:
    """What cannot work is said at once."""

    @pytest.mark.parametrize(
        "change",
        [
            {"lanes": 3},
            {"resources": TrialResources(workers=3)},
            {"resources": TrialResources(cpus_per_worker=3)},
            {"resources": TrialResources(gpus_per_worker=1)},
        ],
    )
    def test_more_than_fits(self, workplace: Workplace, change: dict[str, object]) -> None:
        too_much = replace(workplace.sweep, **change)  # type: ignore[arg-type]
        with pytest.raises(ResourceError, match="the cluster has 2 CPUs"):
            run_quietly(workplace, too_much, "too_much")
        assert not (workplace.work / "sweeps" / "too_much").exists(), "the name is still free"

    def test_a_base_that_is_not_there(self, workplace: Workplace) -> None:
        with pytest.raises(ModelError, match="no model"):
            run_quietly(
                workplace,
                replace(workplace.sweep, model=str(workplace.work / "nothing")),
                "no_base",
            )
        assert not (workplace.work / "sweeps" / "no_base").exists(), "the name is still free"

    def test_a_sweep_that_fails_before_a_trial_was_trained_leaves_its_name_free(
        self, workplace: Workplace
    ) -> None:
        def space(trial: optuna.Trial) -> dict[str, object]:
            trial.suggest_categorical("freeze_layers", [99, 1])
            return {"method": "freeze"}

        # Of this seed the first trial is the half of the space that the model refuses
        wrong = replace(
            workplace.sweep,
            space=space,
            try_first=(),
            lanes=1,
            trials=2,
            seed=1,
            max_failed_fraction=0.0,
        )
        with pytest.raises(SweepError, match=r"1 of 2 trials failed: 1 x .*freeze_layers is 99"):
            run_quietly(workplace, wrong, "all_wrong")
        folder = SweepFolder(workplace.work / "sweeps" / "all_wrong")
        record = folder.read()
        assert record.state == SweepState.FAILED
        assert [trial.state for trial in record.trials].count(TrialState.FAILED) == 1
        assert "freeze_layers is 99" in folder.errors_of("trial_000").read_bytes().decode()
        check_sweep(workplace.sweep, "all_wrong", workplace.work, print)


@pytest.mark.usefixtures("ray_cluster")
def test_trials_that_share_a_lane_end_with_the_losses_of_each_alone(workplace: Workplace) -> None:
    points = [{"learning_rate": rate} for rate in RATES[:4]]
    one = replace(
        workplace.sweep,
        settings=TrialSettings(batch_clips=4, lora_head="full", lora_dropout=0.0),
        budget=Budget(max_steps=24, grace_steps=24),
        lanes=1,
        trials_per_lane=3,
        trials=4,
        try_first=tuple(points),
    )
    folder, said = run_quietly(workplace, one, "seats")
    assert "a lane is coming up" in said
    trials = folder.read().trials
    assert any(are_at_once(one, other) for one in trials for other in trials if one is not other)
    together = {trial.number: trial.best_loss_val for trial in trials}
    assert together.pop(0) is None, "it diverged"
    alone = {one.number: best_alone(workplace, one) for one in trials if one.number in together}
    assert together == pytest.approx(alone, rel=1e-5)


def best_alone(workplace: Workplace, trial: TrialRecord) -> float:
    """Train a trial in this process, on no lane, and return its best loss."""
    base = ModelRef.parse(workplace.sweep.model)
    context = WorkerContext.open(base, Path(workplace.sweep.corpus), World())
    run = TrialRun(context, TrialSettings(**trial.settings), trial.step)
    return run.advance(trial.step).loss_val


def are_at_once(one: TrialRecord, other: TrialRecord) -> bool:
    """Return whether one trial takes its first step while the other trains."""
    assert other.ended_unix_s is not None
    return other.first_step_unix_s < one.first_step_unix_s < other.ended_unix_s


@dataclass(frozen=True)
class GoneOn:
    """A sweep that its limit ended before its first trial, and that lost two actors when resumed.

    Attributes:
        limited: the record of the first run.
        folder: of the sweep.
        lost: numbers of the trials whose actors were killed, by when that was.
    """

    limited: SweepRecord
    folder: SweepFolder
    lost: dict[str, int]


@pytest.fixture(scope="class")
def gone_on(ray_cluster: str, workplace: Workplace) -> GoneOn:
    lost: dict[str, int] = {}
    sweep = replace(workplace.sweep, lanes=1, trials=3, try_first=workplace.sweep.try_first[1:4])
    run = partial(run_sweep, replace(sweep, repeat_best=2), "limited", work=workplace.work)
    limited = run(allowance=Allowance(max_hours=0.0)).read()
    with pytest.MonkeyPatch.context() as patch:
        kill_actors(patch, lost)
        folder = run(resume=True)
    return GoneOn(limited, folder, lost)


def kill_actors(patch: pytest.MonkeyPatch, lost: dict[str, int]) -> None:
    """Kill the actor of the first trial at its end, and the one that is handed on to the last."""
    process = TuneController._process_trial_result
    hand_on = TuneController._schedule_trial_reset

    def kill_at_the_end(self: TuneController, trial: Any, result: dict[str, Any]) -> Any:
        if result.get("done") and "at the end" not in lost:
            lost["at the end"] = trial.config["number"]
            kill_actor_of(self, trial)
        return process(self, trial, result)

    def kill_before(self: TuneController, trial: Any, *arguments: Any) -> None:
        number = trial.config["number"]
        if number == 2 and "before it began" not in lost:
            lost["before it began"] = number
            kill_actor_of(self, trial)
        hand_on(self, trial, *arguments)

    patch.setattr(TuneController, "_process_trial_result", kill_at_the_end)
    patch.setattr(TuneController, "_schedule_trial_reset", kill_before)


def kill_actor_of(controller: TuneController, trial: Any) -> None:
    """Kill the actor that Ray Tune has for a trial."""
    tracked = controller._trial_to_actor[trial]
    actor, _ = controller._actor_manager._live_actors_to_ray_actors_resources[tracked]
    ray.kill(actor)


class TestASweepThatGoesOn:
    """One sweep that is resumed, and loses actors of Ray Tune's."""

    def test_it_goes_on_after_its_limit(self, gone_on: GoneOn) -> None:
        assert gone_on.limited.state == SweepState.STOPPED
        assert gone_on.limited.reached == "--max-hours 0 is reached"
        assert gone_on.limited.trials == [], "none has begun"
        record = gone_on.folder.read()
        assert (record.state, record.reached) == (SweepState.DONE, "")

    def test_a_trial_that_has_ended_does_not_run_again_when_its_actor_is_lost(
        self, gone_on: GoneOn
    ) -> None:
        """Ray Tune recovers a trial whose actor is lost while it is asked to save at the end."""
        assert gone_on.lost["at the end"] == 0
        assert not read_reports(gone_on.folder).duplicated(["number", "step"]).any()

    def test_a_trial_whose_actor_is_lost_before_it_began_is_tried_all_the_same(
        self, gone_on: GoneOn
    ) -> None:
        """Ray Tune gives up a trial whose actor, another's before, is lost as it is handed on."""
        assert gone_on.lost["before it began"] == 2
        folder = gone_on.folder
        trials = folder.read().trials
        assert [trial.number for trial in trials] == [0, 1, 2]
        assert all(trial.state in FINISHED for trial in trials)
        assert TrialState.FAILED not in [trial.state for trial in trials]
        study = optuna.load_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))
        assert len(study.trials) == 3

    def test_its_best_are_run_again(self, gone_on: GoneOn) -> None:
        record = gone_on.folder.read()
        complete = [trial for trial in record.trials if trial.state == TrialState.COMPLETE]
        best = sorted(complete, key=record.score)[:2]
        again = {(repeat["number"], repeat["seed"]) for repeat in record.repeats}
        assert again == {(trial.number, seed) for trial in best for seed in (1, 2)}
        own = {trial.id for trial in record.trials}
        assert {place.name for place in gone_on.folder.checkpoints.folders()} <= own
