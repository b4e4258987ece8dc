"""What is said of a sweep before anything is trained, and how it compares with the outcome."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests import tiny
from tests.sweeps import BUDGET as MADE_BUDGET
from tests.sweeps import write_sweep
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.errors import CorpusError, SpaceError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.sweep.plan.corpus_size import corpus_size
from vibesweep.sweep.plan.expected import expect, plan_of_pace
from vibesweep.sweep.plan.planning import WholePlan, plan_sweep
from vibesweep.sweep.plan.text import plan_as_json, plan_lines
from vibesweep.sweep.record.plan import comparison, likely
from vibesweep.training.lanes.messages import Pace
from vibesweep.training.sizes import MOMENTS, trial_size
from vibesweep.training.trial_run import TrialRun

PACE = Pace(step_s=1.0, validation_s=0.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    tiny.write_shards(folder / "shards")
    tiny.write_base(folder / "base")
    return folder


def planned(place: Path, said: list[str] | None = None, **changes: Any) -> WholePlan:
    """Plan a sweep on the tiny base and shards."""
    plain: dict[str, Any] = {"space": {}, "budget": Budget(27, 3, 3), "trials": 9, "lanes": 2}
    sweep = Sweep(corpus=str(place / "shards"), model=str(place / "base"), **plain | changes)
    tell = (said if said is not None else []).append
    return plan_sweep(sweep, StoragePath.of(place), "space.py", tell)


def rates(trial: optuna.Trial) -> None:
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)


# How far trials come


def test_every_trial_comes_to_the_first_rung_and_at_least_one_to_the_end() -> None:
    expected = expect(Budget(27, 3, 3), 9, 2, PACE)
    assert expected.reaching[0] == 9
    assert list(expected.reaching) == sorted(expected.reaching, reverse=True)
    assert expected.reaching[-1] >= 1
    assert 27 + 8 * 3 <= expected.steps < 9 * 27


def test_nine_of_ten_simulations_lie_in_what_is_likely() -> None:
    expected = expect(Budget(27, 3, 3), 12, 2, PACE)
    least, most = expected.likely_steps
    assert 12 * 3 < least < expected.steps < most < 12 * 27
    shortest, longest = expected.likely_wall_s
    assert shortest < expected.wall_s < longest
    assert expect(Budget(27, 3, 3), 1_000, 8, PACE).likely_steps == (), "two simulations say little"


def test_without_a_rung_all_trials_go_to_the_end() -> None:
    expected = expect(Budget(10, 10), 5, 2, PACE, trial_s=2.0)
    assert expected.reaching == (5,)
    assert expected.steps == 50
    assert expected.likely_steps == (50, 50)
    assert likely("50", ["50", "50"]) == "50"
    assert expected.lane_s == 5 * 12
    assert expected.wall_s == 3 * 12  # 3 trials one after another on one lane, 2 on the other


def test_validations_and_lanes_count_in_the_time() -> None:
    budget = Budget(27, 3, 3)
    one_lane = expect(budget, 12, 1, Pace(1.0, 1.0))
    assert one_lane.wall_s == pytest.approx(one_lane.lane_s)
    assert one_lane.lane_s > one_lane.steps
    assert expect(budget, 12, 4, Pace(1.0, 1.0)).wall_s < one_lane.wall_s


def test_good_first_trials_leave_fewer_to_go_on() -> None:
    budget = Budget(27, 3, 3)
    assert expect(budget, 12, 1, PACE, good=2).steps < expect(budget, 12, 1, PACE).steps


# Sizes, against what is written


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("optimizer", [name for name in MOMENTS if name != "adamw_8bit"])
def test_checkpoint_and_state_are_as_large_as_said(
    tmp_path: Path, method: str, optimizer: str
) -> None:
    context = tiny.open_context(tmp_path)
    settings = TrialSettings(method=method, optimizer=optimizer, schedule="constant")
    if optimizer != "schedule_free_adamw":
        settings = dataclasses.replace(settings, ema_decay=0.9)
    run = TrialRun(context, settings, 4)
    run.advance(2)
    run.save(tmp_path / "checkpoint")
    run.save_state(tmp_path / "state")
    size = trial_size(context.base, settings)
    assert tensor_bytes(tmp_path / "checkpoint") == pytest.approx(size.checkpoint_bytes, rel=0.15)
    # Names of tensors count in so small a file, and Adafactor's rows and columns
    assert tensor_bytes(tmp_path / "state") == pytest.approx(size.state_bytes, rel=0.3)


def tensor_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


# The whole plan


def test_a_step_is_measured_where_the_shards_are_there(place: Path) -> None:
    whole = planned(place, space=rates)
    plan = whole.plan
    assert plan.measured
    assert plan.step_s is not None
    assert plan.wall_s is not None
    assert (plan.trials, plan.lanes, plan.unit) == (9, 2, "CPU")
    assert plan.marks == (3, 9, 27)
    assert whole.survey.problems == ()
    assert whole.survey.grid_trials == 5
    lines = list(plan_lines(whole, price_per_hour=3_600.0))
    assert any("the model takes all" in line for line in lines)
    assert any("which cost" in line for line in lines)
    figures = json.loads(json.dumps(plan_as_json(whole, price_per_hour=None)))
    assert figures["cost"] is None
    assert figures["device_hours"] == pytest.approx(2 * plan.wall_s / 3_600)
    assert figures["corpus"]["clips"] == 24


def test_the_memory_is_that_of_all_trials_of_a_lane(place: Path) -> None:
    on_a_gpu = TrialResources(gpus_per_worker=1, accelerator_type="L4")
    alone = planned(place, space=rates, resources=on_a_gpu, trials_per_lane=1)
    together = planned(place, space=rates, resources=on_a_gpu)
    assert together.needs.trials_of_a_lane == 5, "nine trials, two lanes"
    (size,) = {alone.needs.largest, together.needs.largest}
    assert alone.needs.memory_bytes == size.base_bytes + size.own_bytes
    assert together.needs.memory_bytes == size.base_bytes + 5 * size.own_bytes
    assert any("the largest 5 trials at a time" in line for line in plan_lines(together, None))


def test_time_is_reckoned_for_a_gpu_that_is_elsewhere(place: Path) -> None:
    one = TrialResources(gpus_per_worker=1, accelerator_type="L4")
    plan = planned(place, resources=one).plan
    assert not plan.measured
    assert plan.unit == "GPU"
    assert plan.step_s is not None


def test_every_error_of_a_space_is_reported_and_counted(place: Path) -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        trial.suggest_categorical("optimizer", ["adamw", "schedule_free_adamw"])
        trial.suggest_int("freeze_layers", 0, 3)
        if trial.suggest_categorical("weight_decay", [0.0, 0.1]):
            return {"lerning_rate": 1.0}
        return {"method": "freeze"}

    whole = planned(place, space=space)
    reasons = {str(problem.error): problem for problem in whole.survey.problems}
    assert len(reasons) == 3
    (misspelt,) = [found for text, found in reasons.items() if "Perhaps learning_rate" in text]
    assert misspelt.ends_the_sweep
    assert 400 < misspelt.count < 600
    (together,) = [found for text, found in reasons.items() if "schedule_free_adamw" in text]
    assert together.drawn_again
    (refused,) = [found for text, found in reasons.items() if "0 to 2" in text]
    assert refused.swept["freeze_layers"] == 3
    text = "\n".join(plan_lines(whole, None))
    for words in ("for which no sweep begins", "drawn again", "would fail", "freeze_layers=3"):
        assert words in text


def test_a_space_of_which_nothing_can_be_trained_is_an_error(place: Path) -> None:
    with pytest.raises(SpaceError, match="Perhaps learning_rate is meant"):
        planned(place, space=lambda trial: {"lerning_rate": 1.0})


def test_a_grid_over_branches_counts_each_branch(place: Path) -> None:
    def space(trial: optuna.Trial) -> None:
        rates(trial)
        if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
            trial.suggest_categorical("lora_rank", [4, 8, 16])

    assert planned(place, space=space).survey.grid_trials == 5 * (1 + 3)


# The corpus, before it is encoded


def test_a_corpus_is_counted_from_its_table(place: Path, tmp_path: Path) -> None:
    rows = [f"r{number},{number}.wav,{number}.txt,1,{seconds}" for number, seconds in LENGTHS]
    table = ["id,audio_path,text_path,num_speakers,duration_sec", *rows]
    (tmp_path / "metadata.csv").write_text("\n".join(table))
    size = corpus_size(str(tmp_path), ModelRef.parse(str(place / "base")), StoragePath.of(place))
    assert size.shards is None
    assert size.clips == round(0.9 * 11)  # the first is cut in two
    assert size.speech_s == pytest.approx(0.9 * 690)


LENGTHS = [(0, 600), *((number, 10) for number in range(1, 10))]


def test_a_corpus_of_unknown_length_is_an_error(place: Path, tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("id,audio_path,text_path\nr0,gone.wav,gone.txt\n")
    with pytest.raises(CorpusError, match="nobody knows how long"):
        corpus_size(str(tmp_path), ModelRef.parse(str(place / "base")), StoragePath.of(place))


# Plan and outcome


def test_show_sets_the_plan_beside_the_outcome(tmp_path: Path) -> None:
    record = write_sweep(tmp_path / "made", trials=9).read()
    assert comparison(record) is None, "it has no plan"
    sweep = Sweep({}, budget=MADE_BUDGET, trials=9)
    plan = plan_of_pace(sweep, record.lanes, Pace(0.5, 0.0))
    record.plan = dataclasses.asdict(dataclasses.replace(plan, made_unix_s=record.started_unix_s))
    table = comparison(record)
    assert table is not None
    cells = [[str(cell).strip() for cell in column.cells] for column in table.columns]
    names, plans, outcomes = cells
    reached = sum(trial.step >= MADE_BUDGET.last_step for trial in record.trials)
    assert outcomes[names.index("trials that came to step 54")] == str(reached)
    assert outcomes[names.index("steps")] == str(sum(trial.step for trial in record.trials))
    assert plans[names.index("a step")] == "0.5 s"
    least, most = plan.likely_steps
    assert plans[names.index("steps")] == f"{plan.steps:.0f} ({least:.0f} to {most:.0f})"
    assert plans[names.index("first trial to last")].endswith("s)")
