"""Every learning-rate schedule, over every small budget."""

from __future__ import annotations

import itertools

import pytest
import torch

from vibesweep.config import TrialSettings
from vibesweep.training.optim.schedules import SCHEDULES, build_schedule, share_of_peak

BUDGETS = (1, 2, 3, 7, 20, 61)
SHARES = (0.0, 0.05, 0.3, 0.5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_climbs_to_its_peak_then_never_rises(name: str) -> None:
    for steps, warmup, cooldown in itertools.product(BUDGETS, SHARES, SHARES):
        rates = [
            share_of_peak(SCHEDULES[name], step, steps, warmup, cooldown)
            for step in range(steps + 3)
        ]
        top = round(steps * warmup)
        climb, fall = rates[: top + 1], rates[top:]
        assert all(0 <= share <= 1 for share in rates)
        assert rates[0] > 0
        is_all_warmup = top == steps
        assert rates[top] == 1.0 or (is_all_warmup and name != "constant"), (
            "the first step after the warm-up is taken at the peak"
        )
        assert is_all_warmup or all(a < b for a, b in itertools.pairwise(climb))
        assert all(a >= b for a, b in itertools.pairwise(fall))
        if name in ("linear", "cosine") or (name == "wsd" and cooldown > 0):
            assert rates[steps:] == pytest.approx([0.0] * 3, abs=1e-9)


def test_a_warm_up_climbs_in_even_steps_and_cosine_falls_to_nothing() -> None:
    rates = [share_of_peak(SCHEDULES["cosine"], step, 100, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0)


def test_wsd_holds_the_peak_until_its_cooldown() -> None:
    rates = [share_of_peak(SCHEDULES["wsd"], step, 100, 0.1, 0.2) for step in range(101)]
    assert rates[10:81] == [1.0] * 71
    assert rates[81:] == pytest.approx([1 - ((step - 80) / 20) ** 0.5 for step in range(81, 101)])


def test_the_named_shapes_are_what_they_are_called() -> None:
    linear = [share_of_peak(SCHEDULES["linear"], step, 4) for step in range(5)]
    cosine = [share_of_peak(SCHEDULES["cosine"], step, 4) for step in range(5)]
    assert linear == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert cosine == pytest.approx([1.0, 0.8536, 0.5, 0.1464, 0.0], abs=1e-4)


def test_the_optimizer_s_rate_follows_the_schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = build_schedule(optimizer, 4, TrialSettings(schedule="linear", warmup_fraction=0.0))
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [2.0, 1.5, 1.0, 0.5]
