"""Where a trial trains: its model, all that it trains as one tensor, and how a row is computed.

On a GPU a seat is taken by trial after trial of a kind. Rows have one shape, the layers are
compiled for it once, and forward and backward are one CUDA graph. Elsewhere each trial has a seat
of its own, and rows are computed as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial, plain_model
from vibesweep.models.packing import RowLimits, RowShape
from vibesweep.models.seating import kind_of, make_adjustable, seat_trial
from vibesweep.models.speech_model import SpeechModel
from vibesweep.training.compute import (
    can_compile,
    check_silence,
    compile_for_one_shape,
    configure_model,
)
from vibesweep.training.optim.flat import FlatParameters
from vibesweep.training.optim.optimizers import ELEMENTWISE
from vibesweep.training.precision import autocast
from vibesweep.training.rows import GraphedRows, Rows
from vibesweep.training.workers import World, is_cuda


class Seat:
    """A model, and what goes with it from trial to trial.

    Attributes:
        model: what trains.
        flat: all that it trains as one tensor.
        limits: of a row.
        shape: shape that rows are filled up to; None where they have any.
        rows: computes rows of that shape, alone or with other seats'; None where they are
            computed as they come.
        kind: of the trials that may train here; None for one trial's own seat.
        taken: whether a trial trains here.
        peak_bytes: the most memory that its process held while a trial trained here: a graph's is
            seen when it is captured, and not by the trials that follow.
    """

    def __init__(
        self,
        model: nn.Module,
        flat: FlatParameters,
        limits: RowLimits,
        shape: RowShape | None = None,
        rows: Rows | None = None,
        kind: TrialSettings | None = None,
        compiled: bool = False,
    ) -> None:
        """Take a model, and what it trains as one tensor."""
        self.model = model
        self.flat = flat
        self.limits = limits
        self.shape = shape
        self.rows = rows
        self.kind = kind
        self.taken = True
        self.peak_bytes = 0
        self._compiled = compiled

    def prepared(self, row: Any, device: str) -> Any:
        """Fill a row up to the seat's shape, if it has one and the row fits, for the device."""
        if self.shape is None or not self.shape.holds(row):
            return row.to(device)
        filled = row.filled_up(self.shape)
        return filled.pinned() if is_cuda(device) else filled

    def note_peak(self, held_bytes: int) -> None:
        """Enter how much was held while a trial trained."""
        self.peak_bytes = max(self.peak_bytes, held_bytes)

    def eager(self) -> AbstractContextManager[Any]:
        """Return a context in which nothing is compiled.

        It is meant for validation, whose batches would need graphs of their own.
        """
        return torch.compiler.set_stance("force_eager") if self._compiled else nullcontext()


def seed_trial(settings: TrialSettings, world: World) -> None:
    """Seed torch's own generator, which LoRA's first weights and dropout are drawn from."""
    torch.manual_seed(settings.seed * 1_000 + world.rank)


def own_seat(
    base: SpeechModel,
    settings: TrialSettings,
    world: World,
    limits_for: Callable[[nn.Module], RowLimits],
) -> Seat:
    """Make the seat of one trial alone.

    Args:
        base: what the trial tunes.
        settings: the trial's.
        world: this process among the workers.
        limits_for: chooses the limits of rows by what the model takes.

    Raises:
        ModelError: the model does not support the settings; on every worker alike.
    """
    seed_trial(settings, world)
    with world.together():
        model = for_trial(base, settings).train()
        configure_model(model, settings)
        limits = limits_for(model)
    flat = FlatParameters(model)
    return Seat(model, flat, limits, compiled=settings.compile)


def takes_one_shape(base: SpeechModel, settings: TrialSettings, world: World) -> bool:
    """Return whether a trial can be computed by a graph that other trials use too.

    What cannot: an optimizer to which the padding of an adapter is not nothing, and settings that
    draw or compute anew in the backward pass.
    """
    return is_cuda(world.device) and _is_plain(base, settings)


def can_be_packed(base: SpeechModel, settings: TrialSettings, world: World) -> bool:
    """Return whether a trial can be computed by one pass with others.

    What cannot, beside what takes no one shape: weights that are no adapters and no heads, of which
    each trial would need a copy; several workers, whose trials would have to exchange gradients in
    one order; and float32 on a GPU, where attention keeps clips apart by a mask, through which what
    is not a number passes.
    """
    by_mask = is_cuda(world.device) and settings.precision == "float32"
    is_alone = world.size == 1
    has_adapters = settings.method == "lora"
    return is_alone and has_adapters and _is_plain(base, settings) and not by_mask


def _is_plain(base: SpeechModel, settings: TrialSettings) -> bool:
    """Return whether all that a trial varies can be tensors of one size."""
    draws_anew = settings.gradient_checkpointing or settings.attention_dropout > 0
    has_one_shape = base.takes_one_shape and not settings.lora_dora
    is_elementwise = settings.optimizer in ELEMENTWISE
    return has_one_shape and is_elementwise and not draws_anew


def shared_seat(
    base: SpeechModel,
    settings: TrialSettings,
    world: World,
    shape_for: Callable[[nn.Module], RowShape],
) -> Seat:
    """Make a seat for trials of the settings' kind, on a GPU; nobody has taken it yet.

    Args:
        base: what the trials tune.
        settings: of one of them.
        world: this process among the workers.
        shape_for: chooses the shape of rows by what the model takes.

    Raises:
        ModelError: the model does not support the settings.
    """
    kind = kind_of(settings)
    model = adjustable_model(base, kind)
    shape = shape_for(model)
    compiled = can_compile()
    if compiled:
        compile_for_one_shape(plain_model(model).layers())
    rows = GraphedRows(model, autocast(settings, world.device))
    flat = FlatParameters(model)
    seat = Seat(model, flat, shape.limits, shape, rows, kind, compiled)
    seat.taken = False
    return seat


def adjustable_model(base: SpeechModel, kind: TrialSettings) -> nn.Module:
    """Make a model that trial after trial of a kind sets to its own settings.

    Raises:
        ModelError: the base does not support the kind.
    """
    model = for_trial(base, kind, drawn=False).train()
    make_adjustable(model)
    return model


def take_seat(seat: Seat, base: SpeechModel, settings: TrialSettings, world: World) -> None:
    """Begin a trial in a seat of its kind: nothing is compiled, nothing moves.

    Raises:
        ModelError: the model does not support the settings.
    """
    check_silence(plain_model(seat.model), settings)
    seed_trial(settings, world)
    seat.flat.gradient.zero_()
    seat_trial(seat.model, base, settings)
    seat.model.train()
    seat.taken = True
