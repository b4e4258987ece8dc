"""How trials' ends reach Optuna, and how ASHA decides: real study, real scheduler, no Tune."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState as OptunaState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import SpaceError, SweepError
from vibesweep.sweep.record import SweepRecord, TrialState, sweep_as_json
from vibesweep.sweep.record.events import (
    CloneAsked,
    SweepStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.study import STUDY_NAME, study_storage
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.sweep_search import SweepSearch

SWEEP = Sweep(
    {"learning_rate": FloatDistribution(1e-5, 1e-2, log=True)}, budget=Budget(8, 2, 2), trials=16
)
CONTINUE, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP
COMPLETE = TrialState.COMPLETE


def result(
    step: int,
    loss: float,
    outcome: TrialState | None = None,
    reason: str = "",
    best: float | None = None,
) -> dict[str, Any]:
    """Return what a trial reports; its best loss is the last one unless another is given."""
    return {
        "step": step,
        "loss_val": loss,
        "best_loss_val": loss if best is None else best,
        "outcome": outcome,
        "reason": reason,
    }


@pytest.fixture(params=["memory", "journal"])
def search(request: pytest.FixtureRequest, tmp_path: Path) -> SweepSearch:
    """Over a study in memory, and over one in a file."""
    return SweepSearch(
        SWEEP, study_storage(tmp_path / "study.journal") if request.param == "journal" else None
    )


class TestSearch:
    """A trial's way from its config to its end in Optuna."""

    def test_a_config_holds_all_of_the_settings(self, search: SweepSearch) -> None:
        config = search.suggest("a")
        assert config["number"] == 0
        assert config["settings"]["learning_rate"] == config["swept"]["learning_rate"]
        assert config["settings"]["batch_clips"] == SWEEP.settings.batch_clips
        assert search.suggest("b")["number"] == 1

    def test_a_complete_trial_is_told_its_best_loss(self, search: SweepSearch) -> None:
        search.suggest("a")
        search.on_trial_result("a", result(2, 0.4))
        search.on_trial_result("a", result(4, 0.3))
        search.on_trial_complete("a", result(8, 0.5, TrialState.COMPLETE, best=0.3))
        (trial,) = search.study.trials
        assert trial.state == OptunaState.COMPLETE
        assert trial.value == 0.3
        assert trial.intermediate_values == {2: 0.4, 4: 0.3, 8: 0.5}

    def test_a_stopped_trial_is_pruned_with_its_values(self, search: SweepSearch) -> None:
        search.suggest("a")
        search.on_trial_result("a", result(2, 0.4))
        search.on_trial_complete("a", result(4, 0.6, best=0.4))
        (trial,) = search.study.trials
        assert trial.state == OptunaState.PRUNED
        assert trial.value == 0.4
        assert trial.intermediate_values == {2: 0.4, 4: 0.6}
        assert "diverged" not in trial.user_attrs

    def test_a_diverged_trial_is_pruned_and_marked(self, search: SweepSearch) -> None:
        search.suggest("a")
        search.on_trial_complete("a", result(1, math.inf, TrialState.DIVERGED, "the loss was nan"))
        (trial,) = search.study.trials
        assert trial.state == OptunaState.PRUNED
        assert trial.user_attrs["diverged"] == "the loss was nan"
        assert trial.constraints == {"diverged": 1.0}

    @pytest.mark.parametrize(
        "told",
        [
            (result(0, math.nan, TrialState.FAILED, "killed") | {"by_settings": False}, False),
            (None, True),
            (result(2, 0.4), True),
        ],
    )
    def test_a_trial_whose_processes_were_lost_says_nothing_about_its_settings(
        self, search: SweepSearch, told: tuple[dict[str, Any] | None, bool]
    ) -> None:
        search.suggest("a")
        search.on_trial_complete("a", told[0], error=told[1])
        (trial,) = search.study.trials
        assert trial.state == OptunaState.FAIL
        assert trial.user_attrs["outcome"] == TrialState.FAILED

    def test_a_trial_that_its_settings_ended_is_pruned_and_put_behind_all_others(
        self, search: SweepSearch
    ) -> None:
        search.suggest("a")
        failure = result(0, math.nan, TrialState.FAILED, "out of memory") | {"by_settings": True}
        search.on_trial_complete("a", failure)
        (trial,) = search.study.trials
        assert trial.state == OptunaState.PRUNED
        assert trial.user_attrs == {"outcome": TrialState.FAILED, "reason": "out of memory"}
        assert trial.constraints == {"failed": 1.0}

    def test_what_was_cut_short_still_runs_and_no_end_is_told_twice(
        self, search: SweepSearch
    ) -> None:
        for name in "ab":
            search.suggest(name)
        search.on_trial_complete("a", result(8, 0.5, TrialState.COMPLETE))
        search.on_trial_complete("a", result(8, 0.1, TrialState.COMPLETE))
        search.on_trial_complete("b", result(0, math.nan, TrialState.STOPPED))
        first, second = search.study.trials
        assert first.value == 0.5
        assert second.state == OptunaState.RUNNING

    def test_the_sampler_goes_on_after_every_kind_of_end(self, search: SweepSearch) -> None:
        ends = [
            result(8, 0.5, TrialState.COMPLETE),
            result(2, 0.9),
            result(1, math.inf, TrialState.DIVERGED, "loss"),
            result(0, math.nan, TrialState.FAILED, "killed"),
        ]
        for number in range(12):
            search.suggest(str(number))
            search.on_trial_complete(str(number), ends[number % 4])
        assert [trial.number for trial in search.study.trials] == list(range(12))
        assert search.study.best_value == 0.5


def test_plain_optuna_reads_the_journal(tmp_path: Path) -> None:
    search = SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))
    search.suggest("a")
    search.on_trial_complete("a", result(1, math.inf, TrialState.DIVERGED, "the loss was inf"))
    study = optuna.load_study(
        study_name=STUDY_NAME, storage=study_storage(tmp_path / "study.journal")
    )
    assert study.trials[0].intermediate_values == {1: math.inf}


def test_try_first_comes_first() -> None:
    points = ({"learning_rate": 1e-3}, {"learning_rate": 2e-5})
    search = SweepSearch(Sweep(SWEEP.space, budget=SWEEP.budget, try_first=points))
    assert [search.suggest(str(number))["swept"] for number in range(2)] == list(points)


def test_a_space_of_nothing_trains_the_settings_themselves() -> None:
    config = SweepSearch(Sweep({}, budget=SWEEP.budget)).suggest("a")
    assert config["swept"] == {}
    assert config["settings"]["batch_clips"] == SWEEP.settings.batch_clips


def test_a_mistake_that_a_space_makes_late_ends_the_search() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        return {"lora_rank": 0}

    search = SweepSearch(Sweep(space, budget=SWEEP.budget))
    with pytest.raises(SpaceError, match="lora_rank is 0"):
        search.suggest("a")
    assert search.error is not None
    assert search.study.trials[0].state == OptunaState.FAIL


def test_settings_that_do_not_go_together_are_drawn_again() -> None:
    def space(trial: optuna.Trial) -> None:
        trial.suggest_categorical("optimizer", ["adamw", "schedule_free_adamw"])
        trial.suggest_categorical("schedule", ["cosine", "constant"])

    search = SweepSearch(Sweep(space, budget=SWEEP.budget))
    configs = [search.suggest(str(number)) for number in range(12)]
    refused = [trial for trial in search.study.trials if trial.state == OptunaState.FAIL]
    assert refused
    assert "with schedule_free_adamw" in refused[0].user_attrs["reason"]
    assert len(search.study.trials) == 12 + len(refused)
    assert search.error is None
    for config in configs:
        swept = config["swept"]
        assert swept["optimizer"] == "adamw" or swept["schedule"] == "constant"


def test_settings_that_never_go_together_end_the_search() -> None:
    search = SweepSearch(
        Sweep(lambda trial: {"optimizer": "schedule_free_adamw"}, budget=SWEEP.budget)
    )
    with pytest.raises(SpaceError, match="with schedule_free_adamw"):
        search.suggest("a")
    assert search.error is not None


def test_a_search_finds_its_trials_again(tmp_path: Path) -> None:
    storage = study_storage(tmp_path / "study.journal")
    before = SweepSearch(SWEEP, storage)
    for name in "ab":
        before.suggest(name)
    before.on_trial_complete("a", result(8, 0.5, TrialState.COMPLETE))
    before.on_trial_result("b", result(2, 0.4))
    before.save(str(tmp_path / "state.json"))
    after = SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))
    after.restore(str(tmp_path / "state.json"))
    after.on_trial_complete("a", result(8, 0.1, TrialState.COMPLETE))
    after.on_trial_complete("b", result(8, 0.6, TrialState.COMPLETE, best=0.4))
    assert [trial.value for trial in after.study.trials] == [0.5, 0.4]


def a_log(*reports: tuple[int, int, float], **ends: TrialState) -> Replay:
    """Make what the log of a sweep holds: reports of trial, step and loss; and ends by id."""
    record = SweepRecord("mine", "base", "shards", "", sweep_as_json(SWEEP), 1, {})
    replay = Replay(SweepStarted(asdict(record)))
    settings = asdict(SWEEP.settings)
    for number in sorted({number for number, _, _ in reports}):
        swept = {"learning_rate": 1e-3}
        replay.apply(TrialStarted(f"trial_{number:03d}", number, swept, settings, 0.0))
    for number, step, loss in reports:
        report = TrialReported(
            trial=f"trial_{number:03d}",
            number=number,
            state=TrialState.RUNNING,
            reason="",
            step=step,
            rung=0,
            loss_val=loss,
            loss_train=0.5,
            best_loss_val=loss,
            best_step=step,
            learning_rate_now=None,
            grad_norm=None,
            steps_per_s=1.0,
            trained_parameters=7,
            reported_unix_s=0.0,
        )
        replay.apply(report)
    for name, state in ends.items():
        replay.apply(TrialEnded(name, state, "", 0.0))
    return replay


def test_a_trial_that_was_lost_before_it_began_is_suggested_again(search: SweepSearch) -> None:
    began = {"trial_000"}
    search.has_begun = began.__contains__
    search.suggest("a")
    lost = search.suggest("b")
    search.on_trial_complete("b", error=True)
    assert search.suggest("c") == lost
    began.add("trial_001")
    search.on_trial_complete("c", error=True)
    assert [trial.state for trial in search.study.trials] == [
        OptunaState.RUNNING,
        OptunaState.FAIL,
    ]


class TestClones:
    """A clone that is asked for while a sweep runs is its next trial."""

    CLONE = CloneAsked("of_trial_000", 0, 4, {"learning_rate": 1e-3}, asdict(TrialSettings()))

    def test_a_clone_comes_next_and_takes_no_other_trials_place(self, search: SweepSearch) -> None:
        written: list[CloneAsked] = []
        first = search.suggest("a")
        assert search.add_clone(self.CLONE, written.append)
        assert written == [self.CLONE]
        clone = search.suggest("b")
        assert (clone["number"], clone["id"], clone["reported_step"]) == (1, "trial_001", None)
        assert clone["settings"] == self.CLONE.settings
        assert clone["clone"] == {
            "cloned_from": 0,
            "cloned_at_step": 4,
            "origin": "of_trial_000",
        }
        assert first["clone"] == {}
        others = [search.suggest(f"own {number}") for number in range(SWEEP.trials - 1)]
        assert [config["number"] for config in others] == list(range(2, SWEEP.trials + 1))
        search.on_trial_complete("b", result(8, 0.5, COMPLETE))
        told = search.study.trials[1]
        assert (told.state, told.value, told.params) == (OptunaState.COMPLETE, 0.5, {})
        assert told.user_attrs["cloned_from"] == 0

    def test_a_search_waits_for_clones_while_trials_run(self) -> None:
        search = SweepSearch(replace(SWEEP, trials=1))
        search.suggest("a")
        assert search.suggest("b") is None
        assert search.add_clone(self.CLONE, lambda clone: None)
        assert search.suggest("b")["clone"]
        search.on_trial_complete("a", result(8, 0.5, COMPLETE))
        assert search.suggest("c") is None
        search.on_trial_complete("b", result(8, 0.5, COMPLETE))
        last: Any = search.suggest("c")
        assert last == Searcher.FINISHED
        written: list[CloneAsked] = []
        assert not search.add_clone(self.CLONE, written.append)
        assert not written

    def test_no_clone_is_lost_or_made_twice(self, tmp_path: Path) -> None:
        journal = tmp_path / "study.journal"
        before = SweepSearch(SWEEP, study_storage(journal))
        before.suggest("a")
        before.add_clone(self.CLONE, lambda clone: None)
        before.suggest("b")  # it is killed before the clone is on a lane
        log = a_log((0, 2, 0.5))
        log.apply(self.CLONE)
        again = SweepSearch(SWEEP, study_storage(journal))
        again.resume(log)
        configs = [again.suggest(name) for name in ("x", "y", "z")]
        assert [config["number"] for config in configs] == [0, 2, 3]
        assert configs[1]["clone"]["origin"] == "of_trial_000"
        assert again.study.trials[1].state == OptunaState.FAIL
        started = TrialStarted("trial_002", 2, {}, self.CLONE.settings, 0.0, **configs[1]["clone"])
        log.apply(started)
        assert log.record.clones_to_come == []
        later = SweepSearch(SWEEP, study_storage(journal))
        later.resume(log)
        numbers = [later.suggest(name)["number"] for name in "xyz"]
        assert numbers == [0, 2, 3]
        assert len(log.record.own_trials) == 1


class TestResume:
    """A process that dies leaves a study that is one event behind the log, or before it."""

    @pytest.fixture
    def again(self, tmp_path: Path) -> SweepSearch:
        before = SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))
        for name in "abcd":
            before.suggest(name)
        before.on_trial_complete("a", result(8, 0.5, TrialState.COMPLETE))
        before.on_trial_result("b", result(2, 0.4))
        return SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))

    def test_trials_go_on_in_order_and_no_end_is_told_twice(self, again: SweepSearch) -> None:
        log = a_log((0, 8, 0.5), (1, 2, 0.4), (1, 4, 0.3), (2, 2, 0.7), trial_000=COMPLETE)
        again.resume(log)
        configs = [again.suggest(name) for name in ("x", "y", "z", "new")]
        assert [config["number"] for config in configs] == [1, 2, 3, 4]
        assert [config["reported_step"] for config in configs] == [4, 2, None, None]
        assert configs[0]["id"] == "trial_001"
        assert [trial.number for trial in again.study.trials] == [0, 1, 2, 3, 4]
        assert again.study.trials[1].intermediate_values == {2: 0.4, 4: 0.3}
        again.on_trial_complete("x", result(8, 0.6, TrialState.COMPLETE, best=0.3))
        assert [trial.value for trial in again.study.trials[:2]] == [0.5, 0.3]

    def test_an_end_that_only_the_log_has_is_told(self, again: SweepSearch) -> None:
        ends = {"trial_000": COMPLETE, "trial_001": COMPLETE, "trial_002": TrialState.PRUNED}
        again.resume(a_log((0, 8, 0.5), (1, 8, 0.3), (2, 2, 0.7), **ends))
        _, second, third, _ = again.study.trials
        assert (second.state, second.value) == (OptunaState.COMPLETE, 0.3)
        assert (third.state, third.intermediate_values) == (OptunaState.PRUNED, {2: 0.7})

    def test_what_was_not_suggested_yet_is_what_it_would_have_been(self, tmp_path: Path) -> None:
        def draw(search: SweepSearch, numbers: range) -> list[dict[str, Any]]:
            drawn = []
            for number in numbers:
                drawn.append(search.suggest(str(number))["swept"])
                loss = abs(math.log10(drawn[-1]["learning_rate"]) + 3)
                search.on_trial_complete(str(number), result(8, loss, COMPLETE))
            return drawn

        expected = draw(SweepSearch(SWEEP), range(16))
        journal = study_storage(tmp_path / "study.journal")
        first = draw(SweepSearch(SWEEP, journal), range(9))
        after = SweepSearch(SWEEP, study_storage(tmp_path / "study.journal"))
        assert first + draw(after, range(9, 16)) == expected
        assert len({drawn["learning_rate"] for drawn in expected}) == 16

    def test_points_that_were_not_queued_yet_still_come_first(self, tmp_path: Path) -> None:
        points = tuple({"learning_rate": rate} for rate in (1e-3, 2e-5, 3e-4))
        for known in (1, 3):
            sweep = Sweep(SWEEP.space, budget=SWEEP.budget, try_first=points[:known])
            search = SweepSearch(sweep, study_storage(tmp_path / "study.journal"))
        assert [search.suggest(str(number))["swept"] for number in range(3)] == list(points)

    def test_a_study_that_lacks_a_trial_is_a_users_case(self) -> None:
        with pytest.raises(SweepError, match="study lacks trial 0"):
            SweepSearch(SWEEP).resume(a_log((0, 2, 0.5)))


class TestAsha:
    """A validation at each step, the grace at 2, rungs at 2 and 4, a maximum of 8; halving."""

    @pytest.fixture
    def asha(self) -> StepAsha:
        return StepAsha(SWEEP.budget)

    @staticmethod
    def tell(asha: StepAsha, name: str, step: int, loss: float) -> str:
        trial: Any = SimpleNamespace(trial_id=name, config={})
        controller: Any = None  # ASHA never asks it
        return asha.on_trial_result(controller, trial, result(step, loss))

    def test_a_trial_at_a_rung_is_held_against_those_before_it(self, asha: StepAsha) -> None:
        assert self.tell(asha, "a", 2, 0.5) == CONTINUE, "the first at a rung has no rival"
        assert self.tell(asha, "b", 2, 0.9) == STOP
        assert self.tell(asha, "c", 2, 0.1) == CONTINUE
        assert self.tell(asha, "d", 2, 0.7) == STOP

    def test_before_the_grace_nobody_is_stopped(self, asha: StepAsha) -> None:
        self.tell(asha, "a", 2, 0.1)
        assert self.tell(asha, "b", 1, 0.9) == CONTINUE
        assert self.tell(asha, "b", 2, 0.9) == STOP

    def test_between_rungs_too_a_trial_is_held_against_all_that_came_as_far(
        self, asha: StepAsha
    ) -> None:
        assert self.tell(asha, "a", 2, 0.4) == CONTINUE
        assert self.tell(asha, "a", 3, 0.1) == CONTINUE, "nobody else has come to step 3"
        assert self.tell(asha, "b", 2, 0.3) == CONTINUE
        assert self.tell(asha, "b", 3, 0.2) == STOP, "a was better at step 3"

    def test_a_trial_is_held_against_one_that_is_close_behind(self, asha: StepAsha) -> None:
        assert self.tell(asha, "a", 2, 0.5) == CONTINUE
        assert self.tell(asha, "b", 2, 0.4) == CONTINUE
        assert self.tell(asha, "a", 3, 0.3) == STOP, "b was better at step 2, and still runs"
        assert self.tell(asha, "b", 3, 0.35) == CONTINUE, "a made way for it"

    @pytest.mark.parametrize("end", ["complete", "failed", "removed"])
    def test_a_trial_is_not_held_against_one_behind_that_has_ended(
        self, asha: StepAsha, end: str
    ) -> None:
        self.tell(asha, "a", 2, 0.5)
        self.tell(asha, "b", 2, 0.4)
        ended: Any = SimpleNamespace(trial_id="b", config={})
        if end == "complete":
            asha.on_trial_complete(None, ended, result(2, 0.4))
        elif end == "failed":
            asha.on_trial_error(None, ended)
        else:
            asha.on_trial_remove(None, ended)
        assert self.tell(asha, "a", 3, 0.3) == CONTINUE

    def test_a_newcomer_that_starts_well_does_not_end_the_one_that_came_furthest(
        self, asha: StepAsha
    ) -> None:
        for step in (2, 3, 4):
            assert self.tell(asha, "leader", step, 0.3) == CONTINUE
        assert self.tell(asha, "newcomer", 2, 0.2) == CONTINUE
        assert self.tell(asha, "leader", 5, 0.3) == CONTINUE, "it is beyond twice the other's step"
        assert self.tell(asha, "newcomer", 4, 0.25) == CONTINUE
        assert self.tell(asha, "third", 2, 0.4) == STOP

    def test_a_worse_report_does_not_undo_a_better_one(self, asha: StepAsha) -> None:
        self.tell(asha, "a", 2, 0.1)
        self.tell(asha, "b", 2, 0.5)
        assert self.tell(asha, "a", 3, 0.9) == CONTINUE

    def test_fewer_go_on_the_further_they_have_come(self, asha: StepAsha) -> None:
        names = [str(number) for number in range(8)]
        for name in reversed(names):  # the worst comes first, so that nobody is stopped at once
            assert self.tell(asha, name, 2, int(name)) == CONTINUE
        for step, go_on in ((3, 3), (4, 2), (5, 2), (7, 2)):
            decisions = {name: self.tell(asha, name, step, int(name)) for name in names}
            names = [name for name in names if decisions[name] == CONTINUE]
            assert names == [str(number) for number in range(go_on)]

    def test_at_the_maximum_a_trial_is_complete_however_it_stands(self, asha: StepAsha) -> None:
        for step in (2, 8):
            self.tell(asha, "a", step, 0.1)
        assert self.tell(asha, "b", 8, 0.9) == CONTINUE

    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_not_finite_stops_and_is_not_counted(
        self, asha: StepAsha, loss: float
    ) -> None:
        assert self.tell(asha, "a", 2, loss) == STOP
        assert self.tell(asha, "b", 2, 0.5) == CONTINUE, "the first that counts"
        assert self.tell(asha, "c", 1, 0.1) == CONTINUE
        assert self.tell(asha, "c", 2, 0.1) == CONTINUE
        trial: Any = SimpleNamespace(trial_id="c", config={})
        asha.on_trial_complete(None, trial, result(3, loss))
        assert self.tell(asha, "b", 3, 0.5) == CONTINUE, "c is counted no more"
        assert self.tell(asha, "d", 2, 0.9) == STOP

    def test_a_last_report_is_counted_once(self, asha: StepAsha) -> None:
        complete: Any = SimpleNamespace(trial_id="a", config={})
        for _ in range(2):
            asha.on_trial_complete(None, complete, result(8, 0.5))
        assert self.tell(asha, "b", 2, 0.4) == CONTINUE
        assert self.tell(asha, "c", 2, 0.45) == CONTINUE
        assert self.tell(asha, "d", 2, 0.47) == STOP, "of four, not of five"

    def test_a_sweep_that_is_resumed_decides_as_before(self, asha: StepAsha) -> None:
        told = [(0, 2, 0.5), (1, 2, 0.3), (0, 4, 0.4), (2, 2, math.inf), (3, 2, 0.9), (1, 3, 0.2)]
        for number, step, loss in told:
            self.tell(asha, f"trial_{number:03d}", step, loss)
        again = StepAsha(SWEEP.budget)
        stopped = again.replay(a_log(*told).reports)
        assert stopped == {"trial_000", "trial_002", "trial_003"}
        for name, step, loss in [("trial_001", 4, 0.6), ("new", 2, 0.45), ("newer", 2, 0.3)]:
            assert self.tell(again, name, step, loss) == self.tell(asha, name, step, loss)

    def test_after_a_resume_no_trial_is_held_against_one_that_had_ended(self) -> None:
        reports = a_log((0, 2, 0.5), (1, 2, 0.4), (0, 3, 0.3)).reports
        assert StepAsha(SWEEP.budget).replay(reports) == {"trial_000"}
        assert not StepAsha(SWEEP.budget).replay(reports, ["trial_001"])
