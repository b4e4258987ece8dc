"""What a trial may be trained with besides its optimizer.

Averages, precision, compilation, masks, kinds of LoRA, and the guard that ends a diverged trial.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import adapted_layers, for_trial, merged, trained_parameters
from vibesweep.training import compute, precision
from vibesweep.training.optim.averaging import BaseMixture, ExponentialAverage, NoAverage
from vibesweep.training.optim.divergence import DivergenceGuard, StepLosses
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

SETTINGS = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("context"))


def start(context: WorkerContext, steps: int = 4, **change: Any) -> TrialRun:
    return TrialRun(context, dataclasses.replace(SETTINGS, **change), steps)


def curve(report: Report) -> list[float]:
    return [record.loss for record in report.curve]


def trained(run: TrialRun) -> dict[str, torch.Tensor]:
    return {
        name: part.detach().clone()
        for name, part in run.model.named_parameters()
        if part.requires_grad
    }


@pytest.mark.parametrize(
    ("optimizer", "rate", "steps"),
    [
        ("adafactor", 3e-3, 12),
        ("muon", 3e-3, 12),
        ("sgd", 0.3, 12),
        ("schedule_free_adamw", 3e-3, 12),
        ("prodigy", 1.0, 150),
    ],
)
def test_every_optimizer_lowers_the_validation_loss(
    context: WorkerContext, optimizer: str, rate: float, steps: int
) -> None:
    schedule = "constant" if optimizer == "schedule_free_adamw" else "cosine"
    run = start(context, steps, optimizer=optimizer, learning_rate=rate, schedule=schedule)
    untouched = run.validate()
    assert run.advance(steps).loss_val < untouched


SCHEDULE_FREE = {"optimizer": "schedule_free_adamw", "schedule": "constant"}
AVERAGED = [
    {"ema_decay": 0.9},
    SCHEDULE_FREE,
    {"base_share": 0.5},
    {"base_share": 0.5, "ema_decay": 0.9},
    {"base_share": 0.5, **SCHEDULE_FREE},
]


@pytest.mark.parametrize("change", AVERAGED)
def test_validating_and_saving_leave_the_live_weights_to_the_bit(
    context: WorkerContext, change: dict[str, Any], tmp_path: Path
) -> None:
    plain = start(context, 6, **change)
    first = curve(plain.advance(3))
    second = curve(plain.advance(6))
    watched = start(context, 6, **change)
    assert curve(watched.advance(3)) == first
    before = trained(watched)
    watched.validate()
    watched.save(tmp_path / "checkpoint")
    assert all(torch.equal(part, before[name]) for name, part in trained(watched).items())
    assert curve(watched.advance(6)) == second
    assert all(torch.equal(part, trained(plain)[name]) for name, part in trained(watched).items())


@pytest.mark.parametrize("change", AVERAGED)
def test_a_checkpoint_holds_the_average_that_was_validated(
    context: WorkerContext, change: dict[str, Any], tmp_path: Path
) -> None:
    run = start(context, 5, **change)
    report = run.advance(5)
    run.save(tmp_path / "checkpoint")
    model, _, facts = load_checkpoint(context.base, tmp_path / "checkpoint")
    assert context.validate(model.eval()) == pytest.approx(report.loss_val, rel=1e-6)
    assert facts["loss_val"] == report.loss_val
    saved = dict(model.named_parameters())
    assert not all(torch.equal(part, saved[name]) for name, part in trained(run).items())


def test_an_average_is_the_weighted_mean_of_the_weights_after_each_step() -> None:
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    average = ExponentialAverage(dict(model.named_parameters()), 0.8)
    seen = []
    for _ in range(5):
        model.weight.data += torch.randn(1, 2, dtype=torch.float64)
        seen.append(model.weight.data.clone())
        average.update()
    weighted = [weight * 0.8 ** (4 - i) for i, weight in enumerate(seen)]
    wanted = torch.stack(weighted).sum(0) * 0.2 / (1 - 0.8**5)
    again = ExponentialAverage(dict(model.named_parameters()), 0.8)
    again.load_state_dict(average.state_dict())
    for one in (average, again):
        with one.averaged():
            assert torch.allclose(model.weight, wanted, rtol=1e-12)
    with pytest.raises(KeyError), average.averaged():
        raise KeyError
    assert torch.equal(model.weight, seen[-1]), "an error inside leaves the live weights too"


def test_a_mixture_lies_between_the_first_weights_and_their_average() -> None:
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    parts = dict(model.named_parameters())
    first = model.weight.data.clone()
    mixture = BaseMixture(NoAverage(), parts, 0.25)
    model.weight.data += torch.randn(1, 2, dtype=torch.float64)
    last = model.weight.data.clone()
    again = BaseMixture(NoAverage(), parts, 0.25)
    again.load_state_dict(mixture.state_dict())
    for one in (mixture, again):
        with one.averaged():
            assert torch.allclose(model.weight, 0.75 * last + 0.25 * first, rtol=1e-12)
        assert torch.equal(model.weight, last)


def test_an_average_of_the_heads_needs_a_head_that_is_trained(context: WorkerContext) -> None:
    average = start(context, ema_decay=0.9, ema_parts="heads")._loop.averaging
    averaged = set(average.state_dict()) - {"updates"}
    assert averaged
    assert all(".head." in name or ".stop." in name for name in averaged)
    with pytest.raises(ModelError, match="nothing of the heads is trained"):
        start(context, ema_decay=0.9, ema_parts="heads", lora_head="frozen")


def test_recomputed_layers_change_nothing_but_memory(context: WorkerContext) -> None:
    kept = start(context, 3).advance(3)
    recomputed = start(context, 3, gradient_checkpointing=True).advance(3)
    assert curve(recomputed) == pytest.approx(curve(kept), rel=1e-6)
    assert recomputed.loss_val == pytest.approx(kept.loss_val, rel=1e-6)


def test_bf16_trains_near_float32_and_is_refused_where_a_device_lacks_it(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = start(context, 3, precision="float32").advance(3)
    rounded = start(context, 3, precision="bf16").advance(3)
    assert curve(rounded) != curve(exact)
    assert curve(rounded) == pytest.approx(curve(exact), rel=0.03)
    monkeypatch.setattr(precision, "_has_bf16", lambda kind: False)
    with pytest.raises(ModelError, match="cpu does not compute in bf16"):
        start(context, precision="bf16")


def test_compiled_layers_train_alike_and_keep_their_names(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "COMPILE_BACKEND", "eager")
    plain = start(context, 2, lora_dropout=0.0)
    report = plain.advance(2)
    compiled = start(context, 2, lora_dropout=0.0, compile=True)
    assert list(trained(plain)) == list(trained(compiled))
    assert compiled.advance(2).loss_val == pytest.approx(report.loss_val, rel=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


def test_attention_is_dropped_in_training_only(context: WorkerContext) -> None:
    plain = start(context, 2, lora_dropout=0.0)
    dropped = start(context, 2, lora_dropout=0.0, attention_dropout=0.5)
    assert dropped.validate() == plain.validate()
    assert curve(dropped.advance(1)) != curve(plain.advance(1))
    backbone: Any = context.base.backbone
    assert backbone.layers[0].self_attn.attention_dropout == 0.0


def test_masks_hide_inputs_of_training_and_change_no_other_draw(context: WorkerContext) -> None:
    plain = start(context, 2)
    masked = start(context, 2, specaugment_time_share=0.3)
    assert curve(masked.advance(2)) != curve(plain.advance(2))
    assert start(context, specaugment_dims_share=0.5).validate() == start(context).validate()


@pytest.mark.parametrize(
    "change",
    [
        {"lora_rslora": True},
        {"lora_alpha": 64.0},
        {"lora_dora": True},
        {"lora_head": "full"},
        {"lora_head": "frozen"},
    ],
)
def test_every_kind_of_lora_trains_all_its_parameters_and_comes_back(
    context: WorkerContext, change: dict[str, Any], tmp_path: Path
) -> None:
    before = {name: part.clone() for name, part in context.base.state_dict().items()}
    run = start(context, 8, **change)
    untouched, first = run.validate(), trained(run)
    report = run.advance(8)
    assert report.loss_val < untouched
    assert [name for name, part in trained(run).items() if torch.equal(part, first[name])] == []
    assert all(torch.equal(part, before[name]) for name, part in context.base.state_dict().items())
    run.save(tmp_path / "checkpoint")
    model = load_checkpoint(context.base, tmp_path / "checkpoint")[0].eval()
    assert context.validate(model) == pytest.approx(report.loss_val, rel=1e-6)
    assert context.validate(merged(model)) == pytest.approx(report.loss_val, rel=1e-4)


def test_how_much_is_trained_follows_the_settings(context: WorkerContext) -> None:
    def counts(settings: TrialSettings) -> tuple[int, int]:
        return trained_parameters(for_trial(context.base, settings))

    by_head = {
        head: counts(dataclasses.replace(SETTINGS, lora_head=head))
        for head in ("lora", "full", "frozen")
    }
    heads = [context.base.get_submodule(name) for name in context.base.heads]
    in_heads = sum(part.numel() for head in heads for part in head.parameters())
    assert by_head["full"][0] == by_head["frozen"][0] + in_heads
    assert by_head["frozen"][0] < by_head["lora"][0] < by_head["full"][0]
    trained, total = counts(TrialSettings(method="full"))
    assert trained == total == by_head["frozen"][1] - by_head["frozen"][0]


def test_targets_are_whole_names_of_linear_layers(context: WorkerContext) -> None:
    settings = dataclasses.replace(SETTINGS, lora_targets=r"backbone\.layers\.1\..*|head\..*")
    found = adapted_layers(context.base, settings)
    assert {name.split(".")[0] for name in found} == {"backbone", "head"}
    assert not any("norm" in name for name in found)
    beside_the_head = adapted_layers(context.base, dataclasses.replace(settings, lora_head="full"))
    assert {name.split(".")[0] for name in beside_the_head} == {"backbone"}
    start(context, 1, lora_targets=settings.lora_targets).advance(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora_targets": "q_proj"}, r"no LoRA targets 'q_proj'.*such as \S+"),
        ({"lora_targets": r"head\..*", "lora_head": "frozen"}, "no LoRA targets"),
    ],
)
def test_targets_that_the_model_does_not_have_are_named(
    context: WorkerContext, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        start(context, **change)


def test_a_diverged_trial_names_the_layer_and_keeps_its_weights(context: WorkerContext) -> None:
    run = start(context, 4, method="full")
    run.advance(1)
    with torch.no_grad():
        run.model.get_parameter("head.layers.0.ffn.up_proj.weight").fill_(math.inf)
    before = trained(run)
    diverged = run.advance(3).diverged
    assert diverged is not None
    assert "in step 2; the gradient is not finite in " in diverged
    assert all(torch.equal(part, before[name]) for name, part in trained(run).items())


def test_the_guard_names_the_gradient_that_is_broken_or_largest() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    for part in model.parameters():
        part.grad = torch.ones_like(part)
    guard = DivergenceGuard(model, TrialSettings())
    model[1].weight.grad = torch.full((2, 2), 50.0)
    assert guard.check(1, StepLosses(1.0, 1.0, 1.0), 1.0) is None
    exploded = guard.check(2, StepLosses(101.0, 101.0, 1.0), 100.0)
    assert exploded is not None
    assert exploded.startswith(
        "the diffusion loss was 101 in step 2, over 100 times its running median 1; "
    )
    assert exploded.endswith(
        "every gradient is finite, the largest, of norm 100, is that of 1.weight"
    )
    model[1].weight.grad[0, 0] = math.nan
    broken = guard.check(6, StepLosses(1.0, 1.0, 1.0), math.nan)
    assert broken == (
        "the loss was 1 and the gradient's norm nan in step 6; "
        "the gradient is not finite in 1.weight"
    )


def test_the_settings_work_together(context: WorkerContext) -> None:
    run = start(
        context,
        8,
        lora_dora=True,
        lora_head="full",
        ema_decay=0.9,
        precision="bf16",
        gradient_checkpointing=True,
        optimizer="muon",
        schedule="wsd",
        specaugment_time_share=0.2,
        specaugment_dims_share=0.1,
        micro_batch_tokens=1,
    )
    untouched = run.validate()
    losses = [run.advance(step).loss_val for step in (4, 8)]
    assert untouched > losses[0] > losses[1]
    assert all(a != b for a, b in itertools.pairwise([untouched, *losses]))
