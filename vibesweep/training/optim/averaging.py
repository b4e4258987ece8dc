"""Averages of the trained weights: what is validated and saved in place of the live weights, which training goes on from.

``averaged()`` of each of them is the one way in and out. It takes the live weights aside as they are, and puts the same bits back
whatever happens inside, so a trial that validates and saves goes on exactly as one that does neither. (A known VibeVoice trainer
swaps its average in and leaves the live weights to hooks that never run.)
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


class Averaging(Protocol):
    """Weights that follow a model's own."""

    def update(self) -> None:
        """Take in the live weights after an optimizer step."""

    def averaged(self) -> Any:
        """Context in which the model holds the averaged weights."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a trial needs beside its live weights and its optimizer to go on."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` said."""


def build_averaging(
    model: nn.Module, optimizer: torch.optim.Optimizer, settings: TrialSettings
) -> Averaging:
    """Choose how the trained weights of a trial are averaged.

    Raises:
        ModelError: ``ema_decay`` is no share, ``ema_parts`` is unknown or trains nothing, or the optimizer averages already.
    """
    if averages_itself(optimizer):
        if settings.ema_decay is not None:
            found = f"{settings.optimizer} averages the weights itself"
            raise ModelError(
                found, where="ema_decay", fix="leave ema_decay at None with this optimizer"
            )
        return OptimizersAverage(optimizer)
    if settings.ema_decay is None:
        return NoAverage()
    if not 0 < settings.ema_decay < 1:
        raise ModelError(
            f"ema_decay is {settings.ema_decay}",
            where="ema_decay",
            fix="choose above 0 and below 1, or None",
        )
    return ExponentialAverage(_averaged_parts(model, settings.ema_parts), settings.ema_decay)


def _averaged_parts(model: nn.Module, which: str) -> dict[str, nn.Parameter]:
    """The trained weights, or those of the heads."""
    trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
    if which == "all":
        return trained
    if which != "heads":
        raise ModelError(
            f"there are no ema_parts {which!r}", where="ema_parts", fix="choose 'all' or 'heads'"
        )
    heads = tuple(f".{head}." for head in plain_model(model).heads)
    found = {
        name: part for name, part in trained.items() if any(head in f".{name}" for head in heads)
    }
    if not found:
        raise ModelError(
            "nothing of the heads is trained",
            where="ema_parts",
            fix="choose 'all', or train the heads (lora_head)",
        )
    return found


def averages_itself(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is one of the schedule-free optimizers, which switch between live and averaged weights by train() and eval()."""
    return callable(getattr(optimizer, "eval", None)) and callable(
        getattr(optimizer, "train", None)
    )


class NoAverage:
    """The live weights are all there is."""

    def update(self) -> None:
        """Nothing to do."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Leave the live weights where they are."""
        yield

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""


class ExponentialAverage:
    """An exponential moving average of the trained weights after each step, corrected for its start.

    ``average_t = sum_i decay^(t-i) w_i (1 - decay) / (1 - decay^t)``, the bias correction of Kingma and Ba 2015, section 3. It is kept
    in one buffer by letting the decay itself warm up: ``average += (w - average) (1 - decay) / (1 - decay^t)``. So the first average is
    the first weights, and what the model was before it was trained is never in it.
    """

    def __init__(self, parts: Mapping[str, nn.Parameter], decay: float) -> None:
        """Follow these weights, by name."""
        self._decay, self._updates = decay, 0
        self._names, self._live = tuple(parts), [part.data for part in parts.values()]
        self._average = [part.clone() for part in self._live]

    def update(self) -> None:
        """Move the average towards the live weights."""
        self._updates += 1
        torch._foreach_lerp_(
            self._average, self._live, (1 - self._decay) / (1 - self._decay**self._updates)
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold the average; before the first step that is the live weights."""
        with _kept(self._live):
            torch._foreach_copy_(self._live, self._average)
            yield

    def state_dict(self) -> dict[str, Tensor]:
        """The average by parameter name, and how many steps are in it under ``updates``."""
        return {
            "updates": torch.tensor(self._updates),
            **dict(zip(self._names, self._average, strict=True)),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back an average of the same parameters."""
        self._updates = int(state["updates"])
        for name, part in zip(self._names, self._average, strict=True):
            part.copy_(state[name])


class OptimizersAverage:
    """The average that a schedule-free optimizer keeps (Defazio et al. 2024, eq. 3: x beside y); its state is the optimizer's."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Switch this optimizer."""
        self._optimizer: Any = optimizer

    def update(self) -> None:
        """The optimizer's own step did it."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Hold x. Its way back to y by train() would round, so y is taken aside as well."""
        with _kept(
            [part.data for group in self._optimizer.param_groups for part in group["params"]]
        ):
            self._optimizer.eval()
            try:
                yield
            finally:
                self._optimizer.train()

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""


@contextmanager
def _kept(weights: list[Tensor]) -> Iterator[None]:
    """Bring these weights back to the bit."""
    aside = [part.clone() for part in weights]
    try:
        yield
    finally:
        torch._foreach_copy_(weights, aside)
