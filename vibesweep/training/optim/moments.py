"""Takes an optimizer's moments over into another trial, which keeps its own rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

OF_SETTINGS = ("lr", "initial_lr", "weight_decay")
"""What a trial's settings put into a parameter group; the rest is the optimizer's own."""


def take_moments(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over the moments of an optimizer of the same kind over the same parameters.

    An optimizer over one flat tensor has others than one over a padded one: it begins anew.

    Args:
        optimizer: has its own rates, which stay.
        saved: the other optimizer's ``state_dict``.
    """
    groups = optimizer.param_groups
    if not _fits(groups, saved):
        return
    own = [_rates(group) for group in groups]
    optimizer.load_state_dict(dict(saved))
    for group, rates in zip(optimizer.param_groups, own, strict=True):
        group.update(rates)


def _rates(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the settings have put into a group."""
    found = {}
    for name in OF_SETTINGS:
        if name in group:
            found[name] = group[name]
    return found


def _fits(groups: Sequence[Mapping[str, Any]], saved: Mapping[str, Any]) -> bool:
    """Tell whether there are as many parameters, with moments of their sizes."""
    number = 0
    for own, other in zip(groups, saved["param_groups"], strict=True):
        if len(own["params"]) != len(other["params"]):
            return False
        for part in own["params"]:
            moments = saved["state"].get(number, {})
            if not _are_of(part, moments):
                return False
            number += 1
    return True


def _are_of(part: Tensor, moments: Mapping[str, Any]) -> bool:
    """Tell whether moments may be a parameter's: those of as many axes are no larger."""
    for moment in moments.values():
        if not isinstance(moment, Tensor) or moment.ndim != part.ndim:
            continue
        for size, whole in zip(moment.shape, part.shape, strict=True):
            if size not in (1, whole):
                return False
    return True
