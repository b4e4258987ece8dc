"""Bases that are large enough for a GPU to notice, over the tests' small shards."""

from __future__ import annotations

import dataclasses
import gc
import os
from pathlib import Path

import torch

from tests import tiny
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.registry import ModelRef
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

# As a lane's worker has it: torch reads it when CUDA is first used
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")

DEVICE = "cuda:0"
LARGE = dataclasses.replace(
    tiny.SHAPE, hidden_size=512, layers=12, heads=8, kv_heads=2, ffn_size=2_048, latent_size=64
)
"""51 M weights: a micro-batch takes far more than they do."""
WIDE = dataclasses.replace(LARGE, hidden_size=2_048, layers=2, heads=16, ffn_size=8_192)
"""204 M weights. They take as many bytes as 1,800 tokens do in bf16; VibeVoice's 1.5B takes as many
as some 1,500."""


def context_on_gpu(
    folder: Path, shape: MelShape, clips: int = 30, device_share: float = 1.0
) -> WorkerContext:
    """Open a worker's context on the GPU, with a base of this shape."""
    base = tiny.write_base(folder / "base", shape)
    shards = tiny.write_shards(folder / "shards", clips)
    world = World(device=DEVICE, device_share=device_share)
    return WorkerContext.open(ModelRef.parse(str(base)), shards, world)


def free_unused_memory() -> None:
    """Return the GPU memory that no tensor holds."""
    gc.collect()
    torch.cuda.empty_cache()
