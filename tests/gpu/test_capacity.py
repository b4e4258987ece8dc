"""What is said to fit a GPU does: short clips and long ones, alone and in the steps of a trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.gpu.bases import DEVICE, LARGE, WIDE, context_on_gpu, free_unused_memory
from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.packing import RowLimits
from vibesweep.training.compute import configure_model
from vibesweep.training.memory import HEADROOM, MASKED_TOKENS, free_bytes, memory_key
from vibesweep.training.precision import autocast
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GB = 1e9
SHARE = 0.15
"""Share of the GPU that these tests may fill: clips for all of it take minutes to make."""
Record = Callable[[str, object], None]


@pytest.fixture
def part_of_the_gpu() -> Iterator[None]:
    """Have torch refuse more than the share, as a smaller GPU would."""
    torch.cuda.set_per_process_memory_fraction(SHARE, DEVICE)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WorkerContext]:
    shapes = {"large": LARGE, "wide": WIDE}
    opened = {}
    for name, shape in shapes.items():
        folder = tmp_path_factory.mktemp(name)
        opened[name] = context_on_gpu(folder, shape, device_share=SHARE)
    return opened


@pytest.mark.usefixtures("part_of_the_gpu")
@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("large", {}),
        ("large", {"lora_dropout": 0.0}),
        ("large", {"lora_dora": True}),
        ("large", {"method": "full"}),
        ("large", {"gradient_checkpointing": True}),
        ("wide", {}),
        ("wide", {"method": "full"}),
    ],
    ids=str,
)
def test_a_measured_batch_fits(
    contexts: dict[str, WorkerContext],
    base: str,
    changes: dict[str, Any],
    record_property: Record,
) -> None:
    context = contexts[base]
    free_unused_memory()
    settings = TrialSettings(precision="bf16", **changes)
    model = for_trial(context.base, settings).train()
    configure_model(model, settings)
    random_state = torch.cuda.get_rng_state(DEVICE)
    tokens = context.micro_batch_tokens(model, settings)
    assert torch.equal(torch.cuda.get_rng_state(DEVICE), random_state), (
        "a trial draws the same numbers as without the measurement"
    )
    assert context.micro_batch_tokens(model, settings) == tokens
    assert all(part.grad is None for part in model.parameters())
    free = free_bytes(model, DEVICE, SHARE)
    memory = context.memory_models[memory_key(settings)]
    expected = memory.fixed_bytes + memory.bytes_per_token * tokens
    ordered = sorted(context.voice_clips, key=lambda clip: clip.length)
    shortest = peak_of(context, model, settings, ordered[:8], tokens)
    longest = peak_of(context, model, settings, ordered[:-9:-1], tokens)
    print(f"\n{base} {changes}: {tokens} tokens of {memory.bytes_per_token:.0f} bytes")
    print(f"{free / GB:.1f} GB free, {expected / GB:.1f} expected")
    print(f"shortest {shortest / GB:.1f}, longest {longest / GB:.1f}")
    measured = {
        "tokens": tokens,
        "bytes_per_token": memory.bytes_per_token,
        "fixed": memory.fixed_bytes,
        "free": free,
        "peaks": [shortest, longest],
    }
    record_property("bytes", measured)
    for peak in (shortest, longest):
        assert 0.25 * free < peak < 0.9 * free
        assert 0.7 * expected < peak < 1.1 * expected


def peak_of(
    context: WorkerContext,
    model: nn.Module,
    settings: TrialSettings,
    clips: list[EncodedClip],
    tokens: int,
) -> int:
    """Return the bytes that as many of these clips as fit take.

    They are computed beside the gradient that a micro-batch of one clip has left.
    """
    for limit in (1, tokens):
        endless = list(islice(cycle(clips), tokens // min(clip.length for clip in clips)))
        batch = next(context.collator.rows(endless, 0, 0, RowLimits(limit))).to(DEVICE)
        before = torch.cuda.memory_allocated(DEVICE)
        torch.cuda.reset_peak_memory_stats(DEVICE)
        with autocast(settings, DEVICE):
            losses = model(batch)
        normalizer = LossNormalizer(float(len(batch.targets)), 1.0)
        torch.autograd.backward(normalizer.weighted_loss(losses, 1.0, 0.2))
        del losses
    model.zero_grad(set_to_none=True)
    return torch.cuda.max_memory_allocated(DEVICE) - before


def allocation_retries() -> int:
    """Return how often torch's allocator had to free its cache and try again."""
    retries: int = torch.cuda.memory_stats(DEVICE)["num_alloc_retries"]
    return retries


@pytest.mark.usefixtures("part_of_the_gpu")
@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "muon"}, {"optimizer": "muon", "method": "full", "ema_decay": 0.9}],
    ids=str,
)
def test_a_trial_runs_whose_micro_batches_are_the_largest_that_are_said_to_fit(
    changes: dict[str, Any], tmp_path: Path, record_property: Record
) -> None:
    free_unused_memory()
    clips = 1_000
    context = context_on_gpu(tmp_path, LARGE, clips, SHARE)
    settings = TrialSettings(batch_clips=clips, learning_rate=1e-3, precision="bf16", **changes)
    run = TrialRun(context, settings, 3)
    free = free_bytes(run.model, DEVICE, SHARE)
    memory = context.memory_models[memory_key(settings)]
    # Before it is cut to a power of two
    largest = int(((1 - HEADROOM) * free - memory.fixed_bytes) / memory.bytes_per_token)
    run = TrialRun(context, dataclasses.replace(settings, micro_batch_tokens=largest), 3)
    retries_before = allocation_retries()
    allocated_before = torch.cuda.memory_allocated(DEVICE)
    torch.cuda.reset_peak_memory_stats(DEVICE)
    untouched = run.validate()
    report = run.advance(3)
    taken = torch.cuda.max_memory_allocated(DEVICE) - allocated_before
    held = torch.cuda.max_memory_reserved(DEVICE)
    retries = allocation_retries() - retries_before
    print(f"\n{changes}: {largest} tokens, {free / GB:.1f} GB free, {taken / GB:.1f} taken and")
    print(f"{held / GB:.1f} held at most, {retries} retries, {report.steps_per_s:.2f} steps/s,")
    print(f"validation {untouched:.4f} to {report.loss_val:.4f}")
    measured = {"tokens": largest, "free": free, "taken": taken, "held": held, "retries": retries}
    record_property("bytes", measured)
    assert report.diverged is None
    assert report.loss_val < untouched
    assert 0.6 * free < taken < 0.95 * free, "the GPU was filled, and not to the brim"


def test_a_trial_in_float32_whose_step_is_large_runs(tmp_path: Path) -> None:
    free_unused_memory()
    context = context_on_gpu(tmp_path, LARGE, 1_500)
    settings = TrialSettings(batch_clips=1_000, learning_rate=1e-3, optimizer="muon")
    run = TrialRun(context, settings, 2)
    assert run.micro_batch_tokens == MASKED_TOKENS
    report = run.advance(2)
    assert report.diverged is None
