"""Seats: rows of one shape and padded ranks change nothing, and no trial sees the one before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests import tiny, vibe
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.packing import RowLimits, RowShape, RowSize, fill_rows
from vibesweep.models.registry import ModelRef
from vibesweep.models.seating import TensorDropout, kind_of
from vibesweep.models.speech_model import SpeechModel
from vibesweep.training import seat, worker_context
from vibesweep.training.optim.flat import FlatParameters
from vibesweep.training.parameters import trained_by_name
from vibesweep.training.row_shape import TOKEN_STEP, choose_shape
from vibesweep.training.rows import EagerRows
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

SETTINGS = TrialSettings(
    learning_rate=3e-3, lora_rank=4, lora_dropout=0.0, lora_head="full", batch_clips=4
)
OTHERS: list[dict[str, Any]] = [
    {"lora_rank": 9, "lora_alpha": 5.0, "learning_rate": 1e-2, "weight_decay": 0.1, "seed": 7},
    {"lora_rank": 2, "lora_rslora": True, "ema_decay": 0.5, "optimizer": "lion"},
    {"optimizer": "sgd", "grad_clip_norm": 0.1, "diffusion_weight": 2.0},
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("seats"))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, context: WorkerContext) -> Iterator[WorkerContext]:
    """Give all trials seats as a GPU's are, but for the graph and the compiler."""
    monkeypatch.setattr(worker_context, "takes_one_shape", lambda base, settings, world: True)
    monkeypatch.setattr(seat, "GraphedRows", EagerRows)
    monkeypatch.setattr(seat, "compile_for_one_shape", lambda layers: None)
    yield context
    context.seats.clear()


def curve(context: WorkerContext, settings: TrialSettings) -> list[float]:
    run = TrialRun(context, settings, 6)
    report = run.advance(6)
    run.close()
    return [*(record.loss for record in report.curve), report.loss_val]


def mel_base(folder: Path) -> SpeechModel:
    return tiny.model()


def vibevoice_base(folder: Path) -> SpeechModel:
    return ModelRef.parse(f"vibevoice:{write_checkpoint(folder / 'checkpoint')}").load()


@pytest.mark.parametrize(
    ("make_base", "rows"), [(mel_base, tiny.clips(5)), (vibevoice_base, vibe.clips(5))]
)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_fills_a_row_up_counts_nothing(
    make_base: Callable[[Path], SpeechModel], rows: Any, method: str, tmp_path: Path
) -> None:
    base = make_base(tmp_path)
    clips = [base.encode(row) for row in rows]
    batch: Any = base.collator(clips).training(clips, 0, 0)
    shape = RowShape(batch.tokens + 70, batch.patches + 9, batch.clips + 4)
    assert shape.holds(batch)
    found = []
    for row in (batch, batch.filled_up(shape)):
        torch.manual_seed(0)
        model = for_trial(base, dataclasses.replace(SETTINGS, method=method))
        flat = FlatParameters(model)
        losses = model(row)
        (losses.diffusion + losses.stop).backward()
        found.append((torch.stack(losses).detach(), flat.gradient))
    (losses, gradient), (filled_losses, filled_gradient) = found
    assert torch.allclose(filled_losses, losses, rtol=1e-5)
    assert (filled_gradient - gradient).norm() <= 1e-5 * gradient.norm()
    assert gradient.norm() > 0


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_a_trial_in_a_used_seat_is_the_trial_alone(
    context: WorkerContext, changes: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    settings = dataclasses.replace(SETTINGS, **changes)
    alone = curve(context, settings)
    shared: WorkerContext = request.getfixturevalue("shared")
    curve(shared, dataclasses.replace(SETTINGS, lora_rank=16, learning_rate=0.1))
    assert curve(shared, settings) == pytest.approx(alone, rel=1e-5)
    assert len(shared.seats) == 1, "both trials had the same"


def test_full_training_in_a_used_seat_begins_at_the_base(shared: WorkerContext) -> None:
    settings = TrialSettings(method="full", learning_rate=1e-2, batch_clips=4)
    first = curve(shared, settings)
    assert curve(shared, settings) == pytest.approx(first, rel=1e-6)
    assert len(shared.seats) == 1


def test_a_seat_that_is_taken_is_nobody_else_s(shared: WorkerContext) -> None:
    one, other = TrialRun(shared, SETTINGS, 4), TrialRun(shared, SETTINGS, 4)
    assert one.model is not other.model
    one.close()
    third = TrialRun(shared, SETTINGS, 4)
    assert third.model is one.model
    other.close()
    third.close()


def test_a_checkpoint_from_a_seat_holds_the_trial_s_own_rank(
    shared: WorkerContext, tmp_path: Path
) -> None:
    run = TrialRun(shared, SETTINGS, 4)
    report = run.advance(4)
    run.save(tmp_path / "checkpoint")
    run.save_state(tmp_path / "state")
    model, _, _ = load_checkpoint(shared.base, tmp_path / "checkpoint")
    saved = trained_by_name(model)
    own = trained_by_name(run.model)
    assert all(torch.equal(own[name], saved[name]) for name in saved)
    assert shared.validate(model.eval()) == pytest.approx(report.loss_val, rel=1e-6)
    run.close()
    resumed = TrialRun(shared, SETTINGS, 4)
    resumed.restore(tmp_path / "state")
    assert all(torch.equal(part, saved[name]) for name, part in trained_by_name(model).items())
    resumed.close()


def test_trials_that_differ_in_numbers_are_of_a_kind() -> None:
    for alike in OTHERS:
        assert kind_of(dataclasses.replace(SETTINGS, **alike)) == kind_of(SETTINGS)
    changes: list[dict[str, Any]] = [
        {"lora_rank": 40},
        {"lora_dropout": 0.1},
        {"precision": "bf16"},
    ]
    for change in changes:
        other = dataclasses.replace(SETTINGS, **change)
        assert kind_of(other) != kind_of(SETTINGS)


def test_what_draws_anew_has_a_seat_of_its_own() -> None:
    base, gpu = tiny.model(), World(device="cuda:0")
    assert seat.takes_one_shape(base, SETTINGS, gpu)
    assert not seat.takes_one_shape(base, SETTINGS, World())
    assert seat.takes_one_shape(base, SETTINGS, World(size=2, device="cuda:0"))
    changes: list[dict[str, Any]] = [
        {"optimizer": "muon"},
        {"gradient_checkpointing": True},
        {"lora_dora": True},
    ]
    for change in changes:
        other = dataclasses.replace(SETTINGS, **change)
        assert not seat.takes_one_shape(base, other, gpu)


def test_dropout_by_a_tensor_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = TensorDropout()
    dropout.rate.fill_(0.25)
    found = dropout(torch.ones(100_000))
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert found.mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(dropout.eval()(torch.ones(9)), torch.ones(9))


def test_the_shape_holds_the_longest_clip_and_wastes_less_than_a_third() -> None:
    sizes = sorted((RowSize(tokens, tokens // 2) for tokens in range(200, 456)), reverse=True)
    shape = choose_shape(sizes, TrialSettings(batch_clips=8), 100_000)
    assert shape.tokens % TOKEN_STEP == 0
    steps = [sizes[start : start + 8] for start in range(0, 256, 8)]
    rows = [fill_rows(step, shape.limits) for step in steps]
    full = sum(size.tokens for size in sizes)
    assert full / (shape.tokens * sum(map(len, rows))) > 0.67
    small = choose_shape(sizes, TrialSettings(batch_clips=8), 300)
    assert small.tokens == 480, "the longest clip fits nevertheless"
    assert small.limits.tokens < small.tokens
    assert isinstance(small.limits, RowLimits)


def test_flat_values_are_the_model_s_and_gradients_add_up() -> None:
    linear, norm = torch.nn.Linear(3, 5), torch.nn.LayerNorm(5)
    model = torch.nn.Sequential(linear, norm)
    before = {name: part.clone() for name, part in model.named_parameters()}
    flat = FlatParameters(model)
    assert all(torch.equal(part, before[name]) for name, part in model.named_parameters())
    values: Tensor = model(torch.ones(2, 3))
    values.square().sum().backward()
    norms = [part.grad.norm() for part in model.parameters() if part.grad is not None]
    assert flat.gradient.norm().item() == pytest.approx(torch.stack(norms).norm().item())
    with torch.no_grad():
        flat.matrices.fill_(2.0)
    assert torch.equal(linear.weight, torch.full((5, 3), 2.0))
    assert torch.equal(linear.bias, before["0.bias"])
