"""K seats whose trials' rows are computed by one pass.

Each trial has its own loop, in a thread of its own: its data, optimizer, schedule and validation.
Only forward and backward are shared. A pass begins when every trial that is training has handed in
a row; one that validates, saves or has ended takes no part, so that nobody waits for it. What a
seat computes meanwhile counts nothing, and no seat's numbers ever meet another's.

Shapes: ``K`` seats, ``P`` numbers that a trial trains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.packed import PackedModel
from vibesweep.models.packing import RowShape
from vibesweep.models.seating import kind_of
from vibesweep.models.speech_model import SpeechModel
from vibesweep.training.compute import can_compile, compile_for_one_shape
from vibesweep.training.optim.flat import FlatParameters, flat_size
from vibesweep.training.precision import autocast
from vibesweep.training.rows import EagerRows, Factors, GraphedRows, Rows
from vibesweep.training.seat import Seat, adjustable_model
from vibesweep.training.turns import Turns
from vibesweep.training.workers import World, is_cuda


class Pack:
    """The seats of one kind of trial.

    Attributes:
        kind: of the trials that may train here.
        seats: where they do.
    """

    def __init__(self, kind: TrialSettings, rows: Rows, turns: Turns) -> None:
        """Take what computes stacked rows; seats are added afterwards."""
        self.kind = kind
        self.seats: list[Seat] = []
        self._rows = rows
        self._turns = turns
        self._training: set[int] = set()
        self._waiting: dict[int, threading.Event] = {}
        self._stacked: Any = None
        self._factors = torch.empty(0)
        self._sums = torch.empty(0)

    @property
    def idle(self) -> bool:
        """Whether no trial has a seat."""
        taken = [seat for seat in self.seats if seat.taken]
        return not taken

    def free_seat(self) -> Seat | None:
        """Return a seat that no trial has."""
        return next((seat for seat in self.seats if not seat.taken), None)

    def enter(self, seat: int) -> None:
        """Wait for this seat's rows from now on."""
        self._training.add(seat)
        # What the seat computed while its trial took no part
        self.seats[seat].flat.gradient.zero_()

    def leave(self, seat: int) -> None:
        """Wait for it no longer; the others may have waited for this seat alone."""
        self._training.remove(seat)
        self._compute_if_complete()

    def compute(self, seat: int, row: Any, factors: Factors) -> Tensor:
        """Hand in a row, and wait until it is computed: sums of its losses [2]."""
        self._put(seat, row, factors)
        computed = threading.Event()
        self._waiting[seat] = computed
        self._compute_if_complete()
        if not computed.is_set():
            with self._turns.let_others():
                computed.wait()
        return self._sums[seat]

    def _put(self, seat: int, row: Any, factors: Factors) -> None:
        """Copy a row to its place among the stacked ones."""
        if self._stacked is None:
            self._make_places(row)
        for place, part in zip(self._stacked, row, strict=True):
            place[seat].copy_(part, non_blocking=True)
        self._factors[seat] = torch.as_tensor(factors)

    def _make_places(self, row: Any) -> None:
        """Make what rows are copied to, on the device; first every seat has this row."""
        count = len(self.seats)
        device = self.seats[0].flat.gradient.device
        stacked = []
        for part in row:
            copies = [part] * count
            stacked.append(torch.stack(copies).to(device))
        kind = type(row)
        self._stacked = kind(*stacked)
        self._factors = torch.zeros(count, 2)

    def _compute_if_complete(self) -> None:
        """Compute the rows that have been handed in once there is one of each who trains."""
        complete = self._waiting.keys() == self._training
        if not (complete and self._waiting):
            return
        self._sums = self._rows.add_gradient(self._stacked, self._factors)
        self._factors.zero_()
        for computed in self._waiting.values():
            computed.set()
        self._waiting.clear()


class PackedRows:
    """Computes one seat's rows in its pack's passes; a row of another shape by itself."""

    def __init__(self, pack: Pack, seat: int, shape: RowShape, alone: Rows) -> None:
        """Take the pack, its shape, the seat's number, and what computes rows of any shape."""
        self._pack = pack
        self._seat = seat
        self._shape = shape
        self._alone = alone

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Hand a row in and wait for the pass."""
        if self._shape.is_of(row):
            return self._pack.compute(self._seat, row, factors)
        return self._alone.add_gradient(row, factors)

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """Have passes wait for this seat's rows in this block."""
        self._pack.enter(self._seat)
        try:
            yield
        finally:
            self._pack.leave(self._seat)


def make_pack(
    base: SpeechModel,
    settings: TrialSettings,
    world: World,
    trials: int,
    turns: Turns,
    shape_for: Callable[[nn.Module], RowShape],
) -> Pack:
    """Make free seats for trials of the settings' kind.

    Args:
        base: what the trials tune; they share its frozen weights.
        settings: of one of them.
        world: this process, alone.
        trials: number of seats.
        turns: which the trials' threads take.
        shape_for: chooses the shape of rows by what a trial's model takes.

    Raises:
        ModelError: the model does not support the settings.
    """
    kind = kind_of(settings)
    models = [adjustable_model(base, kind) for _ in range(trials)]
    shape = shape_for(models[0])
    size = flat_size(models[0])
    values = torch.zeros(trials, size, device=world.device)
    gradient = torch.zeros_like(values)
    flats = _flats(models, values, gradient)
    shared = for_trial(base, kind, drawn=False)
    network = PackedModel(shared, models, values, gradient).train()
    context = autocast(settings, world.device)
    on_gpu = is_cuda(world.device)
    if on_gpu and can_compile():
        compile_for_one_shape(network.layers())
    rows = GraphedRows(network, context) if on_gpu else EagerRows(network, context)
    pack = Pack(kind, rows, turns)
    for number, (model, flat) in enumerate(zip(models, flats, strict=True)):
        own_rows = PackedRows(pack, number, shape, EagerRows(model, context))
        seat = Seat(model, flat, shape.limits, shape, own_rows, kind)
        seat.taken = False
        pack.seats.append(seat)
    return pack


def _flats(models: Sequence[nn.Module], values: Tensor, gradient: Tensor) -> list[FlatParameters]:
    """Move what each model trains into its row of ``values`` and ``gradient`` [K, P]."""
    flats = []
    for model, own_values, own_gradient in zip(models, values, gradient, strict=True):
        flat = FlatParameters(model, own_values, own_gradient)
        flats.append(flat)
    return flats
