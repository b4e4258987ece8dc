"""Learning rates and parameter groups."""

from __future__ import annotations

import itertools

import pytest
import torch

from vibesweep.training.optim.optimizers import parameter_groups
from vibesweep.training.optim.schedules import cosine_with_warmup


def test_the_rate_climbs_then_falls_to_nothing() -> None:
    shares = [cosine_with_warmup(step, 100, 0.1) for step in range(101)]
    assert shares[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert shares[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(shares[10:]))
    assert shares[100] == pytest.approx(0)


def test_norms_and_biases_do_not_decay() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2, bias=False)
    )
    model[2].weight.requires_grad_(False)
    decayed, kept = parameter_groups(model, 0.1)
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 3
    assert kept["weight_decay"] == 0.0
