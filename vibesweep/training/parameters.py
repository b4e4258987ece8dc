"""The parameters that a model trains."""

from __future__ import annotations

from torch import nn


def trained_by_name(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that a model trains, by name."""
    trained = {}
    for name, part in model.named_parameters():
        if part.requires_grad:
            trained[name] = part
    return trained
