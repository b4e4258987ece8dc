"""Averages of the trained weights: what is validated and saved while training continues.

Each kind of average has one context manager, ``averaged()``, in which the model holds the average.
It sets the live weights aside and restores the same bits whatever happens inside, so a trial that
validates and saves continues exactly as one that does neither. (A known VibeVoice trainer swaps its
average in and leaves the live weights to hooks that never run.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import plain_model
from vibesweep.training.parameters import trained_by_name

FIRST = "first."
"""Begins the names of the weights that training began with, in a state."""


class Averaging(Protocol):
    """Averaged weights that follow a model's live weights."""

    def update(self) -> None:
        """Take in the live weights after an optimizer step."""

    def averaged(self) -> Any:
        """Return a context in which the model holds the averaged weights."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a trial needs to resume besides its live weights and its optimizer."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned."""


def build_averaging(
    model: nn.Module, optimizer: torch.optim.Optimizer, settings: TrialSettings
) -> Averaging:
    """Choose how the trained weights of a trial are averaged.

    Raises:
        ModelError: ``ema_parts`` are the heads, and no head is trained.
    """
    average = _average_over_steps(model, optimizer, settings)
    if settings.base_share == 0:
        return average
    return BaseMixture(average, trained_by_name(model), settings.base_share)


def _average_over_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, settings: TrialSettings
) -> Averaging:
    if averages_itself(optimizer):
        return ScheduleFreeAverage(optimizer)
    if settings.ema_decay is None:
        return NoAverage()
    return ExponentialAverage(averaged_parts(model, settings), settings.ema_decay)


def averaged_parts(model: nn.Module, settings: TrialSettings) -> dict[str, Tensor]:
    """Choose the trained weights that ``ema_parts`` names.

    Raises:
        ModelError: they are the heads, and no head is trained.
    """
    parts = trained_by_name(model)
    if settings.ema_parts == "heads":
        return _parts_of_heads(parts, plain_model(model).heads)
    return parts


def averages_itself(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether this is a schedule-free optimizer.

    Those switch between live and averaged weights by ``train()`` and ``eval()``.
    """
    has_eval = callable(getattr(optimizer, "eval", None))
    has_train = callable(getattr(optimizer, "train", None))
    return has_eval and has_train


def _parts_of_heads(trained: dict[str, Tensor], heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Choose the trained weights inside the heads."""
    found = {}
    for name, part in trained.items():
        if any(f".{head}." in f".{name}" for head in heads):
            found[name] = part
    if not found:
        raise ModelError(
            "nothing of the heads is trained",
            where="ema_parts",
            fix="choose 'all', or train the heads (lora_head)",
        )
    return found


class NoAverage:
    """The live weights themselves."""

    def update(self) -> None:
        """Do nothing."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Leave the live weights in place."""
        yield

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Do nothing."""


class ExponentialAverage:
    """An exponential moving average of the weights after each step, corrected for its start.

    ``average_t = sum_i decay^(t-i) w_i (1 - decay) / (1 - decay^t)``: the bias correction of Kingma
    and Ba 2015, section 3. One buffer is enough if the decay itself warms up:
    ``average += (w - average) (1 - decay) / (1 - decay^t)``. So the first average is the first
    weights, and the weights before training are never in it.
    """

    def __init__(self, parts: Mapping[str, Tensor], decay: float) -> None:
        """Follow these weights, by name."""
        self._decay = decay
        self._updates = 0
        self._names = tuple(parts)
        self._live = [part.data for part in parts.values()]
        self._average = [part.clone() for part in self._live]

    def update(self) -> None:
        """Move the average towards the live weights."""
        self._updates += 1
        weight = (1 - self._decay) / (1 - self._decay**self._updates)
        torch._foreach_lerp_(self._average, self._live, weight)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the average; before the first step that is the live weights."""
        with _restored(self._live):
            torch._foreach_copy_(self._live, self._average)
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by parameter name, and the number of its steps as ``updates``."""
        average = dict(zip(self._names, self._average, strict=True))
        return {"updates": torch.tensor(self._updates), **average}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore an average of the same parameters."""
        self._updates = int(state["updates"])
        for name, part in zip(self._names, self._average, strict=True):
            part.copy_(state[name])


class ScheduleFreeAverage:
    """The average that a schedule-free optimizer keeps in its own state.

    It is x beside y in Defazio et al. 2024, eq. 3.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Use this optimizer's average."""
        self._optimizer: Any = optimizer

    def update(self) -> None:
        """Do nothing: the optimizer's own step does it."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold x. The optimizer's way back to y would round, so y is set aside as well."""
        live = []
        for group in self._optimizer.param_groups:
            live += [part.data for part in group["params"]]
        with _restored(live):
            self._optimizer.eval()
            try:
                yield
            finally:
                self._optimizer.train()

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: the optimizer's state holds it."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Do nothing."""


class BaseMixture:
    """Another average, mixed with the weights that training began with.

    Between a base and what it was tuned to lie weights that keep what the base could do and have
    learned what is new: WiSE-FT, Wortsman et al. 2022 (arXiv:2109.01903), section 3.
    """

    def __init__(self, average: Averaging, parts: Mapping[str, Tensor], share: float) -> None:
        """Keep the weights as they are now.

        Args:
            average: of the live weights.
            parts: all trained weights, by name.
            share: how much of the mixture is the weights as they are now; the rest is the average.
        """
        self._average = average
        self._share = share
        self._names = tuple(parts)
        self._live = [part.data for part in parts.values()]
        self._first = [part.clone() for part in self._live]

    def update(self) -> None:
        """Update the average."""
        self._average.update()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the mixture of the average and the first weights."""
        with self._average.averaged(), _restored(self._live):
            torch._foreach_lerp_(self._live, self._first, self._share)
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average's state, and the first weights under ``first.NAME``."""
        first = dict(zip(self._names, self._first, strict=True))
        prefixed = {f"{FIRST}{name}": part for name, part in first.items()}
        return {**self._average.state_dict(), **prefixed}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore both for the same parameters."""
        self._average.load_state_dict(state)
        for name, part in zip(self._names, self._first, strict=True):
            part.copy_(state[f"{FIRST}{name}"])


@contextmanager
def _restored(weights: list[Tensor]) -> Iterator[None]:
    """Restore these weights to the bit when the block ends."""
    aside = [part.clone() for part in weights]
    try:
        yield
    finally:
        torch._foreach_copy_(weights, aside)
