"""What the sampler knows of a space: settings as points, win shares, and a Gaussian process."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.axes import Axis
from vibesweep.sweep.search.enumeration import Suggestions
from vibesweep.sweep.search.gaussian_process import GaussianProcess, _negative_log_posterior
from vibesweep.sweep.search.modelled_space import ModelledSpace
from vibesweep.sweep.search.sampler import WinShareSampler, seed_of
from vibesweep.sweep.search.win_shares import normal_scores, win_shares

RATE = FloatDistribution(1e-5, 1e-1, log=True)
BRANCHES: dict[str, BaseDistribution] = {
    "learning_rate": RATE,
    "lora_rank": CategoricalDistribution([4, 8, 16]),
    "method": CategoricalDistribution(["full", "lora"]),
}


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (RATE, [1e-5, 1e-3, 1e-1]),
        (FloatDistribution(0.0, 0.3), [0.0, 0.1, 0.3]),
        (FloatDistribution(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (FloatDistribution(2.0, 2.0), [2.0]),
        (IntDistribution(1, 7), [1, 2, 7]),
        (IntDistribution(4, 8, step=4), [4, 8]),
        (IntDistribution(1, 1000, log=True), [1, 2, 37, 1000]),
        (CategoricalDistribution([32, 4, 8]), [4, 8, 32]),
        (CategoricalDistribution(["adamw", "lion", None]), ["adamw", "lion", None]),
        (CategoricalDistribution([True, False]), [True, False]),
    ],
)
def test_a_value_comes_back_from_its_place(distribution: BaseDistribution, values: Any) -> None:
    axis = Axis.of(distribution)
    places = [axis.place(value) for value in values]
    assert all(0 <= place <= 1 for place in places)
    for value, place in zip(values, places, strict=True):
        found = axis.value(place)
        assert type(found) is type(value)
        assert found == (pytest.approx(value) if isinstance(value, float) else value)
    if axis.ordered:
        assert places == sorted(places)
    for place in (0.0, 1.0):
        internal = distribution.to_internal_repr(axis.value(place))
        assert distribution._contains(internal)


def test_choices_without_an_order_are_equally_unlike() -> None:
    space = ModelledSpace({"optimizer": CategoricalDistribution(["adamw", "lion", "sgd"])}, [])
    points = space.points(space.places([{"optimizer": name} for name in ("adamw", "lion", "sgd")]))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert apart == pytest.approx(1 - np.eye(3))


def test_what_a_branch_does_not_ask_for_is_left_out() -> None:
    tried: list[dict[str, Any]] = [
        {"method": "full", "learning_rate": 1e-4},
        {"method": "lora", "learning_rate": 1e-3, "lora_rank": 8},
    ]
    space = ModelledSpace(BRANCHES, tried)
    drawn = np.full((2, len(space)), 0.9)
    drawn[0, 2] = 0.1
    assert [params["method"] for params in map(space.params, drawn)] == ["full", "lora"]
    suggested = space.suggested(drawn)
    assert np.isnan(suggested).tolist() == [[False, True, False], [False, False, False]]


def trained(*losses: float, broken: bool = False) -> FrozenTrial:
    """Return a trial with a loss at each step."""
    trial = optuna.trial.create_trial(
        state=TrialState.PRUNED, intermediate_values=dict(enumerate(losses, 1))
    )
    if broken:
        trial.set_constraint("diverged", 1.0)
    return trial


def test_a_win_is_decided_where_both_have_been() -> None:
    short, long, worst = trained(0.5), trained(0.6, 0.1), trained(0.9, 0.8)
    diverged = trained(0.1, math.inf, broken=True)
    refused = trained(broken=True)
    shares = win_shares([short, long, worst, diverged, refused])
    assert shares[:3] * 4 == pytest.approx([4, 3, 2])
    assert max(shares[3:]) * 4 <= 1, "behind all that are sound"


def test_the_smallest_loss_counts_and_what_was_heard_takes_its_place() -> None:
    first, second = trained(0.5, 0.1, 0.9), trained(0.4, 0.3, 0.2)
    assert win_shares([first, second]).tolist() == [1, 0]
    assert win_shares([first, second], of_one_kind=False).tolist() == [0, 1]


def test_the_best_few_are_told_apart() -> None:
    scores = normal_scores(np.linspace(0, 1, 101))
    assert scores.mean() == pytest.approx(0)
    assert scores.std() == pytest.approx(1)
    assert scores[100] - scores[99] > 10 * (scores[51] - scores[50])


def test_the_slope_of_the_fit_is_right() -> None:
    draws = np.random.default_rng(0)
    squares = draws.random((2, 6, 6))
    squares = (squares + squares.transpose(0, 2, 1)) * (1 - np.eye(6))
    scores = draws.standard_normal(6)
    at = np.array([0.3, -0.4, 0.2, -1.0])
    _, slope = _negative_log_posterior(at, squares, scores)
    for number in range(4):
        nudge = np.eye(4)[number] * 1e-5
        above, _ = _negative_log_posterior(at + nudge, squares, scores)
        below, _ = _negative_log_posterior(at - nudge, squares, scores)
        assert slope[number] == pytest.approx((above - below) / 2e-5, rel=1e-4)


def test_the_process_learns_which_setting_matters_and_where_it_is_best() -> None:
    draws = np.random.default_rng(1)
    points = draws.random((40, 3))
    scores = -((points[:, 0] - 0.3) ** 2)
    scores = (scores - scores.mean()) / scores.std()
    model = GaussianProcess(np.arange(3))
    model.fit(points, scores)
    model.condition(points, scores)
    asked = draws.random((200, 3))
    mean, deviation = model.predict(asked)
    assert abs(asked[mean.argmax(), 0] - 0.3) < 0.1
    assert model.predict(points)[1].mean() < deviation.mean()
    promising = asked[[model.upper_bound(asked).argmax()]]
    before = model.upper_bound(promising)
    model.assume(promising)
    assert model.upper_bound(promising) < before, "another place is looked at next"


def searched(trials: int, seed: int, *, random: bool) -> float:
    """Return the smallest loss of a search over a rate and a rank of which some fail."""
    suggestions = Suggestions((), True, BRANCHES)
    with quiet_optuna():
        study = optuna.create_study()
        for number in range(trials):
            drawn = seed_of(seed, number)
            study.sampler = WinShareSampler(trials, drawn, suggestions)
            if random:
                study.sampler = optuna.samplers.RandomSampler(drawn)
            trial = study.ask()
            rate = trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
            loss = abs(math.log10(rate) + 3.21)
            if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
                loss += abs(trial.suggest_categorical("lora_rank", [4, 8, 16]) - 8) / 10
            else:
                loss += 0.5
            trial.report(loss, 1)
            study.tell(trial, loss)
    return study.best_value


def test_a_search_comes_nearer_than_one_at_random() -> None:
    ours = [searched(24, seed, random=False) for seed in range(3)]
    at_random = [searched(24, seed, random=True) for seed in range(3)]
    assert median(ours) < median(at_random) / 2
