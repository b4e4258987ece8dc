"""A second objective: what is refused, who goes on, what is suggested, and what is told. No Ray."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState as OptunaState
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from tests.sweeps import write_sweep
from tests.unit.test_sweep_search import a_log
from vibesweep.config import Budget, Sweep
from vibesweep.errors import SpaceError
from vibesweep.quality.aim import Aim, listening_line
from vibesweep.sweep.checks.aim import check_aim
from vibesweep.sweep.record import SweepRecord, TrialState, sweep_as_json
from vibesweep.sweep.record.front import front_line, front_of
from vibesweep.sweep.record.show import sweep_table
from vibesweep.sweep.record.study import STUDY_NAME, study_storage
from vibesweep.sweep.search.ranks import Ranks
from vibesweep.sweep.search.sampler import PRICE
from vibesweep.sweep.search.scheduler import METRIC, StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch
from vibesweep.sweep.search.win_shares import weighed_shares

BUDGET = Budget(8, 2, 2)  # rungs at 2 and 4
SWEEP = Sweep(
    {"learning_rate": FloatDistribution(1e-5, 1e-2, log=True)},
    budget=BUDGET,
    trials=8,
    objective=("loss_val", "step_ms"),
)
AIM = Aim.of(SWEEP)


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ((), "Name one or two"),
        (("loss_val", "step_ms", "mcd_db"), "Name one or two"),
        (("loss_val", "loss_val"), "Name each once"),
        (("loss_val", 3), "Name each once"),
        ("step_ms", r'give \("loss_val", "step_ms"\)'),
    ],
)
def test_what_can_be_no_objective_is_refused(objective: Any, told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        Sweep({}, objective=objective)


def test_a_second_objective_is_a_cost_a_measure_or_the_loss() -> None:
    assert AIM == Aim("loss_val", second="step_ms") == Aim.recorded(sweep_as_json(SWEEP))
    assert AIM.measures == ()
    heard = Aim.of(replace(SWEEP, objective=("loss_val", "mcd_db")))
    assert heard.measures == ("mcd_db",)
    assert heard.heard_steps(BUDGET) == (4, 8)
    check_aim(SWEEP)
    with pytest.raises(SpaceError, match=r"Sweep.objective.*no measure .steps.*peak_memory_mb"):
        check_aim(replace(SWEEP, objective=("loss_val", "steps")))
    assert listening_line(AIM, BUDGET) == "trials are ranked by the loss and ms a step"


def test_a_price_is_less_for_better_and_the_highest_while_it_is_unknown() -> None:
    assert Aim().price({"step_ms": 3.0}) == 0.0
    assert AIM.price({"step_ms": 3.0}) == 3.0
    assert AIM.price({"step_ms": 0.0}) == AIM.price({}) == math.inf
    assert Aim("mcd_db", second="loss_val").price({"best_loss_val": 0.4}) == 0.4
    length = Aim(second="duration_ratio", limits={"ran_on": 0.2})
    endless = {"best_heard": {"duration_ratio": 0.9, "ran_on": 1.0}}
    assert length.price({}) == math.inf
    assert length.price(endless) == pytest.approx(0.1)
    assert length.ranked_price(endless) == math.inf, "it breaks a limit"


# Who goes on


def beaten_by(one: tuple[float, float], others: list[tuple[float, float]]) -> int:
    return sum(other != one and other[0] <= one[0] and other[1] <= one[1] for other in others)


def test_those_whom_fewer_beat_are_ahead() -> None:
    draws = np.random.default_rng(0)
    figures = [(float(a), float(b)) for a, b in draws.integers(0, 6, (60, 2))]
    ranks = Ranks()
    known: list[tuple[float, float]] = []
    for number, one in enumerate(figures):
        place = (beaten_by(one, known), one[0])
        ahead = [other for other in known if (beaten_by(other, [*known, one]), other[0]) < place]
        assert ranks.enter(*one) == len(ahead)
        known.append(one)
        if number % 3 == 0:
            left = known.pop(number // 3)
            ranks.remove(*left)


def test_of_one_price_the_smallest_score_is_ahead() -> None:
    ranks = Ranks()
    assert [ranks.enter(score, 0.0) for score in (0.5, 0.4, 0.6, 0.4, 0.45)] == [0, 0, 2, 0, 2]


def test_a_cheap_trial_goes_on_and_one_that_is_beaten_in_both_does_not() -> None:
    def decisions(aim: Aim) -> list[str]:
        asha = StepAsha(BUDGET, aim)
        told = []
        for name, loss, step_ms in (("a", 0.2, 90.0), ("b", 0.3, 95.0), ("c", 0.5, 20.0)):
            trial: Any = SimpleNamespace(trial_id=name, config={})
            result = {"step": 2, "loss_val": loss, "step_ms": step_ms}
            told.append(asha.on_trial_result(None, trial, result))
        return told

    go_on, stop = TrialScheduler.CONTINUE, TrialScheduler.STOP
    assert decisions(AIM) == [go_on, stop, go_on]
    assert decisions(Aim()) == [go_on, stop, stop]


# What is suggested


def test_each_weight_has_another_trial_of_the_front_in_front() -> None:
    shares = np.array([1.0, 0.75, 0.25, 0.5, 0.0])
    prices = np.array([9.0, 5.0, 1.0, 8.0, math.inf])
    best = [int(weighed_shares(shares, prices, weight).argmax()) for weight in (1.0, 0.6, 0.1)]
    assert best == [0, 1, 2]
    for weight in (0.5, 0.7, 0.9):
        weighed = weighed_shares(shares, prices, weight)
        assert weighed[3] < weighed[1], "beaten in both"
        assert weighed.min() == weighed[4]


def test_the_search_finds_cheap_trials_too() -> None:
    def cheapest_of_the_later_half(objective: Any) -> float:
        space = {"lora_dropout": FloatDistribution(0.0, 0.5)}
        sweep = Sweep(space, budget=BUDGET, trials=24, objective=objective)
        search = SweepSearch(sweep)
        drawn = []
        for number in range(24):
            swept = search.suggest(str(number))["swept"]
            loss = 1 - swept["lora_dropout"]
            result = {"step": 8, "loss_val": loss, "best_loss_val": loss, "outcome": "complete"}
            # What is better by its loss takes longer
            search.on_trial_complete(str(number), result | {"step_ms": 1 + swept["lora_dropout"]})
            drawn.append(swept["lora_dropout"])
        return float(min(drawn[12:]))

    assert cheapest_of_the_later_half("loss_val") > 0.4
    assert cheapest_of_the_later_half(("loss_val", "step_ms")) < 0.1


# What Optuna is told


def result(step: int, loss: float, outcome: TrialState | None = None) -> dict[str, Any]:
    return {
        "step": step,
        "loss_val": loss,
        "best_loss_val": min(loss, 0.4),
        "step_ms": 10.0 * step,
        "outcome": outcome,
    }


@pytest.mark.parametrize("second", ["step_ms", "mcd_db"])
def test_a_result_may_lack_the_second(second: str) -> None:
    """Ray Tune refuses a result without what the searcher calls its metric."""
    search = SweepSearch(replace(SWEEP, objective=("loss_val", second)))
    assert search.metric == METRIC
    assert len(search.study.directions) == 2


def test_the_study_has_two_objectives_and_a_front(tmp_path: Path) -> None:
    search = SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))
    for name in "abc":
        search.suggest(name)
    search.on_trial_result("a", result(2, 0.5))
    search.on_trial_complete("a", result(8, 0.3, TrialState.COMPLETE))
    search.on_trial_complete("b", result(4, 0.6))
    search.on_trial_complete("c", result(1, math.inf, TrialState.DIVERGED))
    search.suggest("d")
    study = optuna.load_study(
        study_name=STUDY_NAME, storage=study_storage(tmp_path / "study.journal")
    )
    complete, pruned, diverged, _ = study.trials
    assert complete.values == [0.3, 80.0]
    assert complete.intermediate_values == {2: 0.5, 8: 0.3}
    assert (pruned.state, pruned.values) == (OptunaState.PRUNED, [0.4, 40.0])
    assert pruned.user_attrs[PRICE] == 40.0
    assert (diverged.state, diverged.values) == (OptunaState.PRUNED, None)
    assert [trial.number for trial in study.best_trials] == [0]


def test_a_sweep_that_is_resumed_knows_the_prices(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    before = SweepSearch(SWEEP, study_storage(journal))
    before.suggest("a")
    before.suggest("b")
    before.suggest("c")
    log = a_log((0, 2, 0.5), (1, 2, 0.55), (2, 2, 0.6), trial_001=TrialState.PRUNED)
    for trial, step_ms in zip(log.record.trials, (30.0, 20.0, 10.0), strict=True):
        trial.step_ms = step_ms
    again = SweepSearch(SWEEP, study_storage(journal))
    again.resume(log)
    assert again.study.trials[1].values == [0.55, 20.0]
    assert again.study.trials[1].user_attrs[PRICE] == 20.0
    prices = (9.0, 9.5, 8.0)
    priced = [replace(report, step_ms=prices[report.number]) for report in log.reports]
    assert StepAsha(BUDGET, AIM).replay(priced) == {"trial_001"}
    assert StepAsha(BUDGET).replay(priced) == {"trial_001", "trial_002"}


# What is said


@pytest.fixture
def record(tmp_path: Path) -> SweepRecord:
    made = write_sweep(tmp_path / "made").read()
    objective = {"objective": ["loss_val", "step_ms"]}
    return dataclasses.replace(made, sweep=made.sweep | objective)


def test_the_summary_names_the_front_and_the_best_is_the_first_ones(record: SweepRecord) -> None:
    front = front_of(record, "step_ms")
    line = front_line(record)
    assert line.startswith("unbeaten in both best loss and ms a step: trial ")
    assert all(f"trial {trial.number} (" in line for trial in front)
    assert front[-1] is record.best
    assert front_line(replace(record, sweep=record.sweep | {"objective": "loss_val"})) == ""


def test_the_front_is_shown_beneath_the_trials(record: SweepRecord) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))
    console.print(sweep_table(record))
    assert "none beats these in both" in console.export_text()


def test_those_outside_of_their_limits_are_not_on_the_front(record: SweepRecord) -> None:
    limited = replace(record, sweep=record.sweep | {"limits": {"ran_on": 0.2}})
    first, second, *_ = front_of(record, "step_ms")
    first.best_heard = {"ran_on": 1.0}
    second.best_heard = {"ran_on": 0.0}
    assert front_of(limited, "step_ms") == [second]
