"""A trial in one process: it trains, validates, stops early, and is saved. No Ray."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.errors import ModelError, ShardsError
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.registry import ModelRef
from vibesweep.training import validation
from vibesweep.training.optim.early_stopping import EarlyStopping
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.tally import StepSize, StepTally
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.validation import noise_repeats, validation_batches
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("context"))


def start(context: WorkerContext, steps: int, **changes: Any) -> TrialRun:
    return TrialRun(context, dataclasses.replace(SETTINGS, **changes), steps)


def losses(report: Report) -> list[float]:
    """List what two runs are compared by."""
    return [record.loss for record in report.curve] + [report.loss_val]


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_training_lowers_the_validation_loss(
    context: WorkerContext, method: str, optimizer: str
) -> None:
    rate = 3e-3 if optimizer == "adamw" else 1e-3
    run = start(
        context, 12, method=method, optimizer=optimizer, learning_rate=rate, freeze_layers=1
    )
    untouched = run.validate()
    report = run.advance(12)
    assert report.loss_val < untouched
    assert report.step == 12 == len(report.curve)
    assert report.diverged is None


def test_what_steps_take_is_measured(context: WorkerContext) -> None:
    run = start(context, 4)
    first, second = run.advance(1), run.advance(4)
    assert first.step_ms > 0
    assert second.step_ms > 0
    assert first.peak_memory_mb > 0
    assert second.peak_memory_mb >= first.peak_memory_mb, "the most of the trial so far"
    assert second.tokens > first.tokens > 0, "of three steps, and of one"
    assert second.tokens == second.row_tokens, "on a CPU rows are not filled up"


def test_a_step_is_taken_for_one_of_usual_size() -> None:
    tally = StepTally()
    tally.add(StepSize(share=1.0, tokens=10, row_tokens=16), seconds=60.0)
    assert tally.step_s == 60.0
    tally.add(StepSize(share=0.5, tokens=5, row_tokens=16), seconds=1.0)
    tally.add(StepSize(share=2.0, tokens=20, row_tokens=32), seconds=4.0)
    assert tally.step_s == 2.0, "without the first, which starts libraries up"
    assert (tally.tokens, tally.row_tokens) == (35, 64)


def test_a_trial_does_not_see_what_ran_before_it(context: WorkerContext) -> None:
    alone = losses(start(context, 4).advance(4))
    start(context, 4, method="full", learning_rate=0.1).advance(4)
    assert losses(start(context, 4).advance(4)) == alone


def test_validation_is_cut_to_what_fits_and_stays_the_same(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = context.validate(context.base)
    monkeypatch.setattr(validation, "VALIDATION_TOKENS", 1)
    clips = context.validation_clips
    repeats = noise_repeats(sum(clip.patches for clip in clips))
    batches = validation_batches(context.collator, clips, "cpu", repeats)
    assert len(context.validation_batches) == 1
    assert len(batches) == len(clips) > 1
    cut = dataclasses.replace(context, validation_batches=batches)
    assert cut.validate(context.base) == pytest.approx(whole, rel=1e-6)


def test_few_held_out_latents_are_noised_more_often() -> None:
    repeats = [noise_repeats(patches) for patches in (0, 10, 512, 1_000, 100_000)]
    assert repeats == [32, 32, 16, 9, 4]


def test_stopping_for_a_report_changes_nothing(context: WorkerContext) -> None:
    whole = start(context, 6).advance(6)
    parts = start(context, 6)
    records = [record for until_step in (1, 4, 6) for record in parts.advance(until_step).curve]
    assert [record.loss for record in records] == [record.loss for record in whole.curve]


def test_micro_batches_add_up_to_the_same_gradient(context: WorkerContext) -> None:
    one = start(context, 3, method="full").advance(3)
    four = start(context, 3, method="full", micro_batch_tokens=1).advance(3)
    assert losses(four) == pytest.approx(losses(one), rel=1e-5)
    norms = [record.grad_norm for record in one.curve]
    assert [record.grad_norm for record in four.curve] == pytest.approx(norms, rel=1e-4)


def test_a_share_for_each_of_two_workers_adds_up_to_the_whole(context: WorkerContext) -> None:
    clips = context.voice_clips[:5]
    normalizer = LossNormalizer.of([clip.patches for clip in clips])
    losses_of = [
        context.base(context.collator.training(part, 0, 0))
        for part in (clips, clips[0::2], clips[1::2])
    ]
    whole, *parts = [normalizer.weighted_loss(found, 1.0, 0.2).item() for found in losses_of]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


def test_a_rate_that_is_far_too_high_is_noticed_as_divergence(context: WorkerContext) -> None:
    run = start(context, 40, method="full", learning_rate=1e9, grad_clip_norm=1e9)
    report = run.advance(40)
    assert report.diverged is not None
    assert "loss" in report.diverged
    assert math.isinf(report.loss_val)
    assert report.step < 10, "it ends within a step of noticing"


def test_patience_ends_a_trial_that_gets_no_better(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(context, 10, patience_reports=2)
    monkeypatch.setattr(run, "validate", lambda: 1.0)
    assert [run.advance(step).early_stopped for step in (1, 2, 3)] == [False, False, True]


def test_patience_starts_anew_at_each_better_report_and_counts_a_repeated_one_once() -> None:
    stopping = EarlyStopping()
    reports = [(1, 3.0), (2, 4.0), (3, 2.0), (4, 2.5), (4, 2.5), (5, 2.0)]
    due = []
    for step, loss in reports:
        stopping.add(step, loss)
        due.append(stopping.is_due(2))
    assert due == [False, False, False, False, False, True]
    assert (stopping.best_loss, stopping.last_loss) == (2.0, 2.0)
    assert not stopping.is_due(None)


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_a_checkpoint_holds_what_was_trained_and_brings_it_back(
    context: WorkerContext, method: str, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    run = start(context, 4, method=method, freeze_layers=1)
    report = run.advance(4)
    run.save(folder)
    model, settings, facts = load_checkpoint(context.base, folder)
    assert settings == run.settings
    assert facts["loss_val"] == report.loss_val
    trained, loaded = dict(run.model.named_parameters()), dict(model.named_parameters())
    assert all(torch.equal(trained[name], loaded[name]) for name in trained)
    assert list(tmp_path.iterdir()) == [folder]
    if method == "lora":
        assert next(folder.glob("*.safetensors")).stat().st_size < 60_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora_targets": "all"}, "no LoRA targets 'all'"),
        ({"method": "freeze", "freeze_layers": 99}, "freeze_layers is 99"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_named(
    context: WorkerContext, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        start(context, 4, **change)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base")
    shards = tiny.write_shards(tmp_path / "shards", 4)
    with pytest.raises(ShardsError, match="val split is empty"):
        WorkerContext.open(ModelRef.parse(str(base)), shards, World())


def test_more_workers_than_clips_are_refused(tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base")
    shards = tiny.write_shards(tmp_path / "shards", 5)
    with pytest.raises(ShardsError, match="4 training clips cannot feed 5 workers"):
        WorkerContext.open(ModelRef.parse(str(base)), shards, World(size=5))
