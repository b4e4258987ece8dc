"""What is said to fit a GPU does: for the shortest clips and for the longest, alone and in a trial's steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
import torch

from tests.gpu.bases import DEVICE, LARGE, WIDE, bench_of, sweep_up
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.family import EncodedClip, LossNormalizer
from vibesweep.training.compute import autocast, fit_out
from vibesweep.training.data.batches import BESIDE_TOKENS
from vibesweep.training.loop import TrialRun
from vibesweep.training.memory import HEADROOM, free_bytes, key_of
from vibesweep.training.worker_context import WorkerContext

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GB = 1e9
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WorkerContext]:
    return {
        name: bench_of(tmp_path_factory.mktemp(name), shape)
        for name, shape in (("large", LARGE), ("wide", WIDE))
    }


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("large", {}),
        ("large", {"lora_dropout": 0.0}),
        ("large", {"lora_dora": True}),
        ("large", {"method": "full"}),
        ("large", {"method": "full", "precision": "bf16"}),
        ("large", {"gradient_checkpointing": True}),
        ("wide", {}),
        ("wide", {"method": "full"}),
        ("wide", {"method": "full", "precision": "bf16"}),
    ],
    ids=str,
)
def test_a_measured_batch_fits(
    benches: dict[str, WorkerContext],
    base: str,
    changes: dict[str, object],
    record_property: Record,
) -> None:
    context = benches[base]
    sweep_up()
    settings = TrialSettings(**changes)  # type: ignore[arg-type]
    model = for_trial(context.base, settings).train()
    fit_out(model, settings)
    before = torch.cuda.get_rng_state(DEVICE)
    positions = context.positions(model, settings, autocast(settings, DEVICE))
    assert torch.equal(torch.cuda.get_rng_state(DEVICE), before), (
        "a trial draws the same numbers as without the measurement"
    )
    assert context.positions(model, settings, autocast(settings, DEVICE)) == positions
    assert all(part.grad is None for part in model.parameters())
    free, appetite = free_bytes(model, DEVICE), context.memory_models[key_of(settings)]
    expected = appetite.fixed + appetite.slope * positions
    told = f"{positions} positions of {appetite.slope:.0f} bytes, {free / GB:.1f} GB free, {expected / GB:.1f} expected;"
    ordered = sorted(context.clips, key=lambda clip: clip.length)
    peaks = [
        peak_of(context, model, settings, clips, positions)
        for clips in (ordered[:8], ordered[:-9:-1])
    ]
    print(f"\n{base} {changes}: {told} shortest {peaks[0] / GB:.1f}, longest {peaks[1] / GB:.1f}")
    record_property(
        "bytes",
        {
            "positions": positions,
            "slope": appetite.slope,
            "fixed": appetite.fixed,
            "free": free,
            "peaks": peaks,
        },
    )
    for peak in peaks:
        assert 0.25 * free < peak < 0.9 * free
        assert 0.7 * expected < peak < 1.1 * expected


def peak_of(
    context: WorkerContext,
    model: torch.nn.Module,
    settings: TrialSettings,
    clips: list[EncodedClip],
    positions: int,
) -> int:
    """Bytes that as many of these clips as fit take, beside the gradient that a micro-batch of one has left."""
    fitting = positions // (max(clip.length for clip in clips) + BESIDE_TOKENS)
    for count in (1, fitting):
        batch = list(islice(cycle(clips), count))
        before = torch.cuda.memory_allocated(DEVICE)
        torch.cuda.reset_peak_memory_stats(DEVICE)
        with autocast(settings, DEVICE):
            losses = model(context.collator.training(batch, 0, 0).to(DEVICE))
        torch.autograd.backward(
            LossNormalizer.of([clip.patches for clip in batch]).weighted_loss(losses, 1.0, 0.2)
        )
        del losses
    model.zero_grad(set_to_none=True)
    return torch.cuda.max_memory_allocated(DEVICE) - before


@pytest.mark.parametrize("changes", [{}, {"method": "full", "ema_decay": 0.9}], ids=str)
def test_a_trial_runs_whose_micro_batches_are_the_largest_that_are_said_to_fit(
    changes: dict[str, object], tmp_path: Path, record_property: Record
) -> None:
    sweep_up()
    clips = 5_000
    context = bench_of(tmp_path, LARGE, clips)
    settings = TrialSettings(batch_clips=clips, learning_rate=1e-3, **changes)  # type: ignore[arg-type]
    run = TrialRun(context, settings, 3)
    free, appetite = free_bytes(run.model, DEVICE), context.memory_models[key_of(settings)]
    largest = int(
        ((1 - HEADROOM) * free - appetite.fixed) / appetite.slope
    )  # before it is cut to a power of two
    run = TrialRun(context, dataclasses.replace(settings, micro_batch_tokens=largest), 3)
    retries, before = (
        torch.cuda.memory_stats(DEVICE)["num_alloc_retries"],
        torch.cuda.memory_allocated(DEVICE),
    )
    torch.cuda.reset_peak_memory_stats(DEVICE)
    untouched = run.validate()
    report = run.advance(3)
    taken, held = (
        torch.cuda.max_memory_allocated(DEVICE) - before,
        torch.cuda.max_memory_reserved(DEVICE),
    )
    retries = torch.cuda.memory_stats(DEVICE)["num_alloc_retries"] - retries
    told = f"{largest} positions, {free / GB:.1f} GB free, {taken / GB:.1f} taken and {held / GB:.1f} held at most, {retries} retries"
    print(
        f"\n{changes}: {told}; {report.steps_per_s:.2f} steps/s, validation {untouched:.4f} to {report.loss_val:.4f}"
    )
    record_property(
        "bytes",
        {"positions": largest, "free": free, "taken": taken, "held": held, "retries": retries},
    )
    assert report.diverged is None
    assert report.loss_val < untouched
    assert 0.6 * free < taken < 0.95 * free, "the GPU was filled, and not to the brim"
