"""The parameters that a model trains."""

from __future__ import annotations

from torch import Tensor, nn

from vibesweep.models.seating import OWN


def trained_by_name(model: nn.Module) -> dict[str, Tensor]:
    """Return what a model trains, by name: the parameters, or the parts that are a trial's own."""
    trained = {}
    for name, part in model.named_parameters():
        if part.requires_grad:
            trained[name] = getattr(part, OWN, part)
    return trained


def trained_numbers(model: nn.Module) -> int:
    """Count the numbers that a model trains."""
    return sum(part.numel() for part in trained_by_name(model).values())
