"""Trials ranked by how they sound: the score, ASHA, Optuna, the record, and what is refused early.

No Ray cluster.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from ray.tune.schedulers import TrialScheduler

from tests import tiny
from tests.unit.test_sweep_search import a_log
from vibesweep.config import Budget, Sweep
from vibesweep.errors import CorpusError, ModelError, SpaceError
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import BEHIND, Aim, listening_line
from vibesweep.quality.measures import MEASURES
from vibesweep.sweep.checks.aim import check_aim, check_heard
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.sweep.record.study import study_storage
from vibesweep.sweep.record.table import ranked, summary_of
from vibesweep.sweep.record.trials_table import TrialsTable
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch

BUDGET = Budget(8, 2, 2)  # rungs at 2 and 4
SWEEP = Sweep(
    {"learning_rate": FloatDistribution(1e-5, 1e-2, log=True)},
    budget=BUDGET,
    trials=8,
    objective="mcd_db",
    limits={"ran_on": 0.25, "duration_ratio": 1.5},
)
AIM = Aim.of(SWEEP)
GOOD = {"mcd_db": 4.0, "ran_on": 0.0, "duration_ratio": 1.1}
FARTHER = {**GOOD, "mcd_db": 5.0}
ENDLESS = {**GOOD, "mcd_db": 3.0, "ran_on": 1.0}
SHORT = {**GOOD, "mcd_db": 3.0, "duration_ratio": 0.4}


# The score


def test_the_loss_is_the_score_unless_the_sweep_says_otherwise() -> None:
    assert Aim().score(0.4, {}) == 0.4
    assert Aim().heard_steps(BUDGET) == ()
    assert Aim.recorded({}) == Aim()
    assert AIM.heard_steps(BUDGET) == (4, 8)
    assert AIM.heard_steps(Budget(8, 8)) == (8,)


def test_those_that_keep_their_limits_come_first_and_those_not_heard_last() -> None:
    scores = [AIM.score(0.5, heard) for heard in (GOOD, FARTHER, SHORT, ENDLESS, {})]
    assert scores == sorted(scores)
    assert scores[0] == 4.0
    assert AIM.score(0.3, {}) < AIM.score(0.4, {})
    assert AIM.score(math.inf, GOOD) == math.inf


def test_a_limit_is_a_distance_from_the_ideal_on_either_side() -> None:
    assert AIM.excesses(SHORT)["duration_ratio"] == pytest.approx(0.1)
    assert AIM.is_kept({**GOOD, "duration_ratio": 0.5})
    understood = Aim(limits={"identified": 0.8})
    assert understood.is_kept({"identified": 1.0})
    assert not understood.is_kept({"identified": 0.7})


def test_speech_too_bad_for_a_figure_is_farthest_of_all() -> None:
    aim = Aim("log_f0_rmse")
    assert aim.score(0.1, {"log_f0_rmse": 9.0}) < aim.score(0.1, {"mcd_db": 1.0}) < BEHIND


# ASHA and Optuna


def result(
    step: int,
    loss: float,
    heard: dict[str, float] | None = None,
    outcome: TrialState | None = None,
    best_loss: float | None = None,
    best: dict[str, float] | None = None,
) -> dict[str, Any]:
    return {
        "step": step,
        "loss_val": loss,
        "best_loss_val": loss if best_loss is None else best_loss,
        "heard": heard or {},
        "best_heard": best or heard or {},
        "outcome": outcome,
        "reason": "",
    }


def test_asha_goes_by_the_loss_at_the_first_rung_and_by_the_ear_above() -> None:
    asha = StepAsha(BUDGET, AIM)

    def tell(name: str, step: int, loss: float, heard: dict[str, float] | None = None) -> str:
        trial: Any = SimpleNamespace(trial_id=name, config={})
        return asha.on_trial_result(None, trial, result(step, loss, heard))

    assert tell("a", 2, 0.5) == TrialScheduler.CONTINUE
    assert tell("b", 2, 0.6) == TrialScheduler.STOP
    assert tell("c", 2, 0.1) == TrialScheduler.CONTINUE
    assert tell("c", 4, 0.1, ENDLESS) == TrialScheduler.CONTINUE, "the best loss, heard first"
    assert tell("d", 2, 0.05) == TrialScheduler.CONTINUE
    assert tell("d", 4, 0.9, GOOD) == TrialScheduler.CONTINUE
    assert tell("d", 5, 0.9) == TrialScheduler.CONTINUE
    assert tell("c", 5, 0.01) == TrialScheduler.STOP, "however small its loss"


def test_optuna_is_told_distances_once_a_trial_is_heard_and_limits_as_constraints() -> None:
    search = SweepSearch(SWEEP)
    search.suggest("a")
    search.on_trial_result("a", result(2, 0.5))
    search.on_trial_result("a", result(4, 0.4, FARTHER))
    search.on_trial_result("a", result(6, 0.3, best=FARTHER))
    search.on_trial_complete("a", result(8, 0.3, GOOD, TrialState.COMPLETE))
    search.suggest("b")
    search.on_trial_complete("b", result(4, 0.1, ENDLESS))
    search.suggest("c")
    search.on_trial_complete("c", result(2, 0.9))
    heard, endless, unheard = search.study.trials
    assert heard.intermediate_values == {2: 0.5, 4: 5.0, 8: 4.0}
    assert heard.value == 4.0
    assert heard.user_attrs["mcd_db"] == 4.0
    assert max(heard.constraints.values()) <= 0
    assert endless.constraints["ran_on"] == 0.75
    assert unheard.constraints == {}


def test_a_sweep_that_is_resumed_tells_no_loss_among_measures(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    before = SweepSearch(SWEEP, study_storage(journal))
    before.suggest("a")
    before.on_trial_result("a", result(2, 0.5))
    before.on_trial_result("a", result(4, 0.4, GOOD))
    log = a_log((0, 2, 0.5), (0, 4, 0.4), (0, 6, 0.3))
    log.reports[1] = replace(log.reports[1], heard=GOOD)
    again = SweepSearch(SWEEP, study_storage(journal))
    again.resume(log)
    (trial,) = again.study.trials
    assert trial.intermediate_values == {2: 0.5, 4: 4.0}


# The record


def record() -> SweepRecord:
    made = SweepRecord("mine", "mel-small", "/shards", "", sweep_as_json(SWEEP), 1, {})
    for number, heard in enumerate(({}, ENDLESS, GOOD, FARTHER)):
        trial = TrialRecord(f"t{number}", number, {}, {}, TrialState.COMPLETE)
        made.trials.append(replace(trial, best_loss_val=0.1 * (number + 1), best_heard=heard))
    made.base_loss_val = 0.2
    return made


def test_the_record_ranks_by_what_was_heard_and_shows_it() -> None:
    found = record()
    assert [trial.number for trial in ranked(found)] == [2, 3, 1, 0]
    assert not found.base_wins, "the base's loss is beside the point"
    assert "best loss 0.3000, MCD dB 4, ran on 0, length 1.1 (trial 2)" in summary_of(found, 0.0)
    rows = {row.cells["trial"]: row.cells for row in TrialsTable(found).rows}
    assert (rows["1"]["ran on"], rows["0"]["MCD dB"]) == ("1", "-")


def test_it_is_said_when_trials_are_heard() -> None:
    assert listening_line(Aim(), BUDGET) == ""
    line = listening_line(AIM, BUDGET)
    assert "says 3 held-out texts at step 4, 8, and is ranked by MCD dB" in line
    assert "if it keeps to ran on 0.25 and length 1.5" in line


# What is refused before Ray starts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mcd"}, r"Sweep.objective.*no measure .mcd.*mcd_db"),
        ({"limits": {"runaway": 0.1}}, "Sweep.limits.*no measure 'runaway'"),
    ],
)
def test_a_measure_that_there_is_not_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_aim(replace(SWEEP, **changes))


@pytest.mark.parametrize("limit", ["0.2", True, math.inf])
def test_a_limit_is_a_number(limit: Any) -> None:
    with pytest.raises(SpaceError, match=r'Give a number, as in \{"ran_on": 0.2\}'):
        replace(SWEEP, limits={"ran_on": limit})


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    check_aim(SWEEP)  # needs nothing
    with pytest.raises(ModelError, match=r'no pocketsphinx.*`pip install "vibesweep\[quality\]"`'):
        check_aim(replace(SWEEP, objective="identified"))


def test_shards_without_recordings_cannot_be_listened_to(tmp_path: Path) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    model = ModelRef.parse(str(tiny.write_base(tmp_path / "base")))
    check_heard(replace(SWEEP, objective="loss_val", limits={}), model, str(shards))
    with pytest.raises(CorpusError, match="held-out recordings"):
        check_heard(SWEEP, model, str(shards))


def test_every_measure_says_what_it_is() -> None:
    assert all(asdict(measure)["meaning"] for measure in MEASURES.values())
