"""The loop of one trial in one process: no ray."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from tests import tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.family import LossNormalizer
from vibesweep.training import worker_context as workbench
from vibesweep.training.loop import TrialRun
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.worker_context import WorkerContext, World, validation_batches

SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    """A tiny base over tiny shards."""
    folder = tmp_path_factory.mktemp("context")
    return WorkerContext.open(
        str(tiny.write_base(folder / "base")), tiny.write_shards(folder / "shards"), World()
    )


def losses(report: Report) -> list[float]:
    """What two runs are compared by."""
    return [record.loss for record in report.curve] + [report.loss_val]


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_training_lowers_the_validation_loss(
    context: WorkerContext, method: str, optimizer: str
) -> None:
    rate = 3e-3 if optimizer == "adamw" else 1e-3
    run = TrialRun(
        context,
        dataclasses.replace(
            SETTINGS, method=method, optimizer=optimizer, learning_rate=rate, freeze_layers=1
        ),
        12,
    )
    untouched = run.validate()
    report = run.advance(12)
    assert report.loss_val < untouched
    assert report.step == 12 == len(report.curve)
    assert report.diverged is None


def test_a_trial_does_not_see_what_ran_before_it(context: WorkerContext) -> None:
    alone = losses(TrialRun(context, SETTINGS, 4).advance(4))
    TrialRun(context, dataclasses.replace(SETTINGS, method="full", learning_rate=0.1), 4).advance(4)
    assert losses(TrialRun(context, SETTINGS, 4).advance(4)) == alone


def test_validation_is_cut_to_what_fits_and_stays_the_same(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = context.validate(context.base)
    monkeypatch.setattr(workbench, "VALIDATION_TOKENS", 1)
    repeats = workbench.repeats_of(sum(clip.patches for clip in context.held_out))
    batches = validation_batches(context.collator, context.held_out, "cpu", repeats)
    assert len(context.validation) == 1
    assert len(batches) == len(context.held_out) > 1
    assert dataclasses.replace(context, validation=batches).validate(context.base) == pytest.approx(
        whole, rel=1e-6
    )


def test_stopping_for_a_report_changes_nothing(context: WorkerContext) -> None:
    whole = TrialRun(context, SETTINGS, 6).advance(6)
    parts = TrialRun(context, SETTINGS, 6)
    curve = [record.loss for until in (1, 4, 6) for record in (parts.advance(until)).curve]
    assert curve == [record.loss for record in whole.curve]


def test_micro_batches_add_up_to_the_same_gradient(context: WorkerContext) -> None:
    plain = dataclasses.replace(SETTINGS, method="full")
    one = TrialRun(context, plain, 3).advance(3)
    three = TrialRun(context, dataclasses.replace(plain, micro_batch_tokens=1), 3).advance(3)
    assert losses(three) == pytest.approx(losses(one), rel=1e-5)
    assert [r.grad_norm for r in three.curve] == pytest.approx(
        [r.grad_norm for r in one.curve], rel=1e-4
    )


def test_a_share_for_each_of_two_workers_adds_up_to_the_whole(context: WorkerContext) -> None:
    clips = context.clips[:5]
    sizes = LossNormalizer.of([clip.patches for clip in clips])
    model = context.base
    whole = sizes.weighted_loss(model(context.collator.training(clips, 0, 0)), 1.0, 0.2)
    parts = [
        sizes.weighted_loss(model(context.collator.training(clips[rank::2], 0, 0)), 1.0, 0.2)
        for rank in range(2)
    ]
    assert torch.stack(parts).sum().item() == pytest.approx(whole.item(), rel=1e-5)


def test_a_rate_that_is_far_too_high_is_noticed_as_divergence(context: WorkerContext) -> None:
    report = TrialRun(
        context,
        dataclasses.replace(SETTINGS, method="full", learning_rate=1e9, grad_clip_norm=1e9),
        40,
    ).advance(40)
    assert report.diverged is not None
    assert "loss" in report.diverged
    assert math.isinf(report.loss_val)
    assert report.step < 10, "it ends within a step of noticing"


def test_patience_ends_a_trial_that_gets_no_better(context: WorkerContext) -> None:
    run = TrialRun(
        context, dataclasses.replace(SETTINGS, learning_rate=0.0, patience_reports=2), 10
    )
    assert [run.advance(step).early_stopped for step in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_a_checkpoint_holds_what_was_trained_and_brings_it_back(
    context: WorkerContext, method: str, tmp_path: Path
) -> None:
    run = TrialRun(context, dataclasses.replace(SETTINGS, method=method, freeze_layers=1), 4)
    report = run.advance(4)
    run.save(tmp_path / "checkpoint")
    model, settings, facts = load_checkpoint(context.base, tmp_path / "checkpoint")
    assert settings == run.settings
    assert facts["loss_val"] == report.loss_val
    saved, kept = dict(run.model.named_parameters()), dict(model.named_parameters())
    assert all(torch.equal(saved[name], kept[name]) for name in saved)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    if method == "lora":
        assert next((tmp_path / "checkpoint").glob("*.safetensors")).stat().st_size < 60_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adamwhat"}, "no optimizer 'adamwhat'"),
        ({"method": "prompt"}, "no method 'prompt'"),
        ({"lora_targets": "all"}, "no LoRA targets 'all'"),
        ({"lora_rank": 0}, "lora_rank is 0"),
        ({"method": "freeze", "freeze_layers": 99}, "freeze_layers is 99"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    context: WorkerContext, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        TrialRun(context, dataclasses.replace(SETTINGS, **change), 4)  # type: ignore[arg-type]


def test_an_empty_split_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="val split is empty"):
        WorkerContext.open(
            str(tiny.write_base(tmp_path / "base")),
            tiny.write_shards(tmp_path / "shards", 4),
            World(),
        )
