"""Where a search of a family's models may start: ranges, fixed settings, budget and resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_SPACE = """\
# The rate decides most. LoRA's best one is about ten times that of training in full (Schulman
# et al. 2025, "LoRA Without Regret").
trial.suggest_float("learning_rate", 1e-6, 1e-3, log=True)
trial.suggest_categorical("batch_clips", [4, 8, 16])
if trial.suggest_categorical("method", ["lora", "full"]) == "lora":
    trial.suggest_categorical("lora_rank", [8, 16, 32])
"""


@dataclass(frozen=True)
class Recipe:
    """A first search, which `vibesweep new-space` writes as a space file.

    Attributes:
        space: the space function's body, as Python, with comments that say why.
        settings: arguments of ``TrialSettings``.
        settings_why: why they are fixed, in a line.
        budget: arguments of ``Budget``.
        budget_why: why it is as long as that, in a line.
        trials: how many settings are tried.
        try_first: points of the space to begin with.
        resources: arguments of ``TrialResources``.
    """

    space: str = DEFAULT_SPACE
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_why: str = "What the space leaves alone; docs/spaces.md lists all settings"
    budget: Mapping[str, Any] = field(
        default_factory=lambda: {"max_epochs": 13.5, "grace_epochs": 0.5, "least_steps": 108}
    )
    budget_why: str = "Three rungs leave most of the time to a few trials"
    trials: int = 12
    try_first: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
