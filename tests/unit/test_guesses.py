"""A user's guesses: what is drawn by them, how they fade, and mistakes in them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from vibesweep.config import Budget, Guess, Sweep
from vibesweep.config.guess import FAIRLY, LITTLE, VERY
from vibesweep.errors import SpaceError
from vibesweep.sweep.search.axes import Axis
from vibesweep.sweep.search.guesses import FADING, Guesses
from vibesweep.sweep.search.space import check_space
from vibesweep.sweep.search.sweep_search import SweepSearch

if TYPE_CHECKING:
    from vibesweep.config.sweep import Space

BUDGET = Budget(8, 2)
RATE = FloatDistribution(1e-5, 1e-2, log=True)
OPTIMIZER = CategoricalDistribution(["adamw", "lion", "muon"])
SPACE: Space = {"learning_rate": RATE, "optimizer": OPTIMIZER}
AXES = {"learning_rate": Axis.of(RATE), "optimizer": Axis.of(OPTIMIZER)}
EVENLY = np.random.default_rng(0).random((4_000, 2))


@pytest.mark.parametrize("value", [1e-5, 3e-4, 1e-2])
@pytest.mark.parametrize(("sure", "near"), [(LITTLE, 0.3), (FAIRLY, 0.1), (VERY, 0.03)])
def test_half_of_the_draws_lie_near_a_guess(value: float, sure: str, near: float) -> None:
    guesses = Guesses(AXES, {"learning_rate": Guess(value, sure)})
    places = guesses.quantiles(EVENLY)
    place = AXES["learning_rate"].place(value)
    is_near = np.abs(places[:, 0] - place) <= near
    assert 0.47 <= is_near.mean() <= 0.78
    assert ((places >= 0) & (places <= 1)).all()
    np.testing.assert_array_equal(places[:, 1], EVENLY[:, 1])


def test_a_choice_that_is_guessed_is_drawn_more_often_than_another() -> None:
    guesses = Guesses(AXES, {"optimizer": Guess("lion", VERY)})
    places = guesses.quantiles(EVENLY)
    drawn = Counter(AXES["optimizer"].value(place) for place in places[:, 1])
    assert drawn["lion"] / len(EVENLY) == pytest.approx(20 / 22, abs=0.02)
    assert drawn["adamw"] == pytest.approx(drawn["muon"], rel=0.3)


@pytest.mark.parametrize("guess", [Guess(3e-4), Guess(1e-5, VERY)])
def test_the_density_is_that_of_the_draws(guess: Guess) -> None:
    guesses = Guesses(AXES, {"learning_rate": guess, "optimizer": Guess("muon")})
    evenly = np.stack(np.meshgrid(np.linspace(0, 1, 2_001), [0.1, 0.5, 0.9]), -1).reshape(-1, 2)
    density = np.exp(guesses.bonus(evenly, results=FADING))
    assert density.mean() == pytest.approx(1.0, rel=0.02)


def test_a_guess_fades_with_results_and_adds_nothing_where_it_is_not_asked_for() -> None:
    guesses = Guesses(AXES, {"learning_rate": Guess(3e-4)})
    at_it = AXES["learning_rate"].place(3e-4)
    places = np.array([[at_it, 0.5], [np.nan, 0.5]])
    first, none = guesses.bonus(places, results=10)
    assert first > 0
    assert none == 0
    later, _ = guesses.bonus(places, results=100)
    assert later == pytest.approx(first / 10)


def searched(trials: int, best: float, **options: Any) -> list[float]:
    """Return the learning rates of a search whose loss is least at ``best``."""
    sweep = Sweep({"learning_rate": RATE}, budget=BUDGET, trials=trials, **options)
    search = SweepSearch(sweep)
    rates = []
    for number in range(trials):
        rate = search.suggest(str(number))["swept"]["learning_rate"]
        rates.append(rate)
        loss = abs(math.log10(rate / best))
        search.on_trial_complete(str(number), {"step": 8, "loss_val": loss, "best_loss_val": loss})
    return rates


def nearest(rates: list[float], best: float) -> float:
    return min(abs(math.log10(rate / best)) for rate in rates)


def test_a_good_guess_brings_the_first_trials_near_and_a_bad_one_is_left() -> None:
    best = 3e-4
    bad = {"learning_rate": Guess(1e-2, VERY)}
    plain, helped, misled = [], [], []
    for seed in range(3):
        good = {"learning_rate": Guess(4e-4, VERY)}
        plain.append(nearest(searched(4, best, seed=seed), best))
        helped.append(nearest(searched(4, best, seed=seed, guesses=good), best))
        misled.append(nearest(searched(20, best, seed=seed, guesses=bad), best))
    assert np.mean(helped) < np.mean(plain) / 2
    assert np.mean(misled) < 0.1


def space(trial: optuna.Trial) -> None:
    """Suggest another range in each branch."""
    if trial.suggest_categorical("method", ["lora", "full"]) == "lora":
        trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    else:
        trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True)


@pytest.mark.parametrize("value", [1e-5, 1e-3])
def test_a_guess_may_be_of_one_branch(value: float) -> None:
    check_space(Sweep(space, budget=BUDGET, guesses={"learning_rate": Guess(value)}))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("learning_rate", 0.1, "learning_rate is 0.1"),
        ("learning_rate", "high", "learning_rate is 'high'"),
        ("method", "freeze", "method is 'freeze'"),
        ("lora_rank", 8, "the space does not suggest lora_rank"),
    ],
)
def test_a_guess_that_the_space_never_suggests_is_refused(
    name: str, value: object, found: str
) -> None:
    sweep = Sweep(space, budget=BUDGET, guesses={name: Guess(value)})
    with pytest.raises(SpaceError, match=found) as refused:
        check_space(sweep)
    assert "guesses" in refused.value.where


def test_a_guess_of_what_is_fixed_does_not_count() -> None:
    guesses = {"method": Guess("lora")}
    check_space(Sweep(space, budget=BUDGET, guesses=guesses, fixed={"method": "full"}))


def test_mistakes_in_a_guess_itself_are_refused() -> None:
    with pytest.raises(SpaceError, match="sure is 'certain'"):
        Guess(1e-4, "certain")
    with pytest.raises(SpaceError, match=r"the guess of learning_rate is 0\.0003"):
        Sweep(SPACE, guesses={"learning_rate": 3e-4})  # type: ignore[dict-item]
