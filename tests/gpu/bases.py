"""Bases that are large enough for a GPU to notice, over the tests' small shards."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path

import torch

from tests import tiny
from vibesweep.models.mel.model import MelShape
from vibesweep.training.worker_context import WorkerContext, World

DEVICE = "cuda:0"
LARGE = dataclasses.replace(
    tiny.SHAPE, hidden_size=512, layers=12, heads=8, kv_heads=2, ffn_size=2_048, latent_size=64
)
"""51 M weights: a micro-batch takes far more than they do."""
WIDE = dataclasses.replace(LARGE, hidden_size=2_048, layers=2, heads=16, ffn_size=8_192)
"""204 M weights, as many bytes as 1,800 positions take in bf16: VibeVoice's 1.5B has as many as some 1,500 take."""


def bench_of(folder: Path, shape: MelShape, clips: int = 30) -> WorkerContext:
    """A workbench on the GPU."""
    return WorkerContext.open(
        str(tiny.write_base(folder / "base", shape)),
        tiny.write_shards(folder / "shards", clips),
        World(device=DEVICE),
    )


def sweep_up() -> None:
    """Give back what nobody holds."""
    gc.collect()
    torch.cuda.empty_cache()
