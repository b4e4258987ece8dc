"""What a search takes from earlier sweeps, and what it leaves out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState as OptunaState

from tests.sweeps import BUDGET, SPACE, write_sweep
from vibesweep.config import Sweep, TrialSettings
from vibesweep.sweep.record import SweepFolder, TrialState
from vibesweep.sweep.search.sweep_search import SweepSearch
from vibesweep.sweep.search.warm import FROM, WarmStart, warm_start

SETTINGS = TrialSettings()
SWEEP = Sweep(SPACE, budget=BUDGET, settings=SETTINGS, trials=9)


@pytest.fixture
def earlier(tmp_path: Path) -> SweepFolder:
    """Return a sweep of twelve trials: trial 1 diverged, trial 2 failed."""
    return write_sweep(tmp_path / "earlier")


def taken(
    earlier: SweepFolder, sweep: Sweep = SWEEP, change: dict[str, str] | None = None
) -> WarmStart:
    record = earlier.read()
    same = {"model": record.model, "shards_signature": record.shards_signature}
    return warm_start(sweep, [earlier], **same | (change or {}))


def test_trials_that_ended_are_taken_as_they_ended(earlier: SweepFolder) -> None:
    found = taken(earlier)
    assert found.said == ("11 of 12 trials of earlier inform the search; left out: 1 failed",)
    by_id = {trial.id: trial for trial in earlier.read().trials}
    for trial in found.trials:
        own = by_id[trial.user_attrs[FROM].removeprefix("earlier/")]
        assert trial.params == own.swept
        if own.state == TrialState.COMPLETE:
            assert trial.value == own.best_loss_val
        else:
            assert trial.state == OptunaState.PRUNED
        steps = [step for step in trial.intermediate_values if step <= own.step]
        assert steps == list(trial.intermediate_values)


def test_a_narrower_space_takes_what_lies_in_it(earlier: SweepFolder) -> None:
    narrow = dataclasses.replace(SWEEP, space={**SPACE, "optimizer": ONE_OPTIMIZER})
    found = taken(earlier, narrow)
    assert 0 < len(found.trials) < 11
    assert {trial.params["optimizer"] for trial in found.trials} == {"lion"}
    assert "with settings that this space does not suggest" in found.said[0]


ONE_OPTIMIZER = CategoricalDistribution(["lion"])


def test_a_value_that_is_fixed_now_may_have_been_swept_then(earlier: SweepFolder) -> None:
    others = {name: found for name, found in SPACE.items() if name != "optimizer"}
    fixed = dataclasses.replace(
        SWEEP, space=others, settings=dataclasses.replace(SETTINGS, optimizer="lion")
    )
    found = taken(earlier, fixed)
    assert found.trials
    assert all("optimizer" not in trial.params for trial in found.trials)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "another"}, "12 of another base"),
        ({"shards_signature": "another"}, "12 on other shards"),
    ],
)
def test_losses_that_cannot_be_compared_are_left_out(
    earlier: SweepFolder, change: dict[str, str], reason: str
) -> None:
    found = taken(earlier, change=change)
    assert found.trials == ()
    assert found.said == (f"0 of 12 trials of earlier inform the search; left out: {reason}",)


def test_another_batch_is_another_loss(earlier: SweepFolder) -> None:
    other = dataclasses.replace(SWEEP, settings=dataclasses.replace(SETTINGS, batch_clips=4))
    assert taken(earlier, other).trials == ()


def test_the_search_begins_with_them_and_still_tries_its_points_first(
    earlier: SweepFolder,
) -> None:
    point: dict[str, Any] = {"learning_rate": 2e-3, "optimizer": "lion", "lora_rank": 16}
    sweep = dataclasses.replace(SWEEP, try_first=(point,))
    storage = optuna.storages.InMemoryStorage()
    search = SweepSearch(sweep, storage, taken(earlier).trials)
    first = search.suggest("a")
    assert first["swept"] == point
    assert first["number"] == 11
    again = SweepSearch(sweep, storage, taken(earlier).trials)
    assert len(again.study.trials) == 12, "they are there once"
    assert again.suggest("b")["swept"] != point


def test_the_search_draws_near_what_was_good(earlier: SweepFolder) -> None:
    """Without a random start of its own: as many trials as it would have drawn are known."""
    space: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
    wide = dataclasses.replace(SWEEP, space=space, trials=30)
    trials = [
        optuna.trial.create_trial(
            params={"learning_rate": rate}, distributions=space, value=abs(index - 10)
        )
        for index, rate in enumerate(1e-4 * 10 ** (step / 10) for step in range(20))
    ]
    search = SweepSearch(wide, None, trials)
    rates = [search.suggest(str(number))["swept"]["learning_rate"] for number in range(6)]
    near = [rate for rate in rates if 3e-4 < rate < 3e-3]
    # Settings that still train push the others apart
    assert len(near) >= 4
