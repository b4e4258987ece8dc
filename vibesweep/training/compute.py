"""How a trial's network computes: what it drops and recomputes, and whether it is compiled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.errors import ModelError
from vibesweep.models.adapters import plain_model
from vibesweep.models.speech_model import SpeechModel

COMPILE_BACKEND = "inductor"

GRAPHS_A_LAYER = 64
"""Graphs that torch may keep of a layer's code, which all layers of all kinds share. By default it
gives up compiling at 8."""


def configure_model(model: nn.Module, settings: TrialSettings) -> None:
    """Set a trial's own model to drop attention weights, recompute layers or compile them.

    Raises:
        ModelError: the model's family does not support one of the settings.
    """
    plain = plain_model(model)
    check_silence(plain, settings)
    apply_options(plain, settings)
    if settings.compile:
        _compile(plain.layers())


def apply_options(plain: SpeechModel, settings: TrialSettings) -> None:
    """Set a model to drop attention weights and recompute layers where the settings say so.

    Nothing is compiled yet; a model that cannot be is refused.

    Raises:
        ModelError: the model's family does not support one of the settings.
    """
    if settings.attention_dropout > 0:
        plain.drop_attention(settings.attention_dropout)
    if settings.gradient_checkpointing:
        plain.recompute_layers()
    if settings.compile:
        plain.layers()  # raises where the family has not said which they are


def check_silence(model: SpeechModel, settings: TrialSettings) -> None:
    """Refuse more silence than the model can be trained on.

    Raises:
        ModelError: it is asked for.
    """
    for name in ("silence_before_s", "silence_after_s"):
        _check_silence(name, getattr(settings, name), model)


def _check_silence(name: str, asked_s: float, model: SpeechModel) -> None:
    longest_s = model.silence_patches / LATENT_RATE_HZ
    if asked_s <= longest_s:
        return
    if longest_s == 0:
        found = f"the family {model.family!r} does not take it"
        raise ModelError(found, where=name, fix="leave it at 0")
    found = f"it is {asked_s:g} s, and the shards hold {longest_s:g} s of silence"
    raise ModelError(found, where=name, fix=f"choose at most {longest_s:g}")


def _compile(layers: Iterable[nn.Module]) -> None:
    """Compile layer by layer: all layers of a kind share one graph, and it is small.

    ``dynamic=True`` on one layer makes graphs for any shape at once. On backbone and head as a
    whole it had not ended after minutes, and ``None`` first makes graphs for the shapes that it
    meets. docs/design/training.md has the figures.
    """
    # The last trial's graphs may be of another rank or method and would count against the limit
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = GRAPHS_A_LAYER
    for layer in layers:
        layer.compile(backend=COMPILE_BACKEND, dynamic=True)


def can_compile() -> bool:
    """Return whether there is the C compiler that Triton makes its launchers with."""
    return "CC" in os.environ or any(shutil.which(name) for name in ("cc", "gcc", "clang"))


def start_compilers() -> None:
    """Start the processes that compile kernels: it takes seconds, in which a base can be read."""
    from torch._inductor.async_compile import maybe_warm_pool

    maybe_warm_pool()


def compile_for_one_shape(layers: Iterable[nn.Module]) -> None:
    """Compile layer by layer for the one shape that all their inputs will have.

    Kernels for one shape are faster than those for any, and layers of a kind share them.
    """
    torch._dynamo.config.recompile_limit = GRAPHS_A_LAYER
    for layer in layers:
        layer.compile(backend=COMPILE_BACKEND, dynamic=False)
