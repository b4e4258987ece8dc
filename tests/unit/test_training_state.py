"""A trial's state comes back as it was, and a broken one is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from vibesweep.errors import ModelError
from vibesweep.training.state.full_state import (
    gather_random_states,
    load_state,
    save_state,
    set_random_state,
)
from vibesweep.training.workers import World


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.randn(3, 4)
    tree: dict[str, Any] = {
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": shared}},
            "param_groups": [{"betas": (0.9, 0.98), "foreach": None}],
        },
        "live": {"a.weight": shared, "b": torch.arange(3, dtype=torch.bfloat16)},
        "recent": [1.5, math.inf, math.nan],
        "random": [torch.get_rng_state()],
    }
    save_state({"step": 1}, tmp_path / "state")
    save_state(tree, tmp_path / "state")
    found = load_state(tmp_path / "state")
    assert found["optimizer"]["param_groups"] == tree["optimizer"]["param_groups"]
    assert list(found["optimizer"]["state"]) == [0], "numbers stay numbers as keys"
    assert torch.equal(found["optimizer"]["state"][0]["exp_avg"], shared)
    assert found["live"]["b"].dtype == torch.bfloat16
    assert found["recent"][:2] == [1.5, math.inf]
    assert math.isnan(found["recent"][2])
    assert torch.equal(found["random"][0], tree["random"][0])
    assert sorted(path.suffix for path in (tmp_path / "state").iterdir()) == [
        ".json",
        ".safetensors",
    ], "the earlier state is gone"


def test_dropout_goes_on_where_it_was() -> None:
    states = gather_random_states(World())
    first = torch.rand(4)
    set_random_state(states, World())
    assert torch.equal(torch.rand(4), first)
    set_random_state(states, World(rank=1, size=2))
    assert not torch.equal(torch.rand(4), first), "a new worker draws its own numbers"


@pytest.mark.parametrize("broken", ["missing", "json", "tensors"])
def test_a_broken_state_is_named(tmp_path: Path, broken: str) -> None:
    save_state({"a": torch.ones(2)}, tmp_path / "state")
    if broken == "missing":
        (tmp_path / "state/state.json").unlink()
    elif broken == "json":
        (tmp_path / "state/state.json").write_text('{"tree": {"dict": [["a", {"tensor": "7"}]]}}')
    else:
        next((tmp_path / "state").glob("*.safetensors")).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="state cannot be read"):
        load_state(tmp_path / "state")
