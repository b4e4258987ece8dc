"""VibeVoice on a GPU: the released sizes with random weights, and a whole sweep of the small checkpoint."""

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

from tests import vibe
from tests.checkpoint import write_checkpoint
from tests.gpu.bases import DEVICE, sweep_up
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.encoder import OpenVibeVoiceEncoder
from vibesweep.training.loop import TrialRun
from vibesweep.training.worker_context import WorkerContext, World

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
    """A checkpoint of a released one's sizes, the 1.5B's where none is asked for; the 7B's takes 19 GB, so none stays."""
    sweep_up()
    folder = write_checkpoint(
        tmp_path_factory.mktemp("released") / "checkpoint",
        size=getattr(request, "param", "1.5B"),
        device="cuda",
    )
    sweep_up()
    yield folder
    shutil.rmtree(folder)
    sweep_up()


def sound(seconds: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(0, 0.05, seconds * RATE_HZ).astype(np.float32)


def clips(encoder: OpenVibeVoiceEncoder) -> list[Clip]:
    made = []
    for number, row in enumerate(vibe.rows(20)):
        found = encoder.encode(sound(SECONDS, number))
        turns = tuple(
            dataclasses.replace(turn, start_s=at * SECONDS / 2, end_s=(at + 1) * SECONDS / 2)
            for at, turn in enumerate(row.turns)
        )
        made.append(
            dataclasses.replace(
                row,
                duration_s=float(SECONDS),
                turns=turns,
                acoustic=found.acoustic,
                semantic=found.semantic,
            )
        )
    return made


@pytest.fixture(scope="module")
def context(released: Path, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    encoder = OpenVibeVoiceEncoder(Checkpoint.open(str(released)), "cuda")
    encoder.encode(sound(SECONDS, 0))
    began = time.perf_counter()
    rows = clips(encoder)
    rate = len(rows) * SECONDS / (time.perf_counter() - began)
    print(
        f"\nencoders: {rate:.0f} s of speech a second, peak {torch.cuda.max_memory_allocated() / GB:.1f} GB"
    )
    del encoder
    sweep_up()
    shards = vibe.write_shards(tmp_path_factory.mktemp("context") / "shards", released, clips=rows)
    began = time.perf_counter()
    made = WorkerContext.open(f"vibevoice:{released}", shards, World(device=DEVICE))
    print(
        f"base and clips were loaded in {time.perf_counter() - began:.1f} s, {torch.cuda.memory_allocated() / GB:.1f} GB"
    )
    return made


def test_chunks_of_a_long_clip_agree_with_the_whole(released: Path) -> None:
    checkpoint, wave = Checkpoint.open(str(released)), sound(60, 1)
    whole, chunks = (
        OpenVibeVoiceEncoder(checkpoint, "cuda", size).encode(wave) for size in (450, 100)
    )
    for name in ("acoustic", "semantic"):
        one, other = (getattr(side, name).astype(np.float64) for side in (whole, chunks))
        print(f"\n{name}: spread {one.std():.3f}, furthest apart {abs(one - other).max():.2e}")
        assert abs(one - other).max() < 4e-3 * one.std() + 2**-10 * abs(one).max()
    sweep_up()


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
    sweep_up()
    torch.cuda.reset_peak_memory_stats()
    settings = dataclasses.replace(LORA, **changes)
    began = time.perf_counter()
    run = TrialRun(context, settings, 20)
    ready_s, before = time.perf_counter() - began, run.validate()
    first = run.advance(4)
    last = run.advance(16)
    told = f"{run._positions} positions a micro-batch, ready in {ready_s:.1f} s, {1_000 / last.steps_per_s:.0f} ms a step of 8 x {SECONDS} s"
    peak = torch.cuda.max_memory_allocated() / GB
    print(
        f"\n{changes}: {told}, peak {peak:.1f} GB; validation {before:.4f}, {first.loss_val:.4f}, {last.loss_val:.4f}"
    )
    record_property(
        "figures",
        {
            "ms": 1_000 / last.steps_per_s,
            "peak_gb": peak,
            "positions": run._positions,
            "loss": last.loss_val,
        },
    )
    assert last.diverged is None
    assert last.loss_val < before
    run.close()
    del run


def test_validation_of_clips_of_five_minutes_takes_little_beside_the_model(
    released: Path, tmp_path: Path
) -> None:
    sweep_up()
    rng = np.random.default_rng(0)
    long = [
        dataclasses.replace(
            row,
            duration_s=300.0,
            turns=tuple(
                dataclasses.replace(turn, start_s=at * 150.0, end_s=at * 150.0 + 150.0)
                for at, turn in enumerate(row.turns)
            ),
            acoustic=rng.normal(0, 5, (2_250, vibe.LATENT_SIZE)).astype(np.float16),
            semantic=rng.normal(0, 1, (2_250, vibe.SEMANTIC_SIZE)).astype(np.float16),
        )
        for row in vibe.rows(40)
    ]
    made = WorkerContext.open(
        f"vibevoice:{released}",
        vibe.write_shards(tmp_path / "shards", released, clips=long),
        World(device=DEVICE),
    )
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    loss = made.validate(made.base)
    taken = torch.cuda.max_memory_allocated() - before
    told = f"{len(made.held_out)} clips of 300 s in {len(made.validation)} batches"
    print(f"\n{told}: {taken / GB:.1f} GB beside {before / GB:.1f}, loss {loss:.4f}")
    assert taken < 0.6 * before


def test_it_speaks_on_a_gpu(released: Path, tmp_path: Path) -> None:
    from vibesweep.delivery.synthesize import synthesize

    sweep_up()
    began = time.perf_counter()
    speech = synthesize(
        f"vibevoice:{released}",
        "[SPEAKER_A] Good morning. [SPEAKER_B] It works.",
        tmp_path / "speech.wav",
    )
    print(
        f"\nspoke {speech.seconds:.1f} s in {time.perf_counter() - began:.1f} s, loading included"
    )
    assert (tmp_path / "speech.wav").stat().st_size > 1_000


def test_a_sweep_encodes_once_trains_on_lanes_and_speaks(tmp_path: Path) -> None:
    import ray

    from vibesweep.corpus.demo.dialogues import write_demo_corpus
    from vibesweep.delivery.export import export
    from vibesweep.delivery.sample import speak_sample
    from vibesweep.sweep.run import run_sweep

    sweep_up()
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    sweep = Sweep(
        space=lambda trial: {
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True)
        },
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
    print(
        f"\nbase {record.base_loss_val:.4f}, best {record.best.best_loss_val:.4f}, {[(t.state, t.step) for t in record.trials]}"
    )
    assert speak_sample(folder, export(folder, tmp_path / "best")).stat().st_size > 1_000
