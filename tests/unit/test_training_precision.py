"""A base that is kept in bf16, as a GPU keeps it: what trials share of it, copy and learn."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import vibe
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial, narrow, plain_model
from vibesweep.models.registry import ModelRef
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

LORA = TrialSettings(learning_rate=3e-3, batch_clips=4, lora_head="full", precision="bf16")


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    folder = tmp_path_factory.mktemp("precision")
    checkpoint = write_checkpoint(folder / "checkpoint")
    shards: Path = vibe.write_shards(folder / "shards", checkpoint)
    return WorkerContext.open(ModelRef.parse(f"vibevoice:{checkpoint}"), shards, World())


@pytest.fixture(scope="module")
def in_bf16(in_float32: WorkerContext) -> WorkerContext:
    assert in_float32.base.stored_dtype == torch.bfloat16
    base = copy.deepcopy(in_float32.base)
    narrow(base)
    return replace(in_float32, base=base)


def dtypes(model: torch.nn.Module, *, trained: bool) -> set[torch.dtype]:
    return {part.dtype for part in model.parameters() if part.requires_grad == trained}


def test_a_lora_trial_shares_frozen_weights_in_bf16_and_trains_float32(
    in_bf16: WorkerContext,
) -> None:
    model = for_trial(in_bf16.base, LORA)
    assert dtypes(model, trained=True) == {torch.float32}
    assert dtypes(model, trained=False) == {torch.bfloat16}
    own, base = plain_model(model), in_bf16.base
    name = "language_model.embed_tokens.weight"
    assert own.get_parameter(name).data_ptr() == base.get_parameter(name).data_ptr()
    assert own.get_buffer("latent_scaling_factor").dtype == torch.float32


@pytest.mark.parametrize(
    "changes",
    [{"precision": "float32"}, {"method": "full"}, {"method": "freeze", "freeze_layers": 1}],
)
def test_other_trials_have_all_of_it_in_float32_and_to_the_bit(
    in_bf16: WorkerContext, in_float32: WorkerContext, changes: dict[str, Any]
) -> None:
    settings = replace(LORA, lora_head="lora", **changes)
    made = for_trial(in_bf16.base, settings)
    assert {part.dtype for part in made.parameters()} == {torch.float32}
    assert {part.dtype for part in in_bf16.base.parameters()} == {torch.bfloat16}
    expected = for_trial(in_float32.base, settings).state_dict()
    for name, tensor in made.state_dict().items():
        if "lora_" not in name:
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("changes", [{}, {"lora_dora": True}, {"lora_head": "lora"}])
def test_it_learns_what_a_base_in_float32_does(
    in_bf16: WorkerContext, in_float32: WorkerContext, changes: dict[str, Any]
) -> None:
    losses = []
    for context in (in_float32, in_bf16):
        run = TrialRun(context, replace(LORA, **changes), max_steps=20)
        untouched = run.validate()
        report = run.advance(12)
        assert report.loss_val < untouched
        losses.append((untouched, report.loss_train, report.loss_val))
    # bf16 has 8 bits: a weight or an activation is rounded by 0.4 % at most
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
