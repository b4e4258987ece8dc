"""VibeVoice on a GPU: the released sizes with random weights, and a sweep of a small checkpoint."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.distributions import FloatDistribution

from tests import vibe
from tests.checkpoint import write_checkpoint
from tests.gpu.bases import DEVICE, free_unused_memory
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.sound_encoder import VibeVoiceSounds
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GB, RATE_HZ, SECONDS = 1e9, 24_000, 20
LORA = TrialSettings(
    lora_rank=16, lora_head="full", batch_clips=8, precision="bf16", learning_rate=1e-4
)
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def released(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Write a checkpoint of a released one's sizes, by default the 1.5B's.

    It is deleted afterwards: the 7B's takes 19 GB.
    """
    free_unused_memory()
    folder = write_checkpoint(
        tmp_path_factory.mktemp("released") / "checkpoint",
        size=getattr(request, "param", "1.5B"),
        device="cuda",
    )
    free_unused_memory()
    yield folder
    shutil.rmtree(folder)
    free_unused_memory()


def sound(seconds: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(0, 0.05, seconds * RATE_HZ).astype(np.float32)


def clips(encoder: VibeVoiceSounds) -> list[Clip]:
    made = []
    half = SECONDS / 2
    for number, clip in enumerate(vibe.clips(20)):
        encoded = encoder.encode(sound(SECONDS, number))
        turns = [
            dataclasses.replace(turn, start_s=at * half, end_s=(at + 1) * half)
            for at, turn in enumerate(clip.turns)
        ]
        columns = {
            name: np.frombuffer(value, np.float16) for name, value in encoded.columns.items()
        }
        made.append(
            dataclasses.replace(
                clip,
                duration_s=float(SECONDS),
                patches=encoded.patches,
                turns=tuple(turns),
                columns=columns,
            )
        )
    return made


@pytest.fixture(scope="module")
def context(released: Path, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    encoder = VibeVoiceSounds(Checkpoint.open(str(released)), "cuda")
    encoder.encode(sound(SECONDS, 0))
    began = time.perf_counter()
    made = clips(encoder)
    rate = len(made) * SECONDS / (time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / GB
    print(f"\nencoders: {rate:.0f} s of speech a second, peak {peak:.1f} GB")
    del encoder
    free_unused_memory()
    shards = vibe.write_shards(tmp_path_factory.mktemp("context") / "shards", released, made=made)
    began = time.perf_counter()
    opened = WorkerContext.open(
        ModelRef.parse(f"vibevoice:{released}"), shards, World(device=DEVICE)
    )
    seconds = time.perf_counter() - began
    taken = torch.cuda.memory_allocated() / GB
    print(f"base and clips were loaded in {seconds:.1f} s, {taken:.1f} GB")
    return opened


def test_chunks_of_a_long_clip_agree_with_the_whole(released: Path) -> None:
    checkpoint = Checkpoint.open(str(released))
    samples = sound(60, 1)
    whole = VibeVoiceSounds(checkpoint, "cuda", 450).features(samples)
    chunks = VibeVoiceSounds(checkpoint, "cuda", 100).features(samples)
    for name in ("acoustic", "semantic"):
        one = getattr(whole, name).astype(np.float64)
        other = getattr(chunks, name).astype(np.float64)
        furthest = abs(one - other).max()
        print(f"\n{name}: standard deviation {one.std():.3f}, furthest apart {furthest:.2e}")
        assert furthest < 4e-3 * one.std() + 2**-10 * abs(one).max()
    free_unused_memory()


@pytest.mark.parametrize(
    ("released", "changes"),
    [
        ("1.5B", {}),
        ("1.5B", {"compile": True}),
        ("1.5B", {"gradient_checkpointing": True}),
        ("1.5B", {"precision": "float32"}),
        ("1.5B", {"method": "full", "learning_rate": 1e-5, "gradient_checkpointing": True}),
        ("7B", {}),
        ("7B", {"gradient_checkpointing": True}),
    ],
    indirect=["released"],
    ids=str,
)
def test_a_trial_of_a_released_size_trains(
    context: WorkerContext, changes: dict[str, Any], record_property: Record
) -> None:
    free_unused_memory()
    torch.cuda.reset_peak_memory_stats()
    settings = dataclasses.replace(LORA, **changes)
    began = time.perf_counter()
    run = TrialRun(context, settings, 20)
    ready_s = time.perf_counter() - began
    before = run.validate()
    first = run.advance(4)
    last = run.advance(16)
    step_ms = 1_000 / last.steps_per_s
    peak = torch.cuda.max_memory_allocated() / GB
    print(f"\n{changes}: {run.micro_batch_tokens} tokens a micro-batch, ready in {ready_s:.1f} s,")
    print(f"{step_ms:.0f} ms a step of 8 x {SECONDS} s, peak {peak:.1f} GB;")
    print(f"validation {before:.4f}, {first.loss_val:.4f}, {last.loss_val:.4f}")
    figures = {
        "ms": step_ms,
        "peak_gb": peak,
        "tokens": run.micro_batch_tokens,
        "loss": last.loss_val,
    }
    record_property("figures", figures)
    assert last.diverged is None
    assert last.loss_val < before
    run.close()
    del run


def five_minutes(clip: Clip, rng: np.random.Generator) -> Clip:
    """Return the clip with two turns of 150 s and features of no meaning."""
    acoustic = rng.normal(0, 5, (2_250, vibe.LATENT_SIZE)).astype(np.float16)
    semantic = rng.normal(0, 1, (2_250, vibe.SEMANTIC_SIZE)).astype(np.float16)
    turns = [
        dataclasses.replace(turn, start_s=at * 150.0, end_s=at * 150.0 + 150.0)
        for at, turn in enumerate(clip.turns)
    ]
    return dataclasses.replace(
        clip,
        duration_s=300.0,
        patches=len(acoustic),
        turns=tuple(turns),
        columns={"acoustic": acoustic.reshape(-1), "semantic": semantic.reshape(-1)},
    )


def test_validation_of_clips_of_five_minutes_takes_little_beside_the_model(
    released: Path, tmp_path: Path
) -> None:
    free_unused_memory()
    rng = np.random.default_rng(0)
    long = [five_minutes(clip, rng) for clip in vibe.clips(40)]
    shards = vibe.write_shards(tmp_path / "shards", released, made=long)
    model = ModelRef.parse(f"vibevoice:{released}")
    context = WorkerContext.open(model, shards, World(device=DEVICE))
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    loss = context.validate(context.base)
    taken = torch.cuda.max_memory_allocated() - before
    clip_count = len(context.validation_clips)
    batches = len(context.validation_batches)
    print(f"\n{clip_count} clips of 300 s in {batches} batches:")
    print(f"{taken / GB:.1f} GB beside {before / GB:.1f}, loss {loss:.4f}")
    assert taken < 0.6 * before


def test_it_speaks_on_a_gpu(released: Path, tmp_path: Path) -> None:
    from vibesweep.delivery.synthesize import synthesize

    free_unused_memory()
    began = time.perf_counter()
    model = ModelRef.parse(f"vibevoice:{released}")
    text = "[SPEAKER_A] Good morning. [SPEAKER_B] It works."
    speech = synthesize(model, text, tmp_path / "speech.wav")
    seconds = time.perf_counter() - began
    print(f"\nspoke {speech.seconds:.1f} s in {seconds:.1f} s, loading included")
    assert (tmp_path / "speech.wav").stat().st_size > 1_000


def test_a_sweep_encodes_once_trains_on_lanes_and_speaks(tmp_path: Path) -> None:
    import ray

    from vibesweep.corpus.demo import write_demo_corpus
    from vibesweep.delivery.export import export
    from vibesweep.delivery.sample import speak_sample
    from vibesweep.sweep.run import run_sweep

    free_unused_memory()
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    sweep = Sweep(
        space={"learning_rate": FloatDistribution(1e-3, 1e-2, log=True)},
        corpus=str(write_demo_corpus(tmp_path / "talks", recordings=16)),
        model=f"vibevoice:{checkpoint}",
        settings=dataclasses.replace(LORA, ema_decay=0.9, ema_parts="heads", silence_after_s=0.4),
        budget=Budget(max_steps=24, grace_steps=6, reduction_factor=2),
        trials=4,
        resources=TrialResources(workers=1, cpus_per_worker=2, gpus_per_worker=1),
    )
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        folder = run_sweep(sweep, "gpu", work=tmp_path)
    finally:
        ray.shutdown()
    record = folder.read()
    assert record.state == "done"
    assert record.best is not None
    assert record.base_loss_val is not None
    assert record.best.best_loss_val is not None
    assert record.best.best_loss_val < record.base_loss_val
    states = [(trial.state, trial.step) for trial in record.trials]
    best = record.best.best_loss_val
    print(f"\nbase {record.base_loss_val:.4f}, best {best:.4f}, {states}")
    assert speak_sample(folder, export(folder, tmp_path / "best")).stat().st_size > 1_000
