"""What is said to fit a GPU does, for the shortest clips and for the longest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.base import Sizes
from vibesweep.training.batches import BESIDE_POSITIONS
from vibesweep.training.capacity import free_bytes
from vibesweep.training.compute import autocast, fit_out
from vibesweep.training.workbench import Workbench, World

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

DEVICE = "cuda:0"
LARGE = dataclasses.replace(tiny.SHAPE, hidden_size=512, layers=12, heads=8, kv_heads=2, ffn_size=2_048, latent_size=64)


@pytest.mark.parametrize("changes", [{}, {"method": "full"}, {"method": "full", "precision": "bf16"}, {"gradient_checkpointing": True}])
def test_a_measured_batch_fits(changes: dict[str, object], tmp_path: Path) -> None:
    base, shards = tiny.write_base(tmp_path / "base", LARGE), tiny.write_shards(tmp_path / "shards")
    bench = Workbench.open(str(base), shards, World(device=DEVICE))
    settings = TrialSettings(**changes)  # type: ignore[arg-type]
    model = for_trial(bench.base, settings).train()
    fit_out(model, settings)
    before = torch.cuda.get_rng_state(DEVICE)
    positions = bench.positions(model, settings, autocast(settings, DEVICE))
    assert torch.equal(torch.cuda.get_rng_state(DEVICE), before), "a trial draws the same numbers as without the measurement"
    assert bench.positions(model, settings, autocast(settings, DEVICE)) == positions
    free = free_bytes(model, DEVICE)
    for clip in (min(bench.clips, key=lambda c: c.length), max(bench.clips, key=lambda c: c.length)):
        count = positions // (clip.length + BESIDE_POSITIONS)
        torch.cuda.reset_peak_memory_stats(DEVICE)
        with autocast(settings, DEVICE):
            losses = model(bench.collator.training([clip] * count, 0, 0).to(DEVICE))
        torch.autograd.backward(Sizes.of([clip.patches] * count).weigh(losses, 1.0, 0.2))
        model.zero_grad(set_to_none=True)
        assert 0.2 * free < torch.cuda.max_memory_allocated(DEVICE) < free
