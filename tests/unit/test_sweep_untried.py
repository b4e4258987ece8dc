"""No settings are suggested twice, and branches that fail are left alone: a real study, no Tune."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vibesweep.config import Budget, Sweep
from vibesweep.sweep.prepare import limit_trials
from vibesweep.sweep.record import TrialState
from vibesweep.sweep.search.enumeration import enumerate_suggestions
from vibesweep.sweep.search.space import suggest
from vibesweep.sweep.search.sweep_search import SweepSearch

if TYPE_CHECKING:
    from vibesweep.config.sweep import Space

BUDGET = Budget(8, 2)
GRID: Space = {
    "learning_rate": CategoricalDistribution([1e-4, 3e-4, 1e-3]),
    "lora_rank": CategoricalDistribution([4, 8, 16, 32]),
    "optimizer": CategoricalDistribution(["adamw", "lion"]),
}


def branches(trial: optuna.Trial) -> None:
    """Suggest from six settings: two of `full`, and four of `lora`."""
    if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
        trial.suggest_categorical("lora_rank", [4, 8])
    trial.suggest_int("batch_clips", 4, 8, step=4)


def half_endless(trial: optuna.Trial) -> None:
    """Suggest one setting of `full`, and LoRA at any rate."""
    if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
        trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True)


def complete(loss: float) -> dict[str, Any]:
    return {
        "step": 54,
        "loss_val": loss,
        "best_loss_val": loss,
        "outcome": TrialState.COMPLETE,
        "reason": "",
    }


def loss_of(swept: dict[str, Any]) -> float:
    """Return a loss that draws the sampler to one corner of the space."""
    rate: float = swept.get("learning_rate", 1e-3)
    rank: int = swept.get("lora_rank", 16)
    return abs(math.log10(rate) + 3) + rank / 100 + 0.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("space", "trials"), [(GRID, 24), (branches, 6)])
def test_every_combination_is_tried_once_before_any_is_tried_again(
    space: Space, trials: int, seed: int
) -> None:
    search = SweepSearch(Sweep(space, budget=BUDGET, trials=trials, seed=seed))
    tried = []
    for number in range(trials):
        swept = search.suggest(str(number))["swept"]
        tried.append(tuple(sorted(swept.items())))
        search.on_trial_complete(str(number), complete(loss_of(swept)))
    assert len(set(tried)) == trials


def test_trials_that_still_run_are_not_suggested_again() -> None:
    search = SweepSearch(Sweep(GRID, budget=BUDGET, trials=24))
    tried = [search.suggest(str(number))["swept"] for number in range(24)]
    assert len({tuple(sorted(swept.items())) for swept in tried}) == 24


def test_a_branch_with_an_end_is_tried_once_beside_one_without() -> None:
    search = SweepSearch(Sweep(half_endless, budget=BUDGET, trials=16))
    methods = []
    for number in range(16):
        swept = search.suggest(str(number))["swept"]
        methods.append(swept["method"])
        search.on_trial_complete(str(number), complete(0.1 if swept["method"] == "full" else 0.5))
    assert methods.count("full") == 1


def test_what_was_tried_first_is_not_suggested_again() -> None:
    first = {"learning_rate": 1e-3, "lora_rank": 4, "optimizer": "adamw"}
    search = SweepSearch(Sweep(GRID, budget=BUDGET, trials=24, try_first=(first,)))
    assert search.suggest("0")["swept"] == first
    assert first not in [search.suggest(str(number))["swept"] for number in range(1, 24)]


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (GRID, 24),
        (branches, 6),
        (half_endless, None),
        ({"learning_rate": FloatDistribution(1e-5, 1e-3)}, None),
        ({"lora_dropout": FloatDistribution(0.0, 0.3, step=0.1)}, 4),
        ({"seed": IntDistribution(0, 10**6)}, None),
        ({"lora_rank": CategoricalDistribution([8])}, 1),
    ],
)
def test_a_space_is_counted(space: Space, count: int | None) -> None:
    assert enumerate_suggestions(lambda trial: suggest(Sweep(space), trial)).count == count


def test_more_trials_than_settings_are_not_asked_for() -> None:
    said: list[str] = []
    assert limit_trials(Sweep(branches, trials=40), said.append).trials == 6
    assert said == ["the space has 6 different settings: 6 trials, not 40"]
    assert limit_trials(Sweep(branches, trials=5), said.append).trials == 5
    assert len(said) == 1


def test_a_branch_that_always_fails_is_left_alone() -> None:
    def space(trial: optuna.Trial) -> None:
        trial.suggest_categorical("method", ["full", "lora"])
        trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)

    refused = {
        "step": 0,
        "loss_val": math.nan,
        "best_loss_val": math.inf,
        "outcome": TrialState.FAILED,
        "reason": "out of memory",
        "by_settings": True,
    }
    search = SweepSearch(Sweep(space, budget=BUDGET, trials=60))
    failed = []
    for number in range(60):
        swept = search.suggest(str(number))["swept"]
        failed.append(swept["method"] == "full")
        told = refused if failed[-1] else complete(loss_of(swept))
        search.on_trial_complete(str(number), told)
    assert sum(failed) <= 20
    assert sum(failed[-20:]) <= 7
