"""What values a trial's settings may have, looked at before a sweep begins: a trial that cannot be made would cost its lane."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from vibesweep.config import (
    AVERAGED_PARTS,
    LORA_PARTS,
    METHODS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    TrialSettings,
)
from vibesweep.errors import SpaceError

CHOICES = {
    "method": METHODS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "ema_parts": AVERAGED_PARTS,
    "lora_head": LORA_PARTS,
    "lora_connectors": LORA_PARTS,
}
AT_LEAST_ONE = ("batch_clips", "micro_batch_tokens", "lora_rank", "patience_reports")
ABOVE_ZERO = (
    "learning_rate",
    "batch_seconds",
    "grad_clip_norm",
    "lora_alpha_ratio",
    "lora_alpha",
    "ema_decay",
)
AT_LEAST_ZERO = (
    "weight_decay",
    "freeze_layers",
    "diffusion_weight",
    "stop_weight",
    "silence_before_s",
    "silence_after_s",
    "seed",
)
BELOW_ONE = (
    *("warmup_fraction", "cooldown_fraction", "lora_dropout", "attention_dropout"),
    *("specaugment_time_share", "specaugment_dims_share", "ema_decay"),
)
SHARES = (*BELOW_ONE, "voice_prompt_drop")

Rule = tuple[tuple[str, ...], Callable[[Any], bool], str]
RULES: tuple[Rule, ...] = (
    (AT_LEAST_ONE, lambda value: value >= 1, "at least 1"),
    (ABOVE_ZERO, lambda value: 0 < value < math.inf, "above 0, and no infinity"),
    (AT_LEAST_ZERO, lambda value: 0 <= value < math.inf, "at least 0, and no infinity"),
    (SHARES, lambda value: 0 <= value <= 1, "from 0 to 1"),
    (BELOW_ONE, lambda value: value < 1, "below 1"),
)


def checked(values: Mapping[str, Any], where: str) -> TrialSettings:
    """Settings of these values, integers made floats where floats are meant.

    Raises:
        SpaceError: a value of the wrong type, outside what makes sense, or one that does not go with another.
    """
    hints = get_type_hints(TrialSettings)
    settings = TrialSettings(
        **{name: _typed(name, value, hints[name], where) for name, value in values.items()}
    )
    for name, choices in CHOICES.items():
        if getattr(settings, name) not in choices:
            raise SpaceError(
                f"{name} is {getattr(settings, name)!r}",
                where=where,
                fix=f"choose among {', '.join(choices)}",
            )
    for names, holds, wish in RULES:
        for name in names:
            value = getattr(settings, name)
            if value is not None and not holds(value):
                raise SpaceError(f"{name} is {value!r}", where=where, fix=f"choose {wish}")
    _check_together(settings, where)
    return settings


def _typed(name: str, value: Any, hint: Any, where: str) -> Any:
    kinds = get_args(hint) or (hint,)  # of float | None
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return float(value)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, hint):
        kind = getattr(hint, "__name__", str(hint))
        raise SpaceError(f"{name} is {value!r}", where=where, fix=f"{name} takes {kind}")
    return value


def _check_together(settings: TrialSettings, where: str) -> None:
    """What does not go together, whatever the model."""
    if settings.optimizer == "schedule_free_adamw" and settings.schedule != "constant":
        raise SpaceError(
            f"schedule is {settings.schedule!r} with schedule_free_adamw",
            where=where,
            fix="return schedule='constant' with it",
        )
    if settings.optimizer == "schedule_free_adamw" and settings.ema_decay is not None:
        raise SpaceError(
            "schedule_free_adamw averages the weights itself",
            where=where,
            fix="leave ema_decay at None with it",
        )
    if settings.schedule == "wsd" and settings.warmup_fraction + settings.cooldown_fraction > 1:
        found = f"warmup_fraction {settings.warmup_fraction:g} and cooldown_fraction {settings.cooldown_fraction:g} are over 1 together"
        raise SpaceError(found, where=where, fix="choose shares that leave the steps between them")
    if not (settings.diffusion_weight or settings.stop_weight):
        raise SpaceError(
            "diffusion_weight and stop_weight are both 0",
            where=where,
            fix="give one of them a weight",
        )
    try:
        re.compile(settings.lora_targets)
    except re.error as error:
        found = f"lora_targets {settings.lora_targets!r} is no regular expression: {error}"
        raise SpaceError(
            found, where=where, fix="mend it, or choose attention or attention+mlp"
        ) from error
