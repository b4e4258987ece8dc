"""How a trial's network computes: over several workers, in what precision, with its layers recomputed or compiled."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vibesweep.config import PRECISIONS, TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import plain_model

COMPILE_BACKEND = "inductor"

GRAPHS_A_LAYER = 64
"""Graphs that torch may keep of a layer's code, which all layers of all kinds share; it gives up compiling at 8 unless told."""


def fit_out(model: nn.Module, settings: TrialSettings) -> None:
    """Give a trial's own model its attention dropout, recomputed layers and compiled layers.

    Raises:
        ModelError: the model's family does not take one of them.
    """
    plain = plain_model(model)
    if (settings.silence_before_s or settings.silence_after_s) and not plain.takes_silence:
        raise ModelError(
            f"the family {plain.family!r} does not take it",
            where="silence_before_s, silence_after_s",
            fix="leave both at 0",
        )
    if settings.attention_dropout > 0:
        plain.drop_attention(settings.attention_dropout)
    if settings.gradient_checkpointing:
        plain.recompute_layers()
    if settings.compile:
        _compile(plain.layers())


def _compile(layers: Any) -> None:
    """Compile layer by layer: all layers of a kind share one graph, and it is small.

    ``dynamic=True`` on one layer makes graphs for any shape at once; on backbone and head as a whole it had not ended after minutes,
    and ``None`` first makes some for the shapes it meets. docs/design/training.md has the figures.
    """
    torch.compiler.reset()  # the last trial's graphs, which another rank or method would count against the limit
    torch._dynamo.config.recompile_limit = GRAPHS_A_LAYER
    for layer in layers:
        layer.compile(backend=COMPILE_BACKEND, dynamic=True)


def eagerly(settings: TrialSettings) -> AbstractContextManager[Any]:
    """Context in which nothing is compiled: for validation, whose batches would need graphs of their own."""
    return torch.compiler.set_stance("force_eager") if settings.compile else nullcontext()


def autocast(settings: TrialSettings, device: str) -> AbstractContextManager[Any]:
    """Context for the forward pass of training, which may be entered again and again.

    Raises:
        ModelError: there is no such precision, or the device lacks it.
    """
    if settings.precision not in PRECISIONS:
        fix = f"choose one of {', '.join(PRECISIONS)}"
        raise ModelError(
            f"there is no precision {settings.precision!r}", where="precision", fix=fix
        )
    if settings.precision == "float32":
        return nullcontext()
    kind = torch.device(device).type
    if not _has_bf16(kind):
        raise ModelError(
            f"{device} does not compute in bf16", where="precision", fix="choose 'float32'"
        )
    return torch.autocast(kind, dtype=torch.bfloat16)


def _has_bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu"


def distributed(model: nn.Module, workers: int, device: str) -> nn.Module:
    """Wrap the model so that gradients are averaged over the workers, if there are several."""
    if workers == 1:
        return model
    place = torch.device(device)
    # LoRA's first weights are drawn. The base is the same on all: to send it round, as DDP would, takes seconds that a warm lane saves
    for part in model.parameters():
        if part.requires_grad:
            torch.distributed.broadcast(part.detach(), 0)
    return DistributedDataParallel(
        model,
        device_ids=[place] if place.type == "cuda" else None,
        init_sync=False,
        broadcast_buffers=False,
    )


def syncing(network: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Context of a micro-batch's backward pass: workers exchange their gradients in the last one alone."""
    if last or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    return network.no_sync()
